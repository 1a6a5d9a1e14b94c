package resilience

import (
	"log/slog"
	"reflect"
)

// hash is FNV-1a, 64 bits, over the parts of a fingerprint.
type hash uint64

func newHash() hash { return 14695981039346656037 }

func (h *hash) byte(c byte) { *h = (*h ^ hash(c)) * 1099511628211 }

func (h *hash) string(s string) {
	for i := range len(s) {
		h.byte(s[i])
	}
	h.byte(0)
}

func (h *hash) word(n uint64) {
	for ; n != 0; n >>= 8 {
		h.byte(byte(n))
	}
	h.byte(0)
}

// sum mixes the bits, so that any of them may choose a shard. It is never 0.
func (h *hash) sum() uint64 {
	x := uint64(*h)
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return max(1, x)
}

// maxText is how many bytes of a text matter.
const maxText = 128

// text adds a text without its changing parts: a run of digits, or of letters and
// digits mixed, counts as one sign; so does a quoted part.
func (h *hash) text(s string) {
	s = s[:min(len(s), maxText)]
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\'' || c == '`':
			end := i + 1
			for end < len(s) && s[end] != c {
				end++
			}
			if end == len(s) { // An apostrophe.
				h.byte(c)
				i++
				continue
			}
			h.byte('"')
			i = end + 1
		case isWord(c):
			end, digits := i, false
			for end < len(s) && isWord(s[end]) {
				digits = digits || s[end] >= '0' && s[end] <= '9'
				end++
			}
			if digits {
				h.byte('#')
			} else {
				for ; i < end; i++ {
					h.byte(s[i])
				}
			}
			i = end
		default:
			h.byte(c)
			i++
		}
	}
	h.byte(0)
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

// error adds the types of err's chain, its class and code, and the text of a leaf
// whose type says nothing. Addresses, names and other texts are left out.
func (h *hash) error(err error, info Info) {
	h.byte(byte(info.Class))
	h.string(info.Code)
	for range maxDepth {
		name := reflect.TypeOf(err).String()
		h.string(name)
		many, one := unwrap(err)
		if len(many) > 0 {
			one = many[0]
		}
		if one == nil {
			if name == "*errors.errorString" {
				h.text(err.Error())
			}
			return
		}
		err = one
	}
}

// recordFingerprint identifies the kind of a log record.
func recordFingerprint(g *Guard, r slog.Record) uint64 {
	h := newHash()
	h.word(uint64(r.PC))
	h.word(uint64(r.Level + 64))
	h.text(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if k := a.Value.Kind(); k != slog.KindAny && k != slog.KindLogValuer {
			return true // Boxing the others would cost memory.
		}
		switch v := a.Value.Any().(type) {
		case Info:
			h.byte(byte(v.Class))
			h.string(v.Code)
		case error:
			h.error(v, g.opts.Classifier.Classify(v))
		}
		return true
	})
	return h.sum()
}
