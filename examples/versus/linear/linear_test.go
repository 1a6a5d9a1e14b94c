package linear

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/ristrettocache"
	"github.com/perfblocks/perfblocks/examples/memoryengine"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

const (
	keys     = 6 // of each view in a round
	dyns     = 3 // dynamic tags; a key of any view has the one of its number
	writers  = 4 // goroutines
	opsEach  = 150
	roundOps = writers * opsEach
)

// place is where a history is recorded: a key of a view, or of what depends on the
// key of the plain view, by a nested load or by name.
type place struct{ view, key int }

const (
	outer = views + iota
	named
)

// round is one run of the goroutines over fresh keys, and what they saw.
type round struct {
	s      subject
	n      int // names the keys
	start  time.Time
	values *atomic.Int64
	slow   bool // loaders let others go on
	strict bool // nothing is evicted

	mu  sync.Mutex
	log map[place][]porcupine.Operation // guarded by mu
}

func (r *round) id(key int) string { return fmt.Sprint(r.n, "-", key) }
func dyn(key int) string           { return fmt.Sprint("dyn", key%dyns) }

// do runs an operation and records it at the places.
func (r *round) do(g int, in input, at []place, op func() value) {
	in.call = time.Since(r.start)
	out := op()
	in.ret = time.Since(r.start)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range at {
		in := in
		if p.view == named && in.kind == set {
			in.kind = drop // the value is another entry's
		}
		r.log[p] = append(r.log[p], porcupine.Operation{ClientId: g, Input: in, Output: out, Call: int64(in.call), Return: int64(in.ret)})
	}
}

// look is what loaders do: they read a new value, and take some time after it.
func (r *round) look(g int, view, key int, way value) value {
	v := value(r.values.Add(1))*ways + way
	at := []place{{view, key}}
	if view == plain {
		at = append(at, place{outer, key})
	}
	r.do(g, input{kind: read, value: v}, at, func() value { return 0 })
	if r.slow {
		for range v / ways % 8 {
			runtime.Gosched()
		}
		if v/ways%16 == 0 {
			time.Sleep(100 * time.Microsecond)
		}
	}
	return v
}

// affected are the places that a write of a key of a view concerns, but for the entry
// that names it.
func affected(view, key int) []place {
	if view == plain {
		return []place{{view, key}, {outer, key}}
	}
	return []place{{view, key}}
}

func orZero(v value, ok bool) value {
	if !ok {
		return 0
	}
	return v
}

// basic is one random operation that every subject has.
func (r *round) basic(g int, rng *rand.Rand) {
	key := rng.IntN(keys)
	id, at := r.id(key), affected(plain, key)
	switch k := rng.IntN(10); {
	case k < 4:
		if _, ok := r.s.(raw); ok {
			r.do(g, input{kind: get}, at[:1], func() value { return orZero(r.s.get(id)) })
			return
		}
		r.do(g, input{kind: load}, at[:1], func() value {
			return r.s.load(id, func() value { return r.look(g, plain, key, tagged) })
		})
	case k < 6:
		r.do(g, input{kind: get}, at[:1], func() value { return orZero(r.s.get(id)) })
	case k < 8:
		v := value(r.values.Add(1))*ways + written
		r.do(g, input{kind: set, value: v}, at, func() value { r.s.set(id, v); return 0 })
	default:
		r.do(g, input{kind: drop}, at, func() value { r.s.del(id); return 0 })
	}
}

// full is one random operation of all that ours can do.
func (r *round) full(g int, rng *rand.Rand, s tagger) {
	view, key := rng.IntN(views), rng.IntN(keys)
	id, at := r.id(key), affected(view, key)
	if view == plain {
		at = append(at, place{named, key})
	}
	look := func() value { return r.look(g, view, key, tagged) }
	switch k := rng.IntN(100); {
	case k < 6:
		inner := func() value { return r.look(g, plain, key, tagged) }
		r.do(g, input{kind: load, wait: true}, []place{{named, key}}, func() value {
			return s.named(id, dyn(key), inner, func() value { return r.look(g, named, key, tagged) })
		})
	case k < 36:
		r.do(g, input{kind: load}, at[:1], func() value { return s.loadIn(view, id, dyn(key), look) })
	case k < 48:
		view = plain
		r.do(g, input{kind: load, wait: true}, []place{{outer, key}}, func() value { return s.nested(id, dyn(key), look) })
	case k < 58:
		r.many(g, view, key, (key+1+rng.IntN(keys-1))%keys, s)
	case k < 62:
		s.warm(view, id, dyn(key), look)
	case k < 72:
		r.do(g, input{kind: get}, at[:1], func() value { return orZero(s.getIn(view, id)) })
	case k < 80:
		v := value(r.values.Add(1))*ways + written
		r.do(g, input{kind: set, value: v}, at, func() value { s.setIn(view, id, v); return 0 })
	case k < 86:
		r.do(g, input{kind: drop}, at, func() value { s.delIn(view, id, true); return 0 })
	case k < 92:
		r.do(g, input{kind: soft}, at, func() value { s.delIn(view, id, false); return 0 })
	default:
		r.invalidate(g, rng, s, view, key)
	}
}

