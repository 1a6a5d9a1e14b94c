package cache

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Strategy says how the values of one view are cached. Only Name is required; a
// zero field means the default that its comment gives. Add keeps no reference to it.
type Strategy[V any] struct {
	// Name identifies the view in the cache, in metrics and in the second level.
	// Required, unique in a cache, at most 128 bytes, without ':' and control
	// characters.
	Name string
	// TTL is how long a value is fresh. Default 5 minutes; negative: for ever.
	TTL time.Duration
	// StaleWhileRevalidate is how long after the end of freshness Load still
	// answers with the old value at once, while one refresh runs in the background.
	// Default 0: not at all.
	StaleWhileRevalidate time.Duration
	// StaleIfError is how long after the end of freshness the old value answers
	// when the loader fails or times out, and the calls of the minute after that
	// without waiting (see View.Load). An error matching ErrNotFound is an answer,
	// not a failure. Default 0: not at all.
	StaleIfError time.Duration
	// NegativeTTL is how long a loader's error matching ErrNotFound is cached.
	// Default 0: not at all.
	NegativeTTL time.Duration
	// Idle drops a value that was not read for this long (to about 1/16 of it).
	// Default 0: reads do not matter.
	Idle time.Duration
	// Jitter shortens each TTL by a random share of up to Jitter, so that entries
	// stored together do not expire together. Range up to 1. Default 0.1; negative: none.
	Jitter float64
	// RefreshAhead is the share of the TTL after which a Load starts a background
	// refresh although the value is still fresh. Range 0 to below 1. Default 0: off.
	RefreshAhead float64
	// HardTimeout bounds one run of a loader; then Load returns ErrTimeout, or the
	// old value within StaleIfError. Default 0: no bound.
	HardTimeout time.Duration
	// Tags are on every entry of the view.
	Tags []string
	// Version is part of the identity of stored records: raise it when V changes,
	// so that bytes of the old shape are never decoded. Range 0 and up.
	Version int
	// SizeOf reports the bytes that a value keeps alive; it must be pure. Default:
	// the value's SizeBytes method if it is a Sizer, else an estimate.
	SizeOf func(V) int64
	// Clone copies a value. With it, callers own what they get and what they gave.
	// Default nil: values are shared, and nobody may modify them.
	Clone func(V) V
	// Codec turns values into bytes and back. Needed by Compression and by the
	// second level, which a strategy without Codec does not use, and by [Cache.Snapshot].
	// Default: none.
	Codec Codec[V]
	// Compression keeps entries in memory, and records in the second level, as
	// compressed Codec bytes when that saves at least 1/8. A hit then decodes, and
	// owns what it gets. Default None.
	Compression Compression
	// Dicts are dictionaries that [TrainDict] made: the first one compresses, all
	// decompress. Give the same bytes to all nodes. To replace a dictionary, put the
	// new one in front and keep the old one for as long as records made with it last;
	// bytes of a dictionary that is not given count as a miss. Needs a Compression.
	// At most 16. Default none.
	Dicts [][]byte
	// Levels says whether a strategy with a Codec uses the second level. Default Both.
	Levels Levels
	// Lease makes the nodes that share a second level load a key once in all: the one
	// that gets the lease loads, the others wait for its record, for up to Lease, and
	// then load as well. Give it somewhat more than a load takes. It spares work and
	// promises nothing: a second level that fails, or that has no leases, leaves each
	// node to load for itself, and a Load is delayed by Lease and two
	// Options.RemoteTimeout at most. HardTimeout counts the waiting. It is for Load and
	// Warm, not for LoadMany and RefreshAhead, and costs two more round trips for each
	// load, and one afterwards. Needs a Codec. Default 0: off.
	Lease time.Duration
}

