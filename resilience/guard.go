package resilience

import (
	"context"
	"log/slog"
	"time"
)

// GuardOptions configures a [Guard]. The zero value is a working configuration.
type GuardOptions struct {
	// Name labels metrics. Default "guard".
	Name string
	// Window is the time after which counting starts afresh and what was withheld
	// is summed up. Default 10 s; at least 1 ms.
	Window time.Duration
	// First is how many records of one fingerprint pass in a window. Default 5.
	First int
	// Every lets each so many-th further record of a fingerprint pass. Default
	// 100; negative: none.
	Every int
	// MaxKeys bounds the fingerprints told apart in one window; the rest is
	// counted together. Default 4096, which take less than a mebibyte.
	MaxKeys int
	// PerSecond bounds what passes for all fingerprints together, on average; the
	// samples at the end of a window come on top. Default 100; negative: no bound.
	PerSecond int
	// Burst bounds what passes for all fingerprints at once. Default 200, or
	// PerSecond if that is more.
	Burst int
	// MinLevel is the level from which Handler guards; lower records pass
	// untouched. Default slog.LevelWarn.
	MinLevel slog.Leveler
	// Classifier says what the errors are. Default: [Classify].
	Classifier *Classifier
	// Hooks observes the guard.
	Hooks GuardHooks
	// Disabled lets everything pass.
	Disabled bool
}

// GuardHooks is a set of optional callbacks, called under no lock, so that they may
// use the guard and what it guards, Close apart. Fields may be added in any release.
type GuardHooks struct {
	// Summary is called at the end of a window, and by Flush, for each fingerprint
	// of which something was withheld since it passed last.
	Summary func(Summary)
}

// Summary tells what was withheld of one fingerprint.
type Summary struct {
	// Fingerprint is the one that Observe returned; 0 for what was counted
	// together because MaxKeys was reached.
	Fingerprint uint64
	// Class is that of the first withheld error, if it was an error.
	Class Class
	// Code is that of the same error; it may be empty.
	Code string
	// Suppressed is how many were withheld since the last one that passed.
	Suppressed uint64
	// Distinct is how many fingerprints these had: 1, or, for what was counted
	// together, an estimate for all of that in the window, 3 % off as a rule.
	Distinct uint64
}

// Decision is the answer of [Guard.Observe].
type Decision struct {
	// Emit says that this occurrence should be logged.
	Emit bool
	// New says that it is the first of its fingerprint in this window, whether it
	// passes or not. It is false beyond MaxKeys.
	New bool
	// Suppressed is, when Emit is set, how many like it were withheld since the
	// last one that passed. The sum of 1+Suppressed over all that pass, and of
	// Suppressed over all summaries, is the number of occurrences.
	Suppressed uint64
	// Fingerprint identifies errors of the same kind. It is the same in each
	// process of one build.
	Fingerprint uint64
}

// GuardStats is a snapshot of a guard's counters since NewGuard. Records below
// MinLevel, and all of a disabled guard, are not counted.
type GuardStats struct {
	// Observed occurrences, of which Emitted passed and Suppressed did not. The
	// samples logged at the end of a window count as suppressed.
	Observed, Emitted, Suppressed uint64
	// Overflowed counts occurrences without a fingerprint of their own because
	// MaxKeys was reached.
	Overflowed uint64
	// Keys are told apart now.
	Keys int
}

// Handler wraps next so that floods of like records, as [Guard] tells them, are
// thinned: of each kind the First in a window pass and then each Every-th. A record
// that passes carries suppressed=N if N like it were withheld before. At the end of
// a window one withheld record of each kind is logged with the number of the others.
// The attribute stands in the group that is open. Several handlers may share a
// guard; what they pass to next is counted together.
func (g *Guard) Handler(next slog.Handler) slog.Handler {
	return &guardHandler{guard: g, next: next, with: newHash()}
}

type guardHandler struct {
	guard *Guard
	next  slog.Handler
	with  hash // of what was given to WithAttrs
}

// Enabled reports what next does.
func (h *guardHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithAttrs returns a handler of the same guard; errors among attrs partake in the
// fingerprints of its records.
func (h *guardHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := &guardHandler{guard: h.guard, next: h.next.WithAttrs(attrs), with: h.with}
	for _, a := range attrs {
		n.with.attr(a, h.guard.opts.Classifier, 0)
	}
	return n
}

// WithGroup returns a handler of the same guard.
func (h *guardHandler) WithGroup(name string) slog.Handler {
	return &guardHandler{guard: h.guard, next: h.next.WithGroup(name), with: h.with}
}

// Handle passes or withholds the record.
func (h *guardHandler) Handle(ctx context.Context, r slog.Record) error {
	g := h.guard
	if g.opts.Disabled || r.Level < g.opts.MinLevel.Level() {
		return h.next.Handle(ctx, r)
	}
	f := h.with
	f.record(&r, g.opts.Classifier)
	fingerprint := f.sum()
	d, counted := g.count(fingerprint, nil)
	if !counted {
		d, _ = g.count(fingerprint, newSample(&r, h.next, g.room.grant()))
	}
	if !d.Emit {
		return nil
	}
	if d.Suppressed > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Uint64("suppressed", d.Suppressed))
	}
	return h.next.Handle(ctx, r)
}