// many loads two keys at once: two loads that began and ended together.
func (r *round) many(g, view, k1, k2 int, s tagger) {
	call := time.Since(r.start)
	ids := map[string]int{r.id(k1): k1, r.id(k2): k2}
	got := s.many(view, []string{r.id(k1), r.id(k2)}, func(id string) value { return r.look(g, view, ids[id], untagged) })
	in := input{kind: load, wait: true, call: call, ret: time.Since(r.start)}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, key := range ids {
		p := place{view, key}
		r.log[p] = append(r.log[p], porcupine.Operation{ClientId: g, Input: in, Output: got[id], Call: int64(in.call), Return: int64(in.ret)})
	}
}

// invalidate hits a tag: that of a view, or that of some keys of all views.
func (r *round) invalidate(g int, rng *rand.Rand, s tagger, view, key int) {
	hard, wide := rng.IntN(2) == 0, rng.IntN(3) == 0
	name, what := dyn(key), softDyn
	switch {
	case wide && hard:
		name, what = static(view), drop
	case wide:
		name, what = static(view), softTag
	case hard:
		what = dropDyn
	}
	var at []place
	for v := range views {
		for k := range keys {
			if wide && v == view || !wide && dyn(k) == name {
				at = append(at, affected(v, k)...)
			}
			// The entry by name has the dynamic tag too, and is hit by the others of the entry
			// that it names, which was there when it was loaded: unless that was evicted.
			if v == plain && (wide && v == view && r.strict || !wide && dyn(k) == name) {
				at = append(at, place{named, k})
			}
		}
	}
	r.do(g, input{kind: what}, at, func() value { s.tag(name, hard); return 0 })
}

// run is one round. It returns the number of histories that no sequential cache
// could have, and of those that were not decided in time. Those that are wrong are
// given to tell, unless it is nil.
func run(s subject, n int, start time.Time, values *atomic.Int64, strict bool, tell func(place, []porcupine.Operation)) (wrong, undecided int) {
	r := &round{s: s, n: n, start: start, values: values, slow: true, strict: strict, log: map[place][]porcupine.Operation{}}
	var wg sync.WaitGroup
	full, isFull := s.(tagger)
	for g := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(n), uint64(g)))
			for range opsEach {
				if isFull {
					r.full(g, rng, full)
				} else {
					r.basic(g, rng)
				}
			}
		})
	}
	wg.Wait()
	r.mu.Lock() // loads in the background may go on
	defer r.mu.Unlock()
	for p, ops := range r.log {
		markAmid(ops)
		if p.view == outer {
			extendReads(ops)
		}
		rl := rules{strict: strict && p.view == plain}
		if p.view == timed {
			rl = rules{ttl: ttl, window: window, born: born(ops)}
		}
		switch porcupine.CheckOperationsTimeout(rl.model(), ops, 20*time.Second) {
		case porcupine.Illegal:
			wrong++
			if tell != nil {
				tell(p, ops)
			}
		case porcupine.Unknown:
			undecided++
		}
	}
	return wrong, undecided
}

// markAmid marks the Sets that overlap an invalidation: what was there before such a
// Set may be hit early, and what it stores still be hit late.
func markAmid(ops []porcupine.Operation) {
	for i, op := range ops {
		in := op.Input.(input)
		in.amid = in.kind == set && slices.ContainsFunc(ops, func(o porcupine.Operation) bool {
			return o.Input.(input).kind >= drop && o.Call <= op.Return && op.Call <= o.Return
		})
		ops[i].Input = in
	}
}

// extendReads lets what was read during a write count as read until its end: a write
// reaches an entry first and what was made of it afterwards, and in between a load may
// answer with the old outer value while the inner one is new already.
func extendReads(ops []porcupine.Operation) {
	for i, op := range ops {
		if op.Input.(input).kind != read {
			continue
		}
		for _, o := range ops {
			if o.Input.(input).kind >= set && o.Call <= op.Call && op.Call <= o.Return {
				ops[i].Return = max(ops[i].Return, o.Return)
			}
		}
	}
}

// born finds for each value the end of the first operation that gave or took it.
func born(ops []porcupine.Operation) map[value]time.Duration {
	m := map[value]time.Duration{}
	note := func(v value, at time.Duration) {
		if was, ok := m[v]; !ok || at < was {
			m[v] = at
		}
	}
	for _, op := range ops {
		in := op.Input.(input)
		switch in.kind {
		case set:
			note(in.value, in.ret)
		case load, get:
			note(op.Output.(value), in.ret)
		}
	}
	return m
}

type contender struct {
	name   string
	strict bool
	make   func(*testing.T) subject
}

func ours(engine func(cache.EngineOptions) (cache.Engine, error), entries int) func(*testing.T) subject {
	return func(t *testing.T) subject { return newOurs(t, engine, entries, window) }
}

