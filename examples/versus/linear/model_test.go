package linear

import (
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// A value is a number that no other value has, with the way it came in its low bits.
type value int64

const (
	tagged   value = iota // by a loader that names a dynamic tag
	untagged              // by the loader of LoadMany, which names none
	written               // by Set
	ways     = 4
)

func (v value) way() value { return v % ways }

type kind int

const (
	read    kind = iota // a loader looks at what it is to return
	load                // also of LoadMany
	get                 // never waits, never stale
	set                 // by hand
	drop                // Delete, DeleteTag of a static tag
	dropDyn             // DeleteTag of a dynamic tag
	soft                // Expire
	softTag             // ExpireTag of a static tag
	softDyn             // ExpireTag of a dynamic tag
)

func (k kind) String() string {
	return [...]string{"read", "load", "get", "set", "drop", "dropDyn", "soft", "softTag", "softDyn"}[k]
}

// input is what is known of an operation besides its answer, which is a value; 0 is a
// miss of get.
type input struct {
	kind      kind
	value     value         // of read and set
	call, ret time.Duration // since the start
	wait      bool          // a load that does not take a stale value
	amid      bool          // a set during an invalidation, which may hit it too
}

// rules says what a cache promises for a key.
type rules struct {
	ttl    time.Duration // 0: for ever
	window time.Duration // StaleWhileRevalidate
	strict bool          // nothing is evicted: what was set is there
	// born is when a value was in the cache at the latest, for the end of its TTL.
	born map[value]time.Duration
}

// state is a sequential cache of one key. What was set, and what loaders have read
// since, is fresh; a write forgets both, or makes both stale.
type state struct {
	held  value   // by the last Set, or 0
	sure  bool    // held is there unless it was hit
	read  []value // by loaders since the last write, ascending
	stale []old
}

type old struct {
	value value
	end   time.Duration // 0: the window runs from when a load first notices
}

func (s state) equal(o state) bool {
	return s.held == o.held && s.sure == o.sure && slices.Equal(s.read, o.read) && slices.Equal(s.stale, o.stale)
}

// model makes the sequential specification. A load answers with what was set last or
// with what a loader read after the last invalidation: an operation that overlaps
// the invalidation may be put before or after it, one that began later may not. Which
// of several readings since then answers is left open: they all saw the same rows.
func (r rules) model() porcupine.Model {
	return porcupine.Model{
		Init:  func() any { return state{} },
		Equal: func(a, b any) bool { return a.(state).equal(b.(state)) },
		Step: func(st, in, out any) (bool, any) {
			return r.step(st.(state), in.(input), out.(value))
		},
	}
}

func (r rules) step(s state, in input, out value) (bool, any) {
	switch in.kind {
	case read:
		i, _ := slices.BinarySearch(s.read, in.value)
		s.read = slices.Insert(slices.Clone(s.read), i, in.value)
	case set:
		s = state{held: in.value, sure: r.strict && !in.amid}
	case drop:
		s = state{}
	case dropDyn:
		s = s.without(func(v value) bool { return v.way() == tagged })
	case soft, softTag:
		s = s.soften(func(value) bool { return true }, r.window, r.end(in))
	case softDyn:
		s = s.soften(func(v value) bool { return v.way() == tagged }, r.window, 0)
	case get, load:
		if in.kind == get && out == 0 {
			return !s.sure, s
		}
		if r.fresh(s, in, out) {
			return true, s
		}
		return r.stale(s, in, out)
	}
	return true, s
}

// end is when a key that was expired directly stops to answer.
func (r rules) end(in input) time.Duration {
	if in.kind == soft {
		return in.ret + r.window
	}
	return 0
}

// fresh tells whether s has out.
func (r rules) fresh(s state, in input, out value) bool {
	if life := r.life(in); life > 0 && in.call > r.born[out]+life {
		return false
	}
	return out != 0 && out == s.held || slices.Contains(s.read, out)
}

// life is how old a value may be that answers, 0 for any age.
func (r rules) life(in input) time.Duration {
	if r.ttl == 0 || in.kind == get || in.wait {
		return r.ttl
	}
	return r.ttl + r.window
}

// stale answers with out if its window is open, which its first answer starts.
func (r rules) stale(s state, in input, out value) (bool, any) {
	if in.kind == get || in.wait || r.ttl > 0 && in.call > r.born[out]+r.ttl+r.window {
		return false, s
	}
	i := slices.IndexFunc(s.stale, func(o old) bool { return o.value == out })
	if i < 0 || s.stale[i].end > 0 && in.call > s.stale[i].end {
		return false, s
	}
	if s.stale[i].end == 0 {
		s.stale = slices.Clone(s.stale)
		s.stale[i].end = in.ret + r.window
	}
	return true, s
}

func (s state) without(hit func(value) bool) state {
	var next state
	if !hit(s.held) {
		next.held, next.sure = s.held, s.sure
	}
	for _, v := range s.read {
		if !hit(v) {
			next.read = append(next.read, v)
		}
	}
	for _, o := range s.stale {
		if !hit(o.value) {
			next.stale = append(next.stale, o)
		}
	}
	return next
}

// soften makes what is hit stale until end.
func (s state) soften(hit func(value) bool, window, end time.Duration) state {
	next := s.without(hit)
	next.stale = slices.Clone(s.stale)
	if window == 0 {
		return next
	}
	for i := range next.stale {
		if next.stale[i].end == 0 {
			next.stale[i].end = end
		}
	}
	for _, v := range append([]value{s.held}, s.read...) {
		if v != 0 && hit(v) && !slices.ContainsFunc(next.stale, func(o old) bool { return o.value == v }) {
			next.stale = append(next.stale, old{v, end})
		}
	}
	return next
}
