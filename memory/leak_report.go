package memory

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// LeakKind says what a [Suspect] is made of.
type LeakKind uint8

const (
	// LeakHeap is the live heap as a whole.
	LeakHeap LeakKind = iota
	// LeakGoroutines is one group of goroutines, or all of them where they could
	// not be grouped.
	LeakGoroutines
	// LeakProven is goroutines that the runtime has proved to be blocked for ever,
	// more of them than at the first sample.
	LeakProven
)

// String returns "heap", "goroutines" or "proven".
func (k LeakKind) String() string {
	switch k {
	case LeakHeap:
		return "heap"
	case LeakGoroutines:
		return "goroutines"
	case LeakProven:
		return "proven"
	}
	return fmt.Sprintf("LeakKind(%d)", uint8(k))
}

// MarshalText returns the name as String does, so that JSON shows it.
func (k LeakKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LeakReport is what a [LeakDetector] holds against the program now.
type LeakReport struct {
	// At is the time of the last sample.
	At time.Time
	// Windows is how many windows are remembered, at most 47; below ten there is no
	// trend to judge.
	Windows int
	// Suspects are sorted by kind, then by growth, the largest first. The caller
	// owns the slice.
	Suspects []Suspect
}

// Suspect is something that grows as a leak does. It is evidence, not proof, unless
// its kind is [LeakProven].
type Suspect struct {
	// Kind says what grows; amounts are bytes for LeakHeap, else goroutines.
	Kind LeakKind
	// Group is the goroutines, with their number now; zero for LeakHeap, and
	// without names where goroutines could not be grouped.
	Group GoroutineGroup
	// Since is when it was first suspected.
	Since time.Time
	// Now is the amount at the last sample.
	Now int64
	// Growth is what came in Windows windows and was kept.
	Growth int64
	// Rate is Growth for one window.
	Rate float64
	// Windows is how many windows the evidence spans, and Rose in how many of them
	// the amount rose.
	Windows, Rose int
	// Confidence is 1 less the noise of a window over Rate: 1 for growth like a
	// ruler, about 0.7 for the noisiest that is still reported. It is no probability.
	Confidence float64
	// Sites are, for LeakHeap, the allocation sites whose live memory grew most, as
	// the runtime's sampled heap profile saw it when the suspicion began; at most 5.
	Sites []AllocSite

	level float64 // amount at suspicion less half of the growth: below, it is cleared
}

// AllocSite is a place that allocates.
type AllocSite struct {
	// Function is the innermost function outside the runtime.
	Function string
	// Line is its source position, "file.go:12", without the directory.
	Line string
	// Grown is how many bytes more from there were live, as estimated from samples.
	Grown int64
}

// String describes the suspect in one line for a person to read.
func (s Suspect) String() string {
	what, unit := "heap", "bytes"
	if s.Kind != LeakHeap {
		unit = "goroutines"
		what = "goroutines"
		if s.Group.Entry != "" {
			what = fmt.Sprintf("%s in %s", s.Group.Entry, s.Group.At)
		}
	}
	if s.Kind == LeakProven {
		return fmt.Sprintf("proven: %s: %d %s blocked for ever", what, s.Now, unit)
	}
	var line strings.Builder
	fmt.Fprintf(&line, "%s: +%.0f %s a window, rose in %d of %d, now %d", what, s.Rate, unit, s.Rose, s.Windows, s.Now)
	for _, site := range s.Sites {
		fmt.Fprintf(&line, "; %s (%s) +%d", site.Function, site.Line, site.Grown)
	}
	return line.String()
}

// LogValue returns the figures as a group of attributes.
func (s Suspect) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("kind", s.Kind.String()),
		slog.String("entry", s.Group.Entry),
		slog.String("at", s.Group.At),
		slog.Int64("now", s.Now),
		slog.Int64("growth", s.Growth),
		slog.Float64("rate", s.Rate),
		slog.Float64("confidence", s.Confidence),
	)
}
