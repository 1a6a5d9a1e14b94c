package cache

import (
	"fmt"
	"strings"
)

// Levels says where the entries of a strategy are kept.
type Levels int

// The levels. Invalidations reach the memory of all nodes with each of them.
const (
	Both       Levels = iota // in memory and, with a Codec, in Options.Remote
	MemoryOnly               // in memory only, although there is a Codec
)

func (l Levels) valid() bool { return l == Both || l == MemoryOnly }

// String returns the name that UnmarshalText accepts: both or memory.
func (l Levels) String() string {
	switch l {
	case Both:
		return "both"
	case MemoryOnly:
		return "memory"
	}
	return fmt.Sprintf("Levels(%d)", int(l))
}

// MarshalText returns the name of l, or an error matching ErrOptions when l is none
// of the constants.
func (l Levels) MarshalText() ([]byte, error) {
	if !l.valid() {
		return nil, fmt.Errorf("%w: Levels %d is unknown", ErrOptions, int(l))
	}
	return []byte(l.String()), nil
}

// UnmarshalText sets l from its name, in any case. An unknown name is an error
// matching ErrOptions and leaves l as it was.
func (l *Levels) UnmarshalText(text []byte) error {
	for v := Both; v.valid(); v++ {
		if strings.EqualFold(v.String(), string(text)) {
			*l = v
			return nil
		}
	}
	return fmt.Errorf("%w: unknown levels %q", ErrOptions, text)
}
