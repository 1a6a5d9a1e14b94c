package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

// tagged returns a loader of val that depends on tags.
func tagged(val int, tags ...string) cache.Loader[int] {
	return func(_ context.Context, e *cache.Entry[int]) (int, error) {
		e.DependsOn(tags...)
		return val, nil
	}
}

func wantMiss(t *testing.T, v *cache.View[int], keys ...string) {
	t.Helper()
	for _, k := range keys {
		if got, ok := v.Get(t.Context(), k); ok {
			t.Errorf("Get(%q) = %d, true; want a miss", k, got)
		}
	}
}

func wantHit(t *testing.T, v *cache.View[int], keys ...string) {
	t.Helper()
	for _, k := range keys {
		if _, ok := v.Get(t.Context(), k); !ok {
			t.Errorf("Get(%q) missed; want a hit", k)
		}
	}
}

func TestDeleteTag(t *testing.T) {
	ctx := t.Context()
	for _, tc := range []struct {
		name string
		kill func(c *cache.Cache, v *cache.View[int]) error
		gone []string
	}{
		{"shared", func(c *cache.Cache, _ *cache.View[int]) error { return c.DeleteTag(ctx, "x") }, []string{"a", "b"}},
		{"own", func(c *cache.Cache, _ *cache.View[int]) error { return c.DeleteTag(ctx, "y") }, []string{"b"}},
		{"static", func(c *cache.Cache, _ *cache.View[int]) error { return c.DeleteTag(ctx, "all") }, []string{"a", "b", "c"}},
		{"entry", func(c *cache.Cache, v *cache.View[int]) error { return c.DeleteTag(ctx, v.Tag("c")) }, []string{"c"}},
		{"unknown", func(c *cache.Cache, _ *cache.View[int]) error { return c.DeleteTag(ctx, "z", "@nobody:1", "@") }, nil},
		{"soft", func(c *cache.Cache, _ *cache.View[int]) error { return c.ExpireTag(ctx, "x") }, []string{"a", "b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCache(t, cache.Options{})
			v := add(t, c, cache.Strategy[int]{Name: "s", Tags: []string{"all"}})
			mustLoad(t, v, "a", tagged(1, "x"), 1)
			mustLoad(t, v, "b", tagged(2, "x", "y", "x"), 2)
			mustLoad(t, v, "c", tagged(3), 3)
			if err := tc.kill(c, v); err != nil {
				t.Fatal(err)
			}
			alive := map[string]bool{"a": true, "b": true, "c": true}
			for _, k := range tc.gone {
				delete(alive, k)
			}
			wantMiss(t, v, tc.gone...)
			for k := range alive {
				wantHit(t, v, k)
			}
		})
	}
}

// TestHardAndSoft: stale windows serve what was expired, never what was deleted.
func TestHardAndSoft(t *testing.T) {
	down := func(context.Context, *cache.Entry[int]) (int, error) { return 0, errors.New("down") }
	for _, hard := range []bool{true, false} {
		for _, byTag := range []bool{true, false} {
			t.Run(fmt.Sprintf("hard=%v,tag=%v", hard, byTag), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCache(t, cache.Options{})
					v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Hour, StaleIfError: time.Minute})
					mustLoad(t, v, "k", tagged(1, "t"), 1)
					time.Sleep(time.Minute)
					ctx := t.Context()
					switch {
					case hard && byTag:
						_ = c.DeleteTag(ctx, "t")
					case hard:
						_ = v.Delete(ctx, "k")
					case byTag:
						_ = c.ExpireTag(ctx, "t")
					default:
						_ = v.Expire(ctx, "k")
					}
					wantMiss(t, v, "k")
					got, err := v.Load(ctx, "k", down)
					if hard == (err == nil) || !hard && got != 1 {
						t.Errorf("Load with a failing loader = %d, %v", got, err)
					}
					time.Sleep(time.Minute)
					if _, err := v.Load(ctx, "k", down); err == nil {
						t.Error("Load after StaleIfError was answered")
					}
					_ = c.Close()
				})
			})
		}
	}
}

// race runs load in a goroutine, stops it inside its loader, does what meanwhile
// does, lets it go on, and waits for it.
func race(t *testing.T, load func(inside func()), meanwhile func()) {
	t.Helper()
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		load(func() { close(in); <-out })
	}()
	<-in
	meanwhile()
	close(out)
	<-done
}

