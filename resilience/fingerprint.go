package resilience

import (
	"errors"
	"log/slog"
	"math/bits"
	"reflect"
)

// hash is the state of a fingerprint. It takes eight bytes at a time; it does not
// withstand someone who looks for collisions.
type hash uint64

func newHash() hash { return 14695981039346656037 }

// word adds n: a multiplication to 128 bits, folded.
func (h *hash) word(n uint64) {
	high, low := bits.Mul64(uint64(*h)^n, stripeMix)
	*h = hash(high ^ low)
}

// string adds s and its length.
func (h *hash) string(s string) {
	n := uint64(len(s))
	for ; len(s) >= 8; s = s[8:] {
		h.word(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
	}
	var rest uint64
	for i := range len(s) {
		rest = rest<<8 | uint64(s[i])
	}
	h.word(rest | n<<56)
}

// sum mixes the bits, so that any of them may choose a shard. It is never 0.
func (h *hash) sum() uint64 {
	x := uint64(*h)
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return max(1, x)
}

const (
	maxText = 128  // bytes of a text that matter, without its changing parts
	maxRaw  = 1024 // bytes of a text that are looked at
)

// text adds a text without its changing parts: a run of digits, or of letters and
// digits mixed, counts as one sign; so does a quoted part. Most texts have none of
// these and are taken as they are.
func (h *hash) text(s string) {
	plain := s[:min(len(s), maxText)]
	for i := range len(plain) {
		if changing(plain[i]) {
			h.normalized(s[:min(len(s), maxRaw)])
			return
		}
	}
	h.string(plain)
}

// normalized adds s as text does if something in it changes.
func (h *hash) normalized(s string) {
	var room [maxText]byte
	out := room[:0]
	for i := 0; i < len(s) && len(out) < maxText; {
		c := s[i]
		switch {
		case isWord(c):
			end, digits := i, false
			for end < len(s) && isWord(s[end]) {
				digits = digits || isDigit(s[end])
				end++
			}
			if digits {
				out = append(out, '#')
			} else {
				out = append(out, s[i:min(end, i+maxText-len(out))]...)
			}
			i = end
		case isQuote(c) && (i == 0 || c != '\'' || !isWord(s[i-1])): // Else an apostrophe.
			end := i + 1
			for end < len(s) && s[end] != c {
				end++
			}
			if end == len(s) {
				end = i // It is never closed.
			}
			out = append(out, '"')
			i = end + 1
		default:
			out = append(out, c)
			i++
		}
	}
	h.word(uint64(len(out)))
	for len(out) > 0 {
		var w uint64
		n := min(8, len(out))
		for i := range n {
			w |= uint64(out[i]) << (8 * i)
		}
		h.word(w)
		out = out[n:]
	}
}

func changing(c byte) bool { return isDigit(c) || isQuote(c) }
func isDigit(c byte) bool  { return c-'0' < 10 }
func isQuote(c byte) bool  { return c == '"' || c == '\'' || c == '`' }
func isWord(c byte) bool   { return isDigit(c) || (c|0x20)-'a' < 26 || c >= 0x80 }

// error adds the types of err's chain, its class and code, and the text of a leaf
// whose type says nothing. Addresses, names and other texts are left out.
func (h *hash) error(err error, c *Classifier) {
	if (c == nil || len(c.rules) == 0) && h.plain(err) {
		return
	}
	info := c.Classify(err)
	h.word(uint64(info.Class))
	h.string(info.Code)
	for range maxDepth {
		t := reflect.TypeOf(err)
		h.string(t.String())
		many, one := unwrap(err)
		if len(many) > 0 {
			one = many[0]
		}
		if one == nil {
			if t == textType {
				h.text(err.Error())
			}
			return
		}
		err = one
	}
}

// Fingerprint returns the number by which errors of the same kind are known, as in
// Decision.Fingerprint: it comes of types, class, code and, for plain errors, the
// text without its numbers and quoted parts. It is the same in each process of one
// build, and 0 for nil.
func Fingerprint(err error) uint64 { return fingerprint(err, nil) }

func fingerprint(err error, c *Classifier) uint64 {
	if err == nil {
		return 0
	}
	h := newHash()
	h.error(err, c)
	return h.sum()
}

// plain adds err without a walk through all that [Classify] knows, if its whole
// chain is of errors.New and of fmt.Errorf with one %w: then only the innermost text
// says anything. If it returns false, it has added nothing.
func (h *hash) plain(err error) bool {
	for depth := range uint64(maxDepth) {
		switch reflect.TypeOf(err) {
		case textType:
			var f finding
			f.text(err)
			h.word(depth)
			h.word(uint64(f.info.Class))
			h.string(f.info.Code)
			h.text(err.Error())
			return true
		case wrapType:
			err = errors.Unwrap(err)
		default:
			return false
		}
	}
	return false
}

// maxGroups is how deep groups of attributes are looked at.
const maxGroups = 8

// attr adds the errors and Infos of an attribute. Other values, and keys, tell
// nothing about the kind; a LogValuer is not asked, since that may be dear.
func (h *hash) attr(a slog.Attr, c *Classifier, depth int) {
	switch a.Value.Kind() { //nolint:exhaustive // Boxing the others would cost memory.
	case slog.KindGroup:
		if depth < maxGroups {
			for _, inner := range a.Value.Group() {
				h.attr(inner, c, depth+1)
			}
		}
	case slog.KindAny, slog.KindLogValuer:
		switch v := a.Value.Any().(type) {
		case Info:
			h.word(uint64(v.Class))
			h.string(v.Code)
		case error:
			h.error(v, c)
		}
	}
}

// record adds what tells kinds of log records apart.
func (h *hash) record(r *slog.Record, c *Classifier) {
	h.word(uint64(r.PC))
	h.word(uint64(r.Level))
	h.text(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		h.attr(a, c, 0)
		return true
	})
}
