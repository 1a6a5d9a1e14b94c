package cdn

import (
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxKey is the longest key in bytes: what every supported provider takes.
const maxKey = 900

// CheckKey returns an error matching [ErrKey] unless key is safe with every
// provider: 1 to 900 bytes of UTF-8, elements of at most 255 bytes separated by
// single slashes, none of them "." or "..", none beginning or ending in a space or
// ending in a dot, no backslash and no control or invisible formatting character.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: empty", ErrKey)
	case len(key) > maxKey:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrKey, len(key), maxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("%w: not UTF-8", ErrKey)
	}
	for _, r := range key {
		if r >= ' ' && r < 0x7f && r != '\\' { // most of them
			continue
		}
		if r == '\\' || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return fmt.Errorf("%w: character %U", ErrKey, r)
		}
	}
	for e := range strings.SplitSeq(key, "/") {
		switch {
		case e == "":
			return fmt.Errorf("%w: empty path element", ErrKey)
		case len(e) > 255:
			return fmt.Errorf("%w: path element of %d bytes, at most 255", ErrKey, len(e))
		case strings.HasPrefix(e, " "), strings.HasSuffix(e, " "), strings.HasSuffix(e, "."):
			return fmt.Errorf("%w: path element with a space or dot at its end", ErrKey)
		}
	}
	return nil
}

// derivedKey names content after its hash, keeping the words of name for people
// and ext for servers.
func derivedKey(folder, name string, sum [32]byte, ext string) string {
	key := hex.EncodeToString(sum[:16])
	if s := slug(name); s != "" {
		key += "-" + s
	}
	return path.Join(folder, key+ext)
}

// slug reduces the last element of name, without its extension, to at most 64
// lower-case ASCII letters, digits and single hyphens.
func slug(name string) string {
	name = baseName(name)
	name = strings.TrimSuffix(name, path.Ext(name))
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if b.Len() >= 64 {
			break
		}
		r = foldLatin(r)
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			b.WriteRune(r)
		case unicode.In(r, unicode.Mn): // a combining accent: its letter stays
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.TrimRight(b.String(), "-")
}

// baseName is the last path element of a client's file name, on any system.
func baseName(name string) string {
	return name[strings.LastIndexAny(name, `/\`)+1:]
}

// foldLatin returns the plain letter under the accents of a lower-case Latin one.
func foldLatin(r rune) rune {
	if r < 0x80 {
		return r
	}
	for _, f := range [...]struct {
		to   rune
		from string
	}{
		{'a', "àáảãạăằắẳẵặâầấẩẫậäåāą"}, {'c', "çćč"}, {'d', "đď"}, {'e', "èéẻẽẹêềếểễệëēęě"},
		{'i', "ìíỉĩịïîī"}, {'l', "ł"}, {'n', "ñńň"}, {'o', "òóỏõọôồốổỗộơờớởỡợöøō"}, {'r', "ř"}, {'s', "śšß"},
		{'t', "ť"}, {'u', "ùúủũụưừứửữựüûūů"}, {'y', "ỳýỷỹỵÿ"}, {'z', "źżž"},
	} {
		if strings.ContainsRune(f.from, r) {
			return f.to
		}
	}
	return r
}