// TestLoadRacingInvalidation: whatever way a value is loaded and whatever way it is
// invalidated while its loader runs, the old value is not served afterwards.
func TestLoadRacingInvalidation(t *testing.T) {
	kills := map[string]func(c *cache.Cache, v *cache.View[int]) error{
		"DeleteTag": func(c *cache.Cache, _ *cache.View[int]) error { return c.DeleteTag(context.Background(), "t") },
		"ExpireTag": func(c *cache.Cache, _ *cache.View[int]) error { return c.ExpireTag(context.Background(), "t") },
		"static":    func(c *cache.Cache, _ *cache.View[int]) error { return c.DeleteTag(context.Background(), "all") },
		"Delete":    func(_ *cache.Cache, v *cache.View[int]) error { return v.Delete(context.Background(), "k") },
		"Expire":    func(_ *cache.Cache, v *cache.View[int]) error { return v.Expire(context.Background(), "k") },
		"entry tag": func(c *cache.Cache, v *cache.View[int]) error { return c.DeleteTag(context.Background(), v.Tag("k")) },
		"above": func(c *cache.Cache, v *cache.View[int]) error {
			return errors.Join(c.Depend("t", "u"), c.DeleteTag(context.Background(), "u"))
		},
		"entry above": func(c *cache.Cache, v *cache.View[int]) error {
			return errors.Join(c.Depend(v.Tag("k"), "u"), c.DeleteTag(context.Background(), "u"))
		},
	}
	// The inner entry carries the tag for loads that cannot call DependsOn.
	inner := func(v *cache.View[int]) func(ctx context.Context) {
		return func(ctx context.Context) { _, _ = v.Load(ctx, "inner", tagged(0, "t")) }
	}
	loads := map[string]func(v *cache.View[int], inside func()){
		"Load": func(v *cache.View[int], inside func()) {
			_, _ = v.Load(context.Background(), "k", func(_ context.Context, e *cache.Entry[int]) (int, error) {
				inside()
				e.DependsOn("t") // known only after the old row was read
				return 1, nil
			})
		},
		"LoadMany": func(v *cache.View[int], inside func()) {
			_, _ = v.LoadMany(context.Background(), []string{"k", "l"}, func(ctx context.Context, _ []string) (map[string]int, error) {
				inner(v)(ctx)
				inside()
				return map[string]int{"k": 1, "l": 1}, nil
			})
		},
		"refresh": func(v *cache.View[int], inside func()) {
			_, _ = v.Load(context.Background(), "k", tagged(0, "t"))
			time.Sleep(time.Minute)
			_, _ = v.Load(context.Background(), "k", func(_ context.Context, e *cache.Entry[int]) (int, error) {
				e.DependsOn("t")
				inside()
				return 1, nil
			})
		},
		"Warm": func(v *cache.View[int], inside func()) {
			keys := func(yield func(string) bool) { yield("k") }
			_, _ = v.Warm(context.Background(), keys, func(_ context.Context, e *cache.Entry[int]) (int, error) {
				inside()
				e.DependsOn("t")
				return 1, nil
			}, cache.WarmOptions{})
		},
		"negative": func(v *cache.View[int], inside func()) {
			_, _ = v.Load(context.Background(), "k", func(_ context.Context, e *cache.Entry[int]) (int, error) {
				inside()
				e.DependsOn("t")
				return 0, cache.ErrNotFound
			})
		},
	}
	for kn, kill := range kills {
		for ln, load := range loads {
			t.Run(ln+"/"+kn, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCache(t, cache.Options{})
					v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute, NegativeTTL: time.Minute,
						StaleWhileRevalidate: time.Hour, Tags: []string{"all"}})
					race(t, func(inside func()) { load(v, inside) }, func() {
						if err := kill(c, v); err != nil {
							t.Error(err)
						}
						// A load that begins after the invalidation, while the old one still
						// runs, must wait for fresh data.
						check := func(how string, val int) {
							if soft := kn == "Expire" || kn == "ExpireTag"; val != 2 && !(soft && ln == "refresh" && val == 0) {
								t.Errorf("%s after the invalidation = %d; want 2", how, val)
							}
						}
						go func() {
							val, _ := v.Load(context.Background(), "k", tagged(2, "t"))
							check("Load", val)
						}()
						go func() {
							got, _ := v.LoadMany(context.Background(), []string{"k"}, func(context.Context, []string) (map[string]int, error) {
								return map[string]int{"k": 2}, nil
							})
							if val := got["k"]; !(ln == "refresh" && val == 0) {
								check("LoadMany", val)
							}
						}()
						synctest.Wait()
					})
					synctest.Wait()
					if got, ok := v.Get(t.Context(), "k"); ok && got != 2 {
						t.Errorf("Get = %d; want 2 or a miss", got)
					}
					_ = c.Close()
				})
			})
		}
	}
}

