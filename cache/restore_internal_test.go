package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestRestoreDependentOfWritten: what was made of an entry does not come back once that
// entry was written, although nothing knew of the dependency then.
func TestRestoreDependentOfWritten(t *testing.T) {
	s := Strategy[string]{TTL: time.Hour}
	writes := map[string]func(*Cache, *View[string]) error{
		"Set":       func(_ *Cache, v *View[string]) error { return v.Set(t.Context(), "inner", "new") },
		"Delete":    func(_ *Cache, v *View[string]) error { return v.Delete(t.Context(), "inner") },
		"Expire":    func(_ *Cache, v *View[string]) error { return v.Expire(t.Context(), "inner") },
		"DeleteTag": func(c *Cache, v *View[string]) error { return c.DeleteTag(t.Context(), v.Tag("inner")) },
	}
	for name, write := range writes {
		for _, by := range []string{"nested", "named"} {
			a, av := snapCache(t, Options{}, s)
			if _, err := av.Load(t.Context(), "inner", func(context.Context, *Entry[string]) (string, error) { return "old", nil }); err != nil {
				t.Fatal(err)
			}
			if _, err := av.Load(t.Context(), "outer", func(ctx context.Context, e *Entry[string]) (string, error) {
				if by == "named" {
					e.DependsOn(av.Tag("inner"))
					ctx = context.Background()
				}
				v, _ := av.Get(ctx, "inner")
				return "made of " + v, nil
			}); err != nil {
				t.Fatal(err)
			}
			snap := snapshotOf(t, a, 2)
			b, bv := snapCache(t, Options{}, s)
			for c, v := range map[*Cache]*View[string]{a: av, b: bv} {
				if err := write(c, v); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Restore(t.Context(), bytes.NewReader(snap)); err != nil {
					t.Fatal(err)
				}
				if got, ok := v.Get(t.Context(), "outer"); ok {
					t.Errorf("%s, %s, same cache %v: Get = %q", name, by, c == a, got)
				}
			}
		}
	}
}

// TestRestoreDependentsRace: a write that returned is never followed by what was made of
// the old entry, whatever runs at the same time.
func TestRestoreDependentsRace(t *testing.T) {
	const keys = 50
	s := Strategy[string]{TTL: time.Hour}
	a, av := snapCache(t, Options{}, s)
	for i := range keys {
		loadTagged(t, av, fmt.Sprint("outer", i), "old", av.Tag(fmt.Sprint("inner", i)))
	}
	snap := snapshotOf(t, a, keys)
	for round := range 30 {
		b, bv := snapCache(t, Options{SweepInterval: -1}, s)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = b.Restore(context.Background(), bytes.NewReader(snap)) })
		wg.Go(func() {
			for i := range keys {
				_ = bv.Set(context.Background(), fmt.Sprint("inner", i), "new")
			}
		})
		wg.Wait()
		for i := range keys {
			if _, ok := bv.Get(t.Context(), fmt.Sprint("outer", i)); ok {
				t.Fatalf("round %d: Get(outer%d) hit after the entry that it names was set", round, i)
			}
		}
		_ = b.Close()
	}
}

// TestRestoreLarge: the bound of entries says nothing about their bytes, and an entry
// that is larger than the cache is no damage.
func TestRestoreLarge(t *testing.T) {
	s := Strategy[string]{TTL: time.Hour}
	a, av := snapCache(t, Options{MaxEntries: 10}, s)
	_ = av.Set(t.Context(), "large", strings.Repeat("x", 3<<20))
	_ = av.Set(t.Context(), "small", "x")
	snap := snapshotOf(t, a, 2)
	b, _ := snapCache(t, Options{MaxEntries: 10}, s)
	restoreInto(t, b, snap, RestoreReport{Restored: 2})
	c, _ := snapCache(t, Options{MaxBytes: 1 << 20}, s)
	restoreInto(t, c, snap, RestoreReport{Restored: 1, Skipped: 1})
}

