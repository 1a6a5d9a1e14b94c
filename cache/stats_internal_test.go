package cache

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStatsCauses: each entry that left is counted once, under what made it leave.
func TestStatsCauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		c, v := snapCache(t, Options{MaxEntries: 20, SweepInterval: time.Minute}, Strategy[string]{TTL: time.Hour, Jitter: -1})
		idle, err := Add(c, Strategy[string]{Name: "idle", TTL: time.Hour, Idle: 30 * time.Second, Jitter: -1})
		if err != nil {
			t.Fatal(err)
		}
		set := func(v *View[string], key string) {
			if err := v.Set(ctx, key, "v"); err != nil {
				t.Fatal(err)
			}
		}
		set(v, "replaced")
		set(v, "replaced")
		set(v, "deleted")
		_ = v.Delete(ctx, "replaced", "deleted", "unknown")
		loadTagged(t, v, "tagged", "v", "t")
		_ = c.DeleteTag(ctx, "t")
		loadTagged(t, v, "tagged too", "v", "u")
		_ = c.DeleteTag(ctx, v.Tag("tagged too"))
		set(idle, "idle")
		loadTagged(t, v, "absent", "v")
		_ = v.Expire(ctx, "absent")
		_, _ = v.Load(ctx, "absent", func(context.Context, *Entry[string]) (string, error) { return "", ErrNotFound })
		time.Sleep(time.Minute + time.Second)
		if st := idle.Stats(); st.Expired != 1 || st.Swept != 1 || st.Entries != 0 {
			t.Errorf("idle: %+v; want 1 expired", st)
		}
		if st := v.Stats(); st.Replaced != 1 || st.Deleted != 4 || st.Swept != 1 || st.Expired != 0 || st.Evictions != 0 || st.Entries != 0 {
			t.Errorf("%+v; want 1 replaced, 4 deleted, one of these swept", st)
		}
		for i := range 50 {
			set(v, fmt.Sprint(i))
		}
		c.Shrink(ctx, 0.5)
		if st := v.Stats(); st.Evictions != 40 || st.Entries != 10 {
			t.Errorf("%+v; want 40 evictions", st)
		}
		time.Sleep(2 * time.Hour)
		all := c.Stats()
		if st := v.Stats(); st.Expired != 10 || st.Entries != 0 || all.Expired != 11 || all.Sub(all) != (Stats{LoadTimeP50: all.LoadTimeP50, LoadTimeP99: all.LoadTimeP99, Tags: all.Tags}) {
			t.Errorf("%+v; want 10 expired; in all %+v", st, all)
		}
	})
}

// walked is a ctx that counts how often it is asked for a value.
type walked struct {
	context.Context
	asked int
}

func (w *walked) Value(key any) any { w.asked++; return w.Context.Value(key) }

func TestHitDoesNotWalkContext(t *testing.T) {
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := Add(c, Strategy[int]{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	load := func(context.Context, *Entry[int]) (int, error) { return 1, nil }
	ctx := &walked{Context: context.Background()}
	for range 2 {
		if _, err := v.Load(ctx, "k", load); err != nil {
			t.Fatal(err)
		}
		for c.flights.loaders.Load() != 0 { // the loader's goroutine ends after its callers
			runtime.Gosched()
		}
		ctx.asked = 0
	}
	if _, err := v.Load(ctx, "k", load); err != nil || ctx.asked != 0 {
		t.Errorf("a hit while no loader runs asked its ctx %d times (%v); want 0", ctx.asked, err)
	}
	if n := c.flights.loaders.Load(); n != 0 {
		t.Errorf("%d loaders run after all have ended", n)
	}
}

func TestOnlyHitsCount(t *testing.T) {
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	v, err := Add(c, Strategy[string]{Name: "s", Tags: []string{"t"}, StaleWhileRevalidate: time.Hour,
		Codec: Raw[string](), Compression: S2})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 1000)
	for _, k := range []string{"dead", "soft", "damaged"} {
		if err := v.Set(ctx, k, long); err != nil {
			t.Fatal(err)
		}
	}
	it, _ := c.get(v.key("damaged"))
	held[packed](it).frame[5] ^= 1
	for _, k := range []string{"damaged", "damaged", "absent"} {
		if _, ok := v.Get(ctx, k); ok {
			t.Errorf("Get(%q) found something", k)
		}
	}
	if err := v.Expire(ctx, "soft"); err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Get(ctx, "soft"); ok { // Get does not serve what is stale
		t.Error("Get served a stale value")
	}
	if err := c.DeleteTag(ctx, "t"); err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Get(ctx, "dead"); ok {
		t.Error("Get served what was deleted")
	}
	if s := v.Stats(); s.Hits != 0 || s.Misses != 5 {
		t.Errorf("Stats of five misses: %d hits, %d misses", s.Hits, s.Misses)
	}
}