func TestSetWinsOverRunningLoad(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	race(t, func(inside func()) {
		_, _ = v.Load(context.Background(), "k", func(context.Context, *cache.Entry[int]) (int, error) { inside(); return 1, nil })
	}, func() { _ = v.Set(context.Background(), "k", 2) })
	if got, ok := v.Get(t.Context(), "k"); !ok || got != 2 {
		t.Errorf("Get = %d, %v; want 2, true", got, ok)
	}
}

func TestDependTransitive(t *testing.T) {
	ctx := t.Context()
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	if err := errors.Join(c.Depend("b", "a"), c.Depend("c", "b", "b"), c.Depend(v.Tag("e"), "c"), c.Depend("d", v.Tag("e"))); err != nil {
		t.Fatal(err)
	}
	fill := func() {
		mustLoad(t, v, "1", tagged(1, "c"), 1)
		mustLoad(t, v, "e", tagged(1), 1)
		mustLoad(t, v, "2", tagged(1, "d"), 1)
		mustLoad(t, v, "3", tagged(1, "free"), 1)
	}
	for _, tag := range []string{"a", "b", "c"} {
		fill()
		_ = c.DeleteTag(ctx, tag)
		wantMiss(t, v, "1", "e", "2")
		wantHit(t, v, "3")
	}
	fill()
	_ = v.Delete(ctx, "e")
	wantMiss(t, v, "e", "2")
	wantHit(t, v, "1", "3")
	for _, edge := range [][2]string{{"a", "d"}, {"a", "a"}, {"a", v.Tag("e")}} {
		if err := c.Depend(edge[0], edge[1]); !errors.Is(err, cache.ErrCycle) {
			t.Errorf("Depend(%q, %q) = %v; want ErrCycle", edge[0], edge[1], err)
		}
	}
}

// TestDependAfterInvalidation: an edge also tells of what happened to the parent
// before it was there, for loads that began earlier.
func TestDependAfterInvalidation(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	race(t, func(inside func()) {
		_, _ = v.Load(context.Background(), "k", func(_ context.Context, e *cache.Entry[int]) (int, error) {
			e.DependsOn("child")
			inside()
			return 1, nil
		})
	}, func() {
		_ = c.DeleteTag(context.Background(), "parent")
		_ = c.Depend("child", "parent")
	})
	wantMiss(t, v, "k")
}

func TestNestedLoadsDepend(t *testing.T) {
	ctx := t.Context()
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	inner := func(ctx context.Context) (int, error) { return v.Load(ctx, "in", tagged(1, "t")) }
	middle := func(ctx context.Context, _ *cache.Entry[int]) (int, error) { return inner(ctx) }
	outer := func(ctx context.Context, _ *cache.Entry[int]) (int, error) { return v.Load(ctx, "mid", middle) }
	for name, kill := range map[string]func() error{
		"tag of the inmost": func() error { return c.DeleteTag(ctx, "t") },
		"Delete":            func() error { return v.Delete(ctx, "in") },
		"Expire":            func() error { return v.Expire(ctx, "in") },
		"Set":               func() error { return v.Set(ctx, "in", 5) },
		"DeleteTag(Tag)":    func() error { return c.DeleteTag(ctx, v.Tag("in")) },
	} {
		t.Run(name, func(t *testing.T) {
			_ = v.Delete(ctx, "in", "mid", "out")
			mustLoad(t, v, "out", outer, 1)
			wantHit(t, v, "in", "mid", "out")
			if err := kill(); err != nil {
				t.Fatal(err)
			}
			wantMiss(t, v, "mid", "out")
		})
	}
}