// tight is a bound that evicts during a round.
const tight = 12

var contenders = []contender{
	{"default engine", true, ours(nil, 0)},
	{"default engine, evicting", false, ours(nil, tight)},
	{"otter", true, ours(cache.NewOtter, 0)},
	{"otter, evicting", false, ours(cache.NewOtter, tight)},
	{"ristrettocache", true, ours(ristrettocache.New, 0)},
	{"ristrettocache, evicting", false, ours(ristrettocache.New, tight)},
	{"memoryengine", true, ours(memoryengine.New, 0)},
	{"memoryengine, evicting", false, ours(memoryengine.New, tight)},
}

var peers = []contender{
	{"sturdyc", false, newSturdy},
	{"ristretto", false, newRaw},
}

// TestHistories runs VERSUS_OPS operations, or 20,000, on each engine; half of them
// with room for everything, so that a missing Set is a violation, and half evicting.
func TestHistories(t *testing.T) {
	n := 20_000
	if v, err := strconv.Atoi(os.Getenv("VERSUS_OPS")); err == nil {
		n = v
	}
	total := map[string]int{}
	for _, c := range contenders {
		wrong, undecided := play(t, c, n/2, func(p place, ops []porcupine.Operation) { t.Log(c.name + story(p, ops)) })
		if wrong+undecided > 0 {
			t.Errorf("%s: %d histories are wrong, %d undecided; want 0", c.name, wrong, undecided)
		}
		name, _, _ := strings.Cut(c.name, ",")
		total[name] += wrong + undecided
	}
	var others []bench.Value
	for _, c := range peers {
		wrong, _ := play(t, c, n/4, nil)
		if wrong == 0 {
			t.Errorf("%s: no history is wrong; the checker is known to be right about it", c.name)
		}
		others = append(others, bench.Value{Name: c.name, Value: float64(wrong)})
	}
	var rows []bench.Row
	for _, name := range []string{"default engine", "otter", "ristrettocache", "memoryengine"} {
		rows = append(rows, bench.Row{Measure: fmt.Sprintf("porcupine: %d operations over %s", n, name), Unit: "wrong histories",
			Ours: float64(total[name]), Peers: others, Goal: "= 0", OK: total[name] == 0, Note: fmt.Sprintf("peers: %d operations, Load, Get, Set, Delete", n/4)})
	}
	bench.Emit(t, rows...)
}

// story is a history to be read.
func story(p place, ops []porcupine.Operation) string {
	b := fmt.Appendf(nil, ": wrong history of view %d, key %d; times in microseconds\n", p.view, p.key)
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for _, op := range ops {
		in := op.Input.(input)
		b = fmt.Appendf(b, "%10.1f %10.1f  %d %-8s in %d out %d wait %v amid %v\n", float64(op.Call)/1e3, float64(op.Return)/1e3,
			op.ClientId, in.kind, in.value, op.Output, in.wait, in.amid)
	}
	return string(b)
}

func play(t *testing.T, c contender, ops int, tell func(place, []porcupine.Operation)) (wrong, undecided int) {
	s := c.make(t)
	var values atomic.Int64
	start := time.Now()
	for i := range (ops + roundOps - 1) / roundOps {
		w, u := run(s, i, start, &values, c.strict, tell)
		wrong, undecided = wrong+w, undecided+u
	}
	t.Logf("%s: %d operations, %d values, %d wrong histories, %d undecided, %v", c.name, ops, values.Load(), wrong, undecided, time.Since(start).Round(time.Millisecond))
	return wrong, undecided
}

// TestMutants: the checker finds a cache that does one thing wrong.
func TestMutants(t *testing.T) {
	for name, mutant := range map[string]func(*perfblocks) subject{
		"loads are set when they end":      func(p *perfblocks) subject { return aside{p} },
		"tags go after the call":           func(p *perfblocks) subject { return late{p} },
		"DeleteTag expires":                func(p *perfblocks) subject { return lax{p} },
		"the first Set wins":               func(p *perfblocks) subject { return first{p} },
		"a Set in 16 is lost":              func(p *perfblocks) subject { return lossy{p} },
		"Delete does nothing":              func(p *perfblocks) subject { return forgetful{p} },
		"DependsOn does nothing":           func(p *perfblocks) subject { p.noTags = true; return p },
		"nested loads are not recorded":    func(p *perfblocks) subject { p.noCtx = true; return p },
		"stale values outlive the windows": nil,
	} {
		t.Run(name, func(t *testing.T) {
			var s subject
			if mutant == nil {
				s = newOurs(t, nil, 0, time.Minute)
			} else {
				s = mutant(newOurs(t, nil, 0, window))
			}
			var values atomic.Int64
			start := time.Now()
			for i := range 1000 {
				if wrong, _ := run(s, i, start, &values, true, nil); wrong > 0 {
					t.Logf("found after %d operations", (i+1)*roundOps)
					return
				}
			}
			t.Errorf("not found in %d operations", 1000*roundOps)
		})
	}
}