func (s Strategy[V]) withDefaults() (Strategy[V], error) {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	switch {
	case s.Name == "":
		bad("Name is empty")
	case len(s.Name) > maxNameLen:
		bad("Name is longer than %d bytes", maxNameLen)
	case strings.ContainsFunc(s.Name, func(r rune) bool { return r == ':' || r < ' ' || r == 0x7f }):
		bad("Name %q has a ':' or a control character", s.Name)
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"StaleWhileRevalidate", s.StaleWhileRevalidate}, {"StaleIfError", s.StaleIfError},
		{"NegativeTTL", s.NegativeTTL}, {"Idle", s.Idle}, {"HardTimeout", s.HardTimeout},
		{"Lease", s.Lease},
	} {
		if d.d < 0 {
			bad("%s %v is negative", d.name, d.d)
		}
	}
	if !(s.Jitter <= 1) {
		bad("Jitter %v is above 1", s.Jitter)
	}
	if !(s.RefreshAhead >= 0 && s.RefreshAhead < 1) {
		bad("RefreshAhead %v is not in [0, 1)", s.RefreshAhead)
	}
	if s.Version < 0 {
		bad("Version %d is negative", s.Version)
	}
	if slices.Contains(s.Tags, "") {
		bad("Tags has an empty tag")
	}
	if !s.Compression.valid() {
		bad("Compression %d is unknown", int(s.Compression))
	}
	if s.Compression != None && s.Codec == nil {
		bad("Compression needs a Codec")
	}
	if s.Lease > 0 && s.Codec == nil {
		bad("Lease needs a Codec")
	}
	if !s.Levels.valid() {
		bad("Levels %d is unknown", int(s.Levels))
	}
	if s.Lease > 0 && s.Levels == MemoryOnly {
		bad("Lease needs the second level")
	}
	if len(s.Dicts) > 0 && s.Compression == None {
		bad("Dicts need a Compression")
	}
	if _, err := newPacker(s.Dicts); err != nil {
		bad("%w", err)
	}
	if len(errs) > 0 {
		return s, fmt.Errorf("%w: strategy %q: %w", ErrOptions, s.Name, errors.Join(errs...))
	}
	if s.TTL == 0 {
		s.TTL = defaultTTL
	}
	if s.TTL < 0 {
		s.TTL = maxDuration
	}
	switch {
	case s.Jitter == 0:
		s.Jitter = defaultJitter
	case s.Jitter < 0:
		s.Jitter = 0
	}
	s.Tags = slices.Clone(s.Tags)
	return s, nil
}

// Sizer is a value that knows how many bytes it keeps alive. See [Strategy.SizeOf].
type Sizer interface {
	// SizeBytes returns the bytes that the value keeps alive. It must be pure and
	// must not be negative.
	SizeBytes() int64
}

// Compression chooses how stored bytes are compressed.
type Compression int

// The compressions. All decode any of the others, so that a setting may change
// between releases.
const (
	None Compression = iota // keep values as they are
	Auto                    // nothing below 512 bytes, S2 below 4 KiB, Zstd from there; with Dicts 256 and 512
	S2                      // cheap, moderate saving
	Zstd                    // dearer, larger saving
)

func (c Compression) valid() bool { return c >= None && c <= Zstd }

// String returns the name that UnmarshalText accepts: none, auto, s2 or zstd.
func (c Compression) String() string {
	switch c {
	case None:
		return "none"
	case Auto:
		return "auto"
	case S2:
		return "s2"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("Compression(%d)", int(c))
}

// MarshalText returns the name of c, or an error matching ErrOptions when c is
// none of the constants.
func (c Compression) MarshalText() ([]byte, error) {
	if !c.valid() {
		return nil, fmt.Errorf("%w: Compression %d is unknown", ErrOptions, int(c))
	}
	return []byte(c.String()), nil
}

// UnmarshalText sets c from its name, in any case. An unknown name is an error
// matching ErrOptions and leaves c as it was.
func (c *Compression) UnmarshalText(text []byte) error {
	for v := None; v <= Zstd; v++ {
		if strings.EqualFold(v.String(), string(text)) {
			*c = v
			return nil
		}
	}
	return fmt.Errorf("%w: unknown compression %q", ErrOptions, text)
}
