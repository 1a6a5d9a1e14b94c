package resilience

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// labels renders name-value pairs as {a="x",b="y"}. The text format is UTF-8, and one
// byte that is not would cost the whole page, so such bytes become U+FFFD and their
// hexadecimal digits, by which names stay apart.
func labels(pairs ...string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`) // As the text format asks.
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if i == 0 {
			b.WriteByte('{')
		} else {
			b.WriteByte(',')
		}
		b.WriteString(pairs[i])
		b.WriteString(`="`)
		b.WriteString(escape.Replace(valid(pairs[i+1])))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

// valid replaces what is not UTF-8 in s.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, "\uFFFD%02x", s[0])
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// stripe selects the cell of whatever is split among processors. One serves all
// that a call counts; it is mixed from the clock, if that was read anyway.
type stripe uint32

const stripeMix = 0x9E3779B97F4A7C15 // the golden ratio, in 64 bits

func anyStripe() stripe { return stripe(rand.Uint32()) }

const counterCells = 8 // power of two

// counter is a count that many processors raise at once.
type counter struct {
	cells [counterCells]struct {
		n atomic.Uint64
		_ [56]byte
	}
}

func (c *counter) inc() { c.add(anyStripe()) }

// add counts one in the cell that s selects.
func (c *counter) add(s stripe) { c.cells[s%counterCells].n.Add(1) }

func (c *counter) load() (n uint64) {
	for i := range c.cells {
		n += c.cells[i].n.Load()
	}
	return n
}
