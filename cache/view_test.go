package cache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

type user struct {
	Name  string
	Posts []string
}

// deepCtx is a request ctx with some layers, as middlewares make.
func deepCtx() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	_ = cancel
	for i := range 4 {
		type layer int
		ctx = context.WithValue(ctx, layer(i), i)
	}
	return ctx
}

func TestHitAllocs(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[user]{Name: "s", TTL: -1, Idle: time.Hour, StaleWhileRevalidate: time.Hour})
	load := func(_ context.Context, e *cache.Entry[user]) (user, error) {
		e.DependsOn("a", "b", "c")
		return user{Name: "n"}, nil
	}
	for name, ctx := range map[string]context.Context{"background": context.Background(), "deep": deepCtx()} {
		if _, err := v.Load(ctx, "k", load); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(1000, func() { _, _ = v.Load(ctx, "k", load) }); n != 0 {
			t.Errorf("Load hit allocates %v with ctx %s; want 0", n, name)
		}
		if n := testing.AllocsPerRun(1000, func() { v.Get(ctx, "k") }); n != 0 {
			t.Errorf("Get hit allocates %v with ctx %s; want 0", n, name)
		}
		if n := testing.AllocsPerRun(1000, func() { v.Get(ctx, "none") }); n != 0 {
			t.Errorf("Get miss allocates %v with ctx %s; want 0", n, name)
		}
	}
}

func TestClone(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[[]int]{Name: "s", Clone: slices.Clone[[]int]})
	mine := []int{1}
	_ = v.Set(t.Context(), "set", mine)
	loaded, _ := v.Load(t.Context(), "load", func(context.Context, *cache.Entry[[]int]) ([]int, error) { return mine, nil })
	mine[0], loaded[0] = 9, 9
	for _, k := range []string{"set", "load"} {
		for range 2 {
			got, _ := v.Get(t.Context(), k)
			if got[0] != 1 {
				t.Errorf("Get(%s) = %v; want [1]", k, got)
			}
			got[0] = 8
		}
	}
}

func TestCompressionInMemory(t *testing.T) {
	for how := cache.None; how <= cache.Zstd; how++ {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[user]{Name: "s", Codec: cache.JSON[user](), Compression: how})
		big := user{Name: strings.Repeat("long ", 2000), Posts: []string{"a", "b"}}
		_ = v.Set(t.Context(), "big", big)
		_ = v.Set(t.Context(), "small", user{Name: "x"})
		got, ok := v.Get(t.Context(), "big")
		if !ok || got.Name != big.Name || !slices.Equal(got.Posts, big.Posts) {
			t.Errorf("%v: Get = %.20v, %v", how, got, ok)
		}
		st := v.Stats()
		if saves := how != cache.None; saves != (st.SavedBytes > 5000) || saves != (st.Bytes < 5000) {
			t.Errorf("%v: Stats() = %+v", how, st)
		}
	}
}

func TestCompressionText(t *testing.T) {
	for how := cache.None; how <= cache.Zstd; how++ {
		b, err := how.MarshalText()
		var got cache.Compression
		if err != nil || got.UnmarshalText([]byte(strings.ToUpper(string(b)))) != nil || got != how {
			t.Errorf("%v: text %q, %v, back as %v", how, b, err, got)
		}
	}
	bad := cache.Compression(9)
	if _, err := bad.MarshalText(); !errors.Is(err, cache.ErrOptions) || bad.String() != "Compression(9)" {
		t.Errorf("MarshalText of %v: %v", bad, err)
	}
	if err := bad.UnmarshalText([]byte("gzip")); !errors.Is(err, cache.ErrOptions) {
		t.Errorf("UnmarshalText(gzip) = %v; want ErrOptions", err)
	}
	for k, want := range map[cache.RemoteEventKind]string{cache.RemoteReady: "ready", cache.RemoteLost: "lost", cache.RemoteInvalidated: "invalidated", 9: "unknown"} {
		if k.String() != want {
			t.Errorf("RemoteEventKind(%d).String() = %q; want %q", k, k, want)
		}
	}
}

type sized struct{ n int64 }

func (s sized) SizeBytes() int64 { return s.n }

