package cloudinarycdn

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// maxPublicID is Cloudinary's limit, in characters.
const maxPublicID = 255

// imageTypes are the media types of what an upload's transformation can make.
var imageTypes = map[string]string{
	"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp", "avif": "image/avif",
}

// extensions are those that Cloudinary handles as images or videos, with its name
// of their format. All others are stored raw.
var extensions = map[string]struct{ kind, format string }{
	"jpg": {"image", "jpg"}, "jpeg": {"image", "jpg"}, "png": {"image", "png"}, "gif": {"image", "gif"},
	"webp": {"image", "webp"}, "avif": {"image", "avif"}, "heic": {"image", "heic"}, "heif": {"image", "heif"},
	"jxl": {"image", "jxl"}, "bmp": {"image", "bmp"}, "tif": {"image", "tif"}, "tiff": {"image", "tif"}, "svg": {"image", "svg"},
	"mp4": {"video", "mp4"}, "webm": {"video", "webm"}, "mov": {"video", "mov"}, "mkv": {"video", "mkv"}, "ogv": {"video", "ogv"},
	"mp3": {"video", "mp3"}, "wav": {"video", "wav"}, "ogg": {"video", "ogg"}, "flac": {"video", "flac"}, "aac": {"video", "aac"},
}

// locator is what a delivery URL needs besides the key; it travels as Ref.Handle in
// the form kind/type/v123/format.
type locator struct {
	kind    string // "image", "video" or "raw": Cloudinary's resource type
	typ     string // "upload" or "authenticated": its delivery type
	version int64  // 0: unknown
	format  string // "" for raw
}

func (l locator) String() string {
	return l.kind + "/" + l.typ + "/v" + strconv.FormatInt(l.version, 10) + "/" + l.format
}

func parseLocator(s string) (locator, bool) {
	f := strings.Split(s, "/")
	if len(f) != 4 || f[0] != "image" && f[0] != "video" && f[0] != "raw" {
		return locator{}, false
	}
	v, err := strconv.ParseInt(strings.TrimPrefix(f[2], "v"), 10, 64)
	if err != nil || f[1] != "upload" && f[1] != "authenticated" {
		return locator{}, false
	}
	for i := range len(f[3]) {
		if c := f[3][i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9') {
			return locator{}, false
		}
	}
	return locator{f[0], f[1], v, f[3]}, true
}

// locate returns the locator in ref, or the one that the key's extension suggests.
func (p *Provider) locate(ref cdn.Ref) (l locator, sure bool) {
	if l, ok := parseLocator(ref.Handle); ok {
		return l, true
	}
	l = locator{kind: "raw", typ: p.deliveryType()}
	if m, ok := extensions[extension(ref.Key)]; ok {
		l.kind, l.format = m.kind, m.format
	}
	return l, false
}

func (p *Provider) deliveryType() string {
	if p.opts.Authenticated {
		return "authenticated"
	}
	return "upload"
}

// kindOf is the resource type under which content is stored. It is raw unless the
// key's extension and the content type agree, so that the key alone finds it again.
func kindOf(key, contentType string) string {
	m, ok := extensions[extension(key)]
	class, _, _ := strings.Cut(strings.ToLower(contentType), "/")
	if ok && (class == "" || class == m.kind || m.kind == "video" && (class == "audio" || strings.HasPrefix(contentType, "application/ogg"))) {
		return m.kind
	}
	return "raw"
}

func extension(key string) string { return strings.ToLower(strings.TrimPrefix(path.Ext(key), ".")) }

// publicID makes a public ID of a key. No two keys share one: the extension stays
// in it, so that a.png and a.jpg do not overwrite each other, and what a public ID
// cannot hold becomes ~ and two hex digits.
func publicID(key string) (string, error) {
	var b strings.Builder
	for i := range len(key) {
		c := key[i]
		if strings.IndexByte(`?&#\%<>~`, c) >= 0 || c < ' ' || c == 0x7f {
			fmt.Fprintf(&b, "~%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	id := b.String()
	switch n := utf8.RuneCountInString(id); {
	case id == "":
		return "", fmt.Errorf("the key is empty")
	case n > maxPublicID:
		return "", fmt.Errorf("the public ID has %d characters, over %d", n, maxPublicID)
	case id != strings.Trim(id, " /"):
		return "", fmt.Errorf("the key begins or ends with a space or slash")
	}
	return id, nil
}

// escape is JavaScript's encodeURIComponent, by which Cloudinary's clients escape
// and sign a public ID, without the slash and the colon.
func escape(s string) string { return httpcall.Escape(s, "-_.!~*'()/:") }