// TestRestoreVersion: any Version of a strategy comes back.
func TestRestoreVersion(t *testing.T) {
	s := Strategy[string]{TTL: time.Hour, Version: math.MaxInt}
	a, av := snapCache(t, Options{}, s)
	_ = av.Set(t.Context(), "k", "v")
	b, _ := snapCache(t, Options{}, s)
	restoreInto(t, b, snapshotOf(t, a, 1), RestoreReport{Restored: 1})
}

// TestRestoreAge: no wall clock in a header makes an entry fresher than it was.
func TestRestoreAge(t *testing.T) {
	now := time.Now().UnixNano()
	for _, wall := range []int64{math.MinInt64, -1, 0, now, math.MaxInt64} {
		if age := snapAge(now, wall); age < 0 || age > never || wall <= 0 && age == 0 {
			t.Errorf("age of a snapshot from %d: %d", wall, age)
		}
	}
}

// TestRestoreStaleRefreshes: the first Load that a restored stale value answers starts
// the refresh, as it does for others.
func TestRestoreStaleRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Strategy[string]{TTL: time.Minute, Jitter: -1, StaleWhileRevalidate: time.Hour}
		a, av := snapCache(t, Options{}, s)
		_ = av.Set(t.Context(), "k", "old")
		time.Sleep(2 * time.Minute)
		b, bv := snapCache(t, Options{}, s)
		restoreInto(t, b, snapshotOf(t, a, 1), RestoreReport{Restored: 1})
		got, err := bv.Load(t.Context(), "k", func(context.Context, *Entry[string]) (string, error) { return "new", nil })
		if got != "old" || err != nil {
			t.Errorf("Load = %q, %v; want the old value", got, err)
		}
		synctest.Wait()
		if got, ok := bv.Get(t.Context(), "k"); !ok || got != "new" {
			t.Errorf("Get afterwards = %q, %v; want the refreshed value", got, ok)
		}
	})
}

// FuzzRestore: whatever a snapshot holds, Restore ends with a report that is true. The
// sums are made right, so that what lies behind them is reached.
func FuzzRestore(f *testing.F) {
	s := Strategy[string]{TTL: time.Hour, StaleIfError: time.Hour, Tags: []string{"all"}, Compression: Auto}
	a, av := snapCache(f, Options{}, s)
	for _, key := range []string{"k", "l"} {
		loadTagged(f, av, key, strings.Repeat(key, 600), "t", av.Tag("m"))
	}
	f.Add(snapshotOf(f, a, 2))
	f.Add([]byte(snapMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, v := snapCache(t, Options{MaxBytes: 1 << 20, SweepInterval: -1}, s)
		defer c.Close()
		rep, err := c.Restore(t.Context(), bytes.NewReader(withSums(data)))
		if err != nil && !errors.Is(err, ErrDecode) {
			t.Errorf("error %v; want ErrDecode", err)
		}
		if v.Len() > rep.Restored {
			t.Errorf("%d entries, Restore = %+v", v.Len(), rep)
		}
		for range v.All() {
		}
		_ = c.DeleteTag(t.Context(), "all")
		for key := range v.All() {
			t.Errorf("%q outlived the tag of all", key)
		}
	})
}

// withSums makes all sums of a snapshot right, as far as its lengths can be followed.
func withSums(data []byte) []byte {
	data = bytes.Clone(data)
	put := func(from, to int) bool {
		if to+4 > len(data) {
			return false
		}
		binary.LittleEndian.PutUint32(data[to:], crc32.Checksum(data[from:to], castagnoli))
		return true
	}
	ok := put(0, snapHeader-4)
	for at := snapHeader; ok && put(at, at+4); {
		n := int(binary.LittleEndian.Uint32(data[at:]))
		at += snapPrefix
		ok = n < len(data) && put(at, at+n)
		at += n + 4
	}
	return data
}
