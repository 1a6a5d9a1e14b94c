package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/emulate"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/perfpage"
	"github.com/perfblocks/perfblocks/memory"
)

// switches break the service on purpose, so that a visitor of the page, or a load
// test, can watch what each block does about it.
type switches struct {
	mu      sync.Mutex
	on      map[string]bool // guarded by mu
	ballast [][]byte        // guarded by mu
}

// slowQuery is what a query takes longer while the database is slow.
const slowQuery = 40 * time.Millisecond

// switchActs are what the switches do; each is told to begin or to end. bytes is what
// the memory switch holds, 0 for nearly as much as the limit allows.
func (a *app) switchActs(bytes int64) map[string]func(ctx context.Context, on bool) error {
	ai := func(p emulate.Phase) func(context.Context, bool) error {
		return func(_ context.Context, on bool) error { return force(a.emulatedAI, p, on) }
	}
	acts := map[string]func(ctx context.Context, on bool) error{
		"upstream":       ai(emulate.Phase{Down: true}),
		"upstream-flaky": ai(emulate.Phase{Errors: 0.3, Hangs: 0.2}),
		"upstream-hang":  ai(emulate.Phase{Errors: 1, Hangs: 1}),
		"database": func(_ context.Context, on bool) error {
			a.store.Slow(map[bool]time.Duration{true: slowQuery}[on])
			return nil
		},
		"memory": func(_ context.Context, on bool) error { return a.fillMemory(on, bytes) },
	}
	if !a.cfg.off["dbindex"] {
		acts["index"] = a.dropPageIndex
	}
	if a.emulatedObjects != nil { // somebody's real CDN is not ours to break
		acts["cdn"] = func(_ context.Context, on bool) error { return force(a.emulatedObjects, emulate.Phase{Down: true}, on) }
	}
	return acts
}

func force(s interface {
	Force(emulate.Phase)
	Release()
}, p emulate.Phase, on bool) error {
	if on {
		s.Force(p)
	} else {
		s.Release()
	}
	return nil
}

// postSwitch turns a switch on or off: POST /debug/performance/switches/cdn?on=true.
func (a *app) postSwitch(w http.ResponseWriter, r *http.Request) error {
	if !a.mayReset(r) {
		return fault(http.StatusForbidden, "forbidden", "switches are for loopback, or for the token of DEBUG_TOKEN", nil)
	}
	name := r.PathValue("name")
	q := r.URL.Query()
	on, err := strconv.ParseBool(q.Get("on"))
	if err != nil {
		return invalid("on must be true or false")
	}
	bytes, err := strconv.ParseInt(cmp.Or(q.Get("bytes"), "0"), 10, 64)
	if err != nil || bytes < 0 {
		return invalid("bytes must be a number of bytes")
	}
	acts := a.switchActs(bytes)
	act := acts[name]
	if act == nil {
		return fault(http.StatusNotFound, "not_found", fmt.Sprintf("there is no switch of that name; there are %v", slices.Sorted(maps.Keys(acts))), nil)
	}
	a.switches.mu.Lock()
	defer a.switches.mu.Unlock() // one act at a time
	if err := act(r.Context(), on); err != nil {
		return err
	}
	a.switches.on[name] = on
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// switched tells which switches there are and which are on.
func (a *app) switched() map[string]bool {
	s := map[string]bool{}
	a.switches.mu.Lock()
	defer a.switches.mu.Unlock()
	for name := range a.switchActs(0) {
		s[name] = a.switches.on[name]
	}
	return s
}

// switchButtons are the switches that the page shows.
func (a *app) switchButtons() (shown []perfpage.Switch) {
	labels := map[string]string{
		"upstream": "Break upstream", "cdn": "Cut CDN", "memory": "Fill memory", "index": "Drop index", "database": "Slow database",
	}
	have := a.switched()
	for _, id := range slices.Sorted(maps.Keys(labels)) {
		if _, ok := have[id]; ok {
			shown = append(shown, perfpage.Switch{ID: id, Label: labels[id]})
		}
	}
	return shown
}

const maxBallast = 1 << 30 // bytes

// fillMemory holds enough memory to come near the limit, or lets it go. It is called
// with the switches' lock held.
func (a *app) fillMemory(on bool, bytes int64) error {
	a.switches.ballast = nil
	if !on {
		return nil
	}
	if bytes == 0 {
		s, err := memory.ReadStats()
		if err != nil {
			return err
		}
		bytes = max(s.Limit*9/10-s.Used, 64<<20)
	}
	const chunk = 1 << 20
	for range min(bytes, maxBallast) / chunk {
		b := make([]byte, chunk)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1 // a page that nobody wrote to is not there
		}
		a.switches.ballast = append(a.switches.ballast, b)
	}
	return nil
}

// dropPageIndex drops the index of the most frequent query, or makes it again.
func (a *app) dropPageIndex(ctx context.Context, on bool) error {
	a.perf.mu.Lock()
	a.perf.asked = time.Time{} // the page is to show it at once
	a.perf.mu.Unlock()
	if on {
		_, err := a.store.DB().ExecContext(ctx, `DROP INDEX IF EXISTS "`+pageIndex().DerivedName()+`"`)
		return err
	}
	plan, err := live.Diff(ctx, a.store.DB(), []dbindex.Index{pageIndex()}, live.DiffOptions{})
	if err == nil {
		_, err = live.Apply(ctx, a.store.DB(), plan.Without(dbindex.Drop), live.Options{Logger: a.log})
	}
	return err
}