func TestSizes(t *testing.T) {
	c := newCache(t, cache.Options{})
	base := func() int64 { return c.Stats().Bytes }
	measure := func(set func()) int64 {
		before := base()
		set()
		return base() - before
	}
	ints := add(t, c, cache.Strategy[int]{Name: "int"})
	over := measure(func() { _ = ints.Set(t.Context(), "k", 1) }) - 8
	if over < 100 || over > 500 {
		t.Errorf("bookkeeping of an entry = %d bytes", over)
	}
	type tree struct {
		Name     string
		Children []*tree
		Self     *tree
	}
	loop := &tree{Name: "loop"}
	loop.Self = loop
	near := func(name string, got, want int64) {
		t.Helper()
		if got -= over; got < want*7/10 || got > want*14/10 {
			t.Errorf("%s counts for %d bytes; want about %d", name, got, want)
		}
	}
	strs := add(t, c, cache.Strategy[[]string]{Name: "strs"})
	near("strings", measure(func() { _ = strs.Set(t.Context(), "k", slices.Repeat([]string{strings.Repeat("x", 100)}, 10_000)) }), 116*10_000)
	maps := add(t, c, cache.Strategy[map[string][]byte]{Name: "maps"})
	near("map", measure(func() {
		m := map[string][]byte{}
		for i := range 1000 {
			m[fmt.Sprint("key", i)] = make([]byte, 200)
		}
		_ = maps.Set(t.Context(), "k", m)
	}), 1000*(200+6+40+16))
	trees := add(t, c, cache.Strategy[*tree]{Name: "trees"})
	if n := measure(func() { _ = trees.Set(t.Context(), "k", loop) }); n < over || n > 10_000 {
		t.Errorf("a loop counts for %d bytes", n)
	}
	sizer := add(t, c, cache.Strategy[sized]{Name: "sizer"})
	near("sizer", measure(func() { _ = sizer.Set(t.Context(), "k", sized{5000}) }), 5000)
	of := add(t, c, cache.Strategy[string]{Name: "of", SizeOf: func(string) int64 { return 7000 }})
	near("SizeOf", measure(func() { _ = of.Set(t.Context(), "k", "") }), 7000)
}

func TestWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{MaxEntries: 100})
		v := add(t, c, cache.Strategy[string]{Name: "s", TTL: -1})
		_ = v.Set(t.Context(), "3", "there")
		keys := func(yield func(string) bool) {
			for i := range 1000 {
				if !yield(fmt.Sprint(i)) {
					return
				}
			}
		}
		calls := 0
		boom := errors.New("boom")
		begun := time.Now()
		rep, err := v.Warm(t.Context(), keys, func(_ context.Context, e *cache.Entry[string]) (string, error) {
			if e.Key() == "5" {
				return "", boom
			}
			return "warm " + e.Key(), nil
		}, cache.WarmOptions{Concurrency: 2, Interval: time.Second, FillTo: 0.5, Progress: func(r cache.WarmReport) {
			if calls++; r.Loaded+r.Present+r.Failed != calls {
				t.Errorf("Progress(%+v) at call %d", r, calls)
			}
		}})
		if err != nil || !rep.Full || rep.Present != 1 || rep.Failed != 1 || rep.Err != boom || rep.Loaded < 48 || rep.Loaded > 51 {
			t.Errorf("Warm = %+v, %v", rep, err)
		}
		if d := time.Since(begun); d < 50*time.Second {
			t.Errorf("Warm took %v for %d keys; want one a second", d, calls)
		}
		if got, ok := v.Get(t.Context(), "7"); !ok || got != "warm 7" {
			t.Errorf("Get(7) = %q, %v", got, ok)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := v.Warm(ctx, func(yield func(string) bool) { yield("x") }, nil, cache.WarmOptions{FillTo: 1}); !errors.Is(err, context.Canceled) {
			t.Errorf("Warm with an ended ctx: %v", err)
		}
		if _, err := v.Warm(ctx, keys, nil, cache.WarmOptions{Concurrency: -1, Interval: -1, FillTo: 2}); !errors.Is(err, cache.ErrOptions) {
			t.Errorf("Warm with bad options: %v; want ErrOptions", err)
		}
		_ = c.Close()
	})
}

func TestStatsAndMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []cache.LoadEvent
		c := newCache(t, cache.Options{Name: `a"b`, Hooks: cache.Hooks{Load: func(e cache.LoadEvent) { events = append(events, e) }}})
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		load := func(context.Context, *cache.Entry[int]) (int, error) { time.Sleep(time.Second); return 1, nil }
		for range 4 {
			mustLoad(t, v, "k", load, 1)
		}
		synctest.Wait()
		st := v.Stats()
		if st.HitRatio() != 0.75 || st.MeanLoad() != time.Second || st.MeanResponse() != time.Second/4 {
			t.Errorf("HitRatio %v, MeanLoad %v, MeanResponse %v", st.HitRatio(), st.MeanLoad(), st.MeanResponse())
		}
		if p := st.LoadTimeP99; p < time.Second*2/3 || p > time.Second*3/2 {
			t.Errorf("LoadTimeP99 = %v", p)
		}
		if d := v.Stats().Sub(st); d.Hits != 0 || d.Loads != 0 || d.Entries != 1 || d.HitRatio() != 0 || d.MeanLoad() != 0 || d.MeanResponse() != 0 {
			t.Errorf("Sub = %+v", d)
		}
		if len(events) != 1 || !events[0].Stored || events[0].Duration != time.Second || events[0].Keys[0] != "k" {
			t.Errorf("events = %+v", events)
		}
		got := maps.Collect(c.Metrics())
		for name, want := range map[string]float64{
			`cache_hits_total{cache="a\"b",strategy="s"}`: 3, `cache_load_seconds_total{cache="a\"b",strategy="s"}`: 1,
			`cache_max_bytes{cache="a\"b"}`: 64 << 20, `cache_entries{cache="a\"b",strategy="s"}`: 1,
		} {
			if val, ok := got[name]; !ok || val != want {
				t.Errorf("metric %s = %v, %v; want %v", name, val, ok, want)
			}
		}
		for range c.Metrics() {
			break
		}
		_ = c.Close()
	})
}