// TestDependsOnAbsentEntry: an entry that is not in memory has the tags of its strategy,
// for what names it too, by DependsOn and by Depend.
func TestDependsOnAbsentEntry(t *testing.T) {
	ctx := t.Context()
	for name, kill := range map[string]func(c *cache.Cache) error{
		"delete": func(c *cache.Cache) error { return c.DeleteTag(ctx, "rows") },
		"expire": func(c *cache.Cache) error { return c.ExpireTag(ctx, "rows") },
	} {
		c := newCache(t, cache.Options{})
		rows := add(t, c, cache.Strategy[int]{Name: "rows", Tags: []string{"rows"}})
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		mustLoad(t, v, "named", tagged(1, rows.Tag("1")), 1)
		mustLoad(t, v, "below", tagged(1, "child"), 1)
		if err := c.Depend("child", rows.Tag("2")); err != nil {
			t.Fatal(err)
		}
		mustLoad(t, rows, "1", tagged(2, "own"), 2) // now it has this tag too
		wantHit(t, v, "named", "below")
		if name == "expire" {
			if err := c.DeleteTag(ctx, "own"); err != nil {
				t.Fatal(err)
			}
			wantMiss(t, v, "named")
			mustLoad(t, v, "named", tagged(1, rows.Tag("1")), 1)
		}
		if err := kill(c); err != nil {
			t.Fatal(err)
		}
		wantMiss(t, v, "named", "below")
	}
}

// TestDependsOnEntryTag: naming an entry's tag is enough, whoever loads the entry
// and whenever.
func TestDependsOnEntryTag(t *testing.T) {
	ctx := t.Context()
	for _, first := range []string{"inner", "outer"} {
		t.Run(first+" first", func(t *testing.T) {
			c := newCache(t, cache.Options{})
			v := add(t, c, cache.Strategy[int]{Name: "s"})
			in := func() { mustLoad(t, v, "in", tagged(1, "t"), 1) }
			if first == "inner" {
				in()
			}
			mustLoad(t, v, "out", tagged(1, v.Tag("in")), 1)
			if first == "outer" {
				in()
			}
			wantHit(t, v, "in", "out")
			_ = c.DeleteTag(ctx, "t")
			wantMiss(t, v, "in", "out")
		})
	}
}

// TestNestedStaleIsNotStored: an entry built from a stale one is no fresh entry.
func TestNestedStaleIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute, StaleWhileRevalidate: time.Hour, StaleIfError: time.Hour})
		mustLoad(t, v, "in", tagged(1), 1)
		time.Sleep(time.Minute)
		mustLoad(t, v, "out", func(ctx context.Context, _ *cache.Entry[int]) (int, error) {
			return v.Load(ctx, "in", func(context.Context, *cache.Entry[int]) (int, error) { return 0, errors.New("down") })
		}, 1)
		wantMiss(t, v, "out")
		time.Sleep(time.Minute) // the failure is forgotten
		mustLoad(t, v, "out", func(ctx context.Context, _ *cache.Entry[int]) (int, error) {
			return v.Load(ctx, "in", tagged(2)) // waits for the new value
		}, 2)
		_ = c.Close()
	})
}

func TestInvalidateHookTells(t *testing.T) {
	var got []cache.InvalidateEvent
	c := newCache(t, cache.Options{Hooks: cache.Hooks{Invalidate: func(e cache.InvalidateEvent) { got = append(got, e); panic("hook") }}})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	_ = c.Depend(v.Tag("k"), "t")
	_ = c.DeleteTag(t.Context(), "t")
	if len(got) != 1 || !got[0].Hard || fmt.Sprint(got[0].Tags, got[0].Reached) != "[t] [t @s:k]" {
		t.Errorf("events = %+v", got)
	}
}

// TestTagTableBounded: distinct tags do not pile up, and a forgotten tag kills
// rather than revives.
func TestTagTableBounded(t *testing.T) {
	c := newCache(t, cache.Options{MaxEntries: 100})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	race(t, func(inside func()) {
		_, _ = v.Load(context.Background(), "late", func(_ context.Context, e *cache.Entry[int]) (int, error) {
			inside()
			e.DependsOn("early")
			return 1, nil
		})
	}, func() {
		_ = c.DeleteTag(context.Background(), "early")
		for i := range 50_000 {
			mustLoad(t, v, fmt.Sprint(i), tagged(i, fmt.Sprint("tag", i)), i)
		}
	})
	wantMiss(t, v, "late")
	if n := c.Stats().Tags; n > 20_000 {
		t.Errorf("%d tags are kept for 100 entries", n)
	}
}
