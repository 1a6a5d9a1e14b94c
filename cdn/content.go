package cdn

import (
	"fmt"
	"mime"
	"path"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// sniffLen is how much of the content decides its type.
const sniffLen = 3072

// knownExt maps an extension to the media type that it claims, and to the other
// types which content under it may turn out to be. It is never changed.
var knownExt = map[string][]string{
	".jpg": {"image/jpeg"}, ".jpeg": {"image/jpeg"}, ".png": {"image/png"}, ".gif": {"image/gif"},
	".webp": {"image/webp"}, ".avif": {"image/avif"}, ".heic": {"image/heic", "image/heif", "image/heic-sequence"},
	".heif": {"image/heif", "image/heic"}, ".jxl": {"image/jxl"}, ".bmp": {"image/bmp"}, ".tif": {"image/tiff"},
	".tiff": {"image/tiff"}, ".ico": {"image/x-icon"}, ".svg": {"image/svg+xml"},
	".mp4": {"video/mp4", "audio/mp4", "video/quicktime", "video/x-m4v"}, ".m4v": {"video/x-m4v", "video/mp4"},
	".mov": {"video/quicktime", "video/mp4"}, ".webm": {"video/webm", "video/x-matroska"},
	".mkv": {"video/x-matroska", "video/webm"}, ".mp3": {"audio/mpeg"}, ".wav": {"audio/wav"}, ".flac": {"audio/flac"},
	".m4a": {"audio/x-m4a", "audio/mp4", "video/mp4"}, ".ogg": {"audio/ogg", "application/ogg", "video/ogg"},
	".pdf": {"application/pdf"}, ".zip": {"application/zip"}, ".gz": {"application/gzip"},
	".docx": {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip"},
	".xlsx": {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "application/zip"},
	".pptx": {"application/vnd.openxmlformats-officedocument.presentationml.presentation", "application/zip"},
	".woff": {"font/woff"}, ".woff2": {"font/woff2"}, ".ttf": {"font/ttf"}, ".otf": {"font/otf"},
	".wasm": {"application/wasm"},
	".txt":  {"text/plain"}, ".log": {"text/plain"}, ".csv": {"text/csv"}, ".tsv": {"text/tab-separated-values"},
	".md": {"text/markdown", "text/html"}, ".json": {"application/json"}, ".css": {"text/css"},
	".js": {"text/javascript"}, ".mjs": {"text/javascript"}, ".xml": {"text/xml", "application/xml"},
	".html": {"text/html"}, ".htm": {"text/html"},
}

// decideType returns the media type to store and the extension to use for content
// that begins with head, or an error matching ErrType. The content has the last word:
// extension and claim only choose among the types that it can be.
func decideType(name, claim string, head []byte, allow ...[]string) (contentType, ext string, err error) {
	m := mimetype.Detect(head)
	ext = cleanExt(name)
	if contentType, err = byExt(m, ext); err != nil {
		return "", "", err
	}
	if c := baseType(claim); claim != "" && c != "application/octet-stream" {
		switch {
		case c == "":
			return "", "", fmt.Errorf("%w: claimed type cannot be parsed", ErrType)
		case c == baseType(contentType):
		case canBe(m, c):
			contentType = withCharset(c, m)
		default:
			return "", "", fmt.Errorf("%w: claimed %s, content is %s", ErrType, c, baseType(contentType))
		}
	}
	for _, patterns := range allow {
		if len(patterns) > 0 && !allowed(baseType(contentType), patterns) {
			return "", "", fmt.Errorf("%w: %s", ErrType, baseType(contentType))
		}
	}
	if ext == "" && baseType(contentType) != "application/octet-stream" {
		ext = m.Extension()
	}
	return contentType, ext, nil
}

// byExt is the type of content m under an extension.
func byExt(m *mimetype.MIME, ext string) (string, error) {
	types, known := knownExt[ext]
	if !known {
		return m.String(), nil
	}
	for i, t := range types {
		if isOrDescends(m, t) {
			if i > 0 && !isTextual(types[0]) && types[i] != "application/zip" {
				return t, nil // the content is a sibling of what the extension says
			}
			return withCharset(types[0], m), nil
		}
	}
	if canBe(m, types[0]) {
		return withCharset(types[0], m), nil
	}
	return "", fmt.Errorf("%w: named %s, content is %s", ErrType, ext, baseType(m.String()))
}

// canBe reports whether content detected as m can be of type t: the same, a more
// general one, or a kind of text that has no signature of its own.
func canBe(m *mimetype.MIME, t string) bool {
	if isOrDescends(m, t) {
		return true
	}
	return isTextual(t) && !isMarkup(t) && isOrDescends(m, "text/plain")
}

// isOrDescends reports that content detected as m is of type t. Markup is a kind of
// plain text to the detector, but not here: it must not pass under a harmless name.
func isOrDescends(m *mimetype.MIME, t string) bool {
	if t == "text/plain" {
		for _, d := range []string{"text/html", "image/svg+xml", "text/xml", "application/xhtml+xml"} {
			if isOrDescends(m, d) {
				return false
			}
		}
	}
	for ; m != nil; m = m.Parent() {
		if m.Is(t) {
			return t != "application/octet-stream" || m.Parent() == nil
		}
	}
	return false
}

// isTextual reports a type whose content is text.
func isTextual(t string) bool {
	return strings.HasPrefix(t, "text/") || t == "application/json" || t == "application/javascript" || isMarkup(t)
}

// isMarkup reports a type of text that has a signature.
func isMarkup(t string) bool {
	return t == "text/html" || t == "text/xml" || t == "application/xml" || strings.HasSuffix(t, "+xml")
}

// withCharset adds the charset that was detected to a type of text.
func withCharset(t string, m *mimetype.MIME) string {
	_, params, err := mime.ParseMediaType(m.String())
	if cs := params["charset"]; err == nil && cs != "" && isTextual(t) {
		return t + "; charset=" + cs
	}
	return t
}

// baseType is the lower-case type/subtype of a media type, or "".
func baseType(t string) string {
	b, _, err := mime.ParseMediaType(t)
	if err != nil || !strings.Contains(b, "/") {
		return ""
	}
	return b
}

// allowed matches t against patterns. A wildcard does not admit active types; those
// must be named.
func allowed(t string, patterns []string) bool {
	for _, p := range patterns {
		if p == t {
			return true
		}
		if ok, _ := path.Match(p, t); ok && !isActive(t) {
			return true
		}
	}
	return false
}

// cleanExt is the lower-case extension of a file name if it is one to keep.
func cleanExt(name string) string {
	ext := strings.ToLower(path.Ext(baseName(name)))
	if len(ext) < 2 || len(ext) > 10 {
		return ""
	}
	for _, r := range ext[1:] {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return ""
		}
	}
	return ext
}
