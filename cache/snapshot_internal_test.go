package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func snapCache(t testing.TB, o Options, s Strategy[string]) (*Cache, *View[string]) {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if s.Name == "" {
		s.Name = "s"
	}
	if s.Codec == nil {
		s.Codec = Raw[string]()
	}
	v, err := Add(c, s)
	if err != nil {
		t.Fatal(err)
	}
	return c, v
}

func snapshotOf(t testing.TB, c *Cache, want int) []byte {
	t.Helper()
	var b bytes.Buffer
	if n, err := c.Snapshot(t.Context(), &b); n != want || err != nil {
		t.Fatalf("Snapshot = %d, %v; want %d entries", n, err, want)
	}
	return b.Bytes()
}

func restoreInto(t testing.TB, c *Cache, snap []byte, want RestoreReport) {
	t.Helper()
	if got, err := c.Restore(t.Context(), bytes.NewReader(snap)); got != want || err != nil {
		t.Fatalf("Restore = %+v, %v; want %+v", got, err, want)
	}
}

func loadTagged(t testing.TB, v *View[string], key, val string, tags ...string) {
	t.Helper()
	if _, err := v.Load(t.Context(), key, func(_ context.Context, e *Entry[string]) (string, error) {
		e.DependsOn(tags...)
		return val, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreFreshness: what comes back lives as long as it would have, by the wall
// clock, and tags reach it.
func TestRestoreFreshness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Strategy[string]{TTL: time.Minute, Jitter: -1}
		a, av := snapCache(t, Options{}, s)
		loadTagged(t, av, "k", "v", "t")
		loadTagged(t, av, "other", "w")
		time.Sleep(20 * time.Second)
		snap := snapshotOf(t, a, 2)
		time.Sleep(10 * time.Second)
		b, bv := snapCache(t, Options{}, s)
		restoreInto(t, b, snap, RestoreReport{Restored: 2})
		time.Sleep(29 * time.Second)
		for key, want := range map[string]string{"k": "v", "other": "w"} {
			for range 2 { // from its bytes, then from its value
				if got, ok := bv.Get(t.Context(), key); !ok || got != want {
					t.Errorf("Get(%s) = %q, %v; want %q", key, got, ok, want)
				}
			}
		}
		if err := b.DeleteTag(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		if _, ok := bv.Get(t.Context(), "k"); ok {
			t.Error("Get after DeleteTag hit")
		}
		time.Sleep(time.Second)
		if _, ok := bv.Get(t.Context(), "other"); ok {
			t.Error("Get after the TTL hit")
		}
		c, _ := snapCache(t, Options{}, s)
		restoreInto(t, c, snap, RestoreReport{Skipped: 2})
		d, dv := snapCache(t, Options{}, Strategy[string]{TTL: time.Minute, StaleIfError: time.Hour})
		restoreInto(t, d, snap, RestoreReport{Skipped: 2}) // no window was promised then
		_ = dv
	})
}

// TestRestoreClockSetBack: a snapshot from the future is no fresher than it was.
func TestRestoreClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := snapCache(t, Options{}, Strategy[string]{})
		rec := snapRecord{strategy: "s", codec: "raw", key: "k", fresh: int64(time.Minute), dead: int64(time.Minute)}
		rec.frame, _ = (&packer{}).pack([]byte("v"), None)
		it := a.unsnap(rec, snapSince{moment: 1, age: max(-int64(time.Hour), 0)})
		if left := it.fresh - a.now(); left > int64(time.Minute) {
			t.Errorf("fresh for %v", time.Duration(left))
		}
		a.tags.release(it.tags()...)
	})
}

func TestRestoreStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Strategy[string]{TTL: time.Minute, Jitter: -1, StaleIfError: time.Hour}
		a, av := snapCache(t, Options{}, s)
		loadTagged(t, av, "k", "old")
		loadTagged(t, av, "soft", "old")
		_ = av.Expire(t.Context(), "soft")
		time.Sleep(2 * time.Minute)
		b, bv := snapCache(t, Options{}, s)
		restoreInto(t, b, snapshotOf(t, a, 2), RestoreReport{Restored: 2})
		for _, key := range []string{"k", "soft"} {
			if _, ok := bv.Get(t.Context(), key); ok {
				t.Errorf("Get(%s) of a stale value hit", key)
			}
			got, err := bv.Load(t.Context(), key, func(context.Context, *Entry[string]) (string, error) {
				return "", errors.New("down")
			})
			if got != "old" || err != nil {
				t.Errorf("Load(%s) = %q, %v; want the old value", key, got, err)
			}
		}
	})
}

// TestRestoreLayouts: whatever an item has besides its value comes back, and stays when
// its bytes are replaced by the value.
func TestRestoreLayouts(t *testing.T) {
	for name, s := range map[string]Strategy[string]{
		"plain":    {},
		"tagged":   {Tags: []string{"all"}},
		"windowed": {StaleIfError: time.Hour},
		"ahead":    {RefreshAhead: 0.9},
		"full":     {Idle: time.Hour},
		"packed":   {Compression: Zstd},
	} {
		t.Run(name, func(t *testing.T) {
			s.TTL, s.Jitter = time.Minute, -1
			synctest.Test(t, func(t *testing.T) {
				a, av := snapCache(t, Options{}, s)
				val := strings.Repeat("v", 500)
				for _, key := range []string{"k", "expired"} {
					loadTagged(t, av, key, val)
				}
				b, bv := snapCache(t, Options{}, s)
				restoreInto(t, b, snapshotOf(t, a, 2), RestoreReport{Restored: 2})
				restored := bv.Stats().Bytes
				for range 2 { // from its bytes, then from its value
					if got, ok := bv.Get(t.Context(), "k"); !ok || got != val {
						t.Errorf("Get = %q, %v", got, ok)
					}
				}
				if st := bv.Stats(); st.Bytes < restored/2 || st.Bytes > 2*restored || st.Entries != 2 {
					t.Errorf("%d bytes after decoding, %d before; %d entries", st.Bytes, restored, st.Entries)
				}
				snapshotOf(t, b, 2) // one decoded, one not
				if err := bv.Expire(t.Context(), "k", "expired"); err != nil {
					t.Fatal(err)
				}
				for _, key := range []string{"k", "expired"} {
					if _, ok := bv.Get(t.Context(), key); ok {
						t.Errorf("Get(%s) after Expire hit", key)
					}
				}
				want := 0 // without windows, what is expired is of no use
				if s.StaleIfError > 0 {
					want = 2
				}
				if s.RefreshAhead > 0 || s.Idle > 0 {
					return
				}
				snapshotOf(t, b, want)
			})
		})
	}
}

// TestRestoreLosesToInvalidation: what was written or invalidated in this cache wins,
// before Restore as well as since a snapshot of its own.
func TestRestoreLosesToInvalidation(t *testing.T) {
	for name, invalidate := range map[string]func(*Cache, *View[string]) error{
		"DeleteTag":    func(c *Cache, _ *View[string]) error { return c.DeleteTag(t.Context(), "t") },
		"Delete":       func(_ *Cache, v *View[string]) error { return v.Delete(t.Context(), "k") },
		"Delete entry": func(c *Cache, v *View[string]) error { return c.DeleteTag(t.Context(), v.Tag("k")) },
		"Expire":       func(_ *Cache, v *View[string]) error { return v.Expire(t.Context(), "k") },
		"Set and Delete": func(_ *Cache, v *View[string]) error {
			return errors.Join(v.Set(t.Context(), "k", "new"), v.Delete(t.Context(), "k"))
		},
		"static": func(c *Cache, _ *View[string]) error { return c.DeleteTag(t.Context(), "all") },
		"many": func(c *Cache, _ *View[string]) error {
			for i := range limboMax + 10 { // the node of t is forgotten
				if err := c.DeleteTag(t.Context(), "t", fmt.Sprint("u", i)); i == 0 && err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := Strategy[string]{TTL: time.Hour, Tags: []string{"all"}}
			a, av := snapCache(t, Options{}, s)
			loadTagged(t, av, "k", "v", "t")
			snap := snapshotOf(t, a, 1)
			b, bv := snapCache(t, Options{}, s)
			for c, v := range map[*Cache]*View[string]{a: av, b: bv} {
				if err := invalidate(c, v); err != nil {
					t.Fatal(err)
				}
				_, _ = c.Restore(t.Context(), bytes.NewReader(snap))
				if got, ok := v.Get(t.Context(), "k"); ok {
					t.Errorf("Get = %q although it was invalidated; same cache: %v", got, c == a)
				}
			}
		})
	}
	a, av := snapCache(t, Options{}, Strategy[string]{TTL: time.Hour})
	loadTagged(t, av, "k", "v")
	snap := snapshotOf(t, a, 1)
	_ = av.Set(t.Context(), "k", "new")
	restoreInto(t, a, snap, RestoreReport{Skipped: 1})
	if got, _ := av.Get(t.Context(), "k"); got != "new" {
		t.Errorf("Get = %q; want the newer value", got)
	}
}

// TestRestoreRace: a Delete that returned is never followed by the restored value,
// whatever runs at the same time.
func TestRestoreRace(t *testing.T) {
	const keys = 50
	s := Strategy[string]{TTL: time.Hour}
	a, av := snapCache(t, Options{}, s)
	for i := range keys {
		loadTagged(t, av, fmt.Sprint(i), "old", fmt.Sprint("t", i))
	}
	snap := snapshotOf(t, a, keys)
	for round := range 20 {
		b, bv := snapCache(t, Options{}, s)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = b.Restore(context.Background(), bytes.NewReader(snap)) })
		wg.Go(func() {
			for i := range keys {
				key := fmt.Sprint(i)
				switch (i + round) % 3 {
				case 0:
					_ = bv.Delete(context.Background(), key)
				case 1:
					_ = b.DeleteTag(context.Background(), "t"+key)
				case 2:
					_ = b.DeleteTag(context.Background(), bv.Tag(key))
				}
				bv.Get(context.Background(), key)
			}
		})
		wg.Wait()
		for i := range keys {
			if _, ok := bv.Get(t.Context(), fmt.Sprint(i)); ok {
				t.Fatalf("round %d: Get(%d) hit after it was deleted", round, i)
			}
		}
		if n := b.tags.size(); bv.Len() > 0 && n > 3*keys {
			t.Fatalf("%d tags of %d entries", n, bv.Len())
		}
	}
}

// TestRestoreDependents: what was made of an entry dies with it, after a restart too.
func TestRestoreDependents(t *testing.T) {
	s := Strategy[string]{TTL: time.Hour}
	a, av := snapCache(t, Options{}, s)
	_, err := av.Load(t.Context(), "outer", func(ctx context.Context, _ *Entry[string]) (string, error) {
		return av.Load(ctx, "inner", func(_ context.Context, e *Entry[string]) (string, error) {
			e.DependsOn("t")
			return "v", nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	snap := snapshotOf(t, a, 2)
	for name, invalidate := range map[string]func(*Cache, *View[string]) error{
		"tag":    func(c *Cache, _ *View[string]) error { return c.DeleteTag(t.Context(), "t") },
		"delete": func(_ *Cache, v *View[string]) error { return v.Delete(t.Context(), "inner") },
		"set":    func(_ *Cache, v *View[string]) error { return v.Set(t.Context(), "inner", "new") },
	} {
		b, bv := snapCache(t, Options{}, s)
		restoreInto(t, b, snap, RestoreReport{Restored: 2})
		if err := invalidate(b, bv); err != nil {
			t.Fatal(err)
		}
		if _, ok := bv.Get(t.Context(), "outer"); ok {
			t.Errorf("%s: the dependent was served", name)
		}
	}
}

// TestRestoreDamage: each flipped bit and each cut is told, and nothing wrong comes back.
func TestRestoreDamage(t *testing.T) {
	s := Strategy[string]{TTL: time.Hour}
	a, av := snapCache(t, Options{}, s)
	want := map[string]string{}
	for i := range 4 {
		key := fmt.Sprint("k", i)
		want[key] = strings.Repeat(key, 3)
		loadTagged(t, av, key, want[key], "t")
	}
	snap := snapshotOf(t, a, 4)
	try := func(what string, bad []byte) {
		t.Helper()
		b, bv := snapCache(t, Options{SweepInterval: -1}, s)
		defer b.Close()
		rep, err := b.Restore(t.Context(), bytes.NewReader(bad))
		if !errors.Is(err, ErrDecode) || !strings.Contains(err.Error(), fmt.Sprint(rep.Restored, " entries restored")) {
			t.Fatalf("%s: Restore = %+v, %v; want ErrDecode", what, rep, err)
		}
		n := 0
		for key, val := range bv.All() {
			if n++; want[key] != val {
				t.Fatalf("%s: %q holds %q", what, key, val)
			}
		}
		if n != rep.Restored || n+rep.Damaged+rep.Skipped > 4 {
			t.Fatalf("%s: %d entries, Restore = %+v", what, n, rep)
		}
	}
	for i := 0; i < len(snap)*8; i += 5 {
		bad := bytes.Clone(snap)
		bad[i/8] ^= 1 << (i % 8)
		try(fmt.Sprint("bit ", i), bad)
	}
	for n := 0; n < len(snap); n += 3 {
		try(fmt.Sprint("cut to ", n), snap[:n])
	}
	b, _ := snapCache(t, Options{}, s)
	bad := bytes.Clone(snap)
	bad[snapHeader+snapPrefix+3] ^= 1
	if rep, err := b.Restore(t.Context(), bytes.NewReader(bad)); rep.Restored != 3 || rep.Damaged != 1 || err == nil {
		t.Errorf("with one damaged body: %+v, %v", rep, err)
	}
	b, _ = snapCache(t, Options{}, s)
	failing := io.MultiReader(bytes.NewReader(snap[:len(snap)-20]), readErr{})
	if rep, err := b.Restore(t.Context(), failing); rep.Restored < 3 || !errors.Is(err, errSnapRead) {
		t.Errorf("with a failing reader: %+v, %v", rep, err)
	}
}

var errSnapRead = errors.New("the disk is gone")

type readErr struct{}

func (readErr) Read([]byte) (int, error) { return 0, errSnapRead }

// TestRestoreBound: a smaller cache takes the hottest, and stays within its bound
// when the values are decoded.
func TestRestoreBound(t *testing.T) {
	s := Strategy[string]{TTL: time.Hour, Jitter: -1}
	a, av := snapCache(t, Options{MaxBytes: 2 << 20}, s)
	for i := range 1000 {
		_ = av.Set(t.Context(), fmt.Sprint("k", i), strings.Repeat("x", 1000))
	}
	for range 20 {
		for i := range 20 {
			av.Get(t.Context(), fmt.Sprint("k", 500+i))
		}
	}
	snap := snapshotOf(t, a, 1000)
	const bound = 200 << 10
	b, bv := snapCache(t, Options{MaxBytes: bound}, s)
	rep, err := b.Restore(t.Context(), bytes.NewReader(snap))
	if err != nil || !rep.Full || rep.Restored < 100 || rep.Restored > 200 {
		t.Fatalf("Restore = %+v, %v", rep, err)
	}
	st := bv.Stats()
	if st.Bytes > bound || st.Evictions > 0 {
		t.Errorf("Stats() = %+v; want at most %d bytes, no eviction", st, bound)
	}
	hot := 0
	for i := range 20 {
		if _, ok := bv.Get(t.Context(), fmt.Sprint("k", 500+i)); ok {
			hot++
		}
	}
	if hot < 18 {
		t.Errorf("%d of 20 hot entries came back", hot)
	}
	for range bv.All() {
	}
	if st := bv.Stats(); st.Bytes > bound+bound/50 {
		t.Errorf("%d bytes after decoding; the bound is %d", st.Bytes, bound)
	}
}

// TestRestoreStrategies: bytes of another version or codec are not decoded.
func TestRestoreStrategies(t *testing.T) {
	a, av := snapCache(t, Options{}, Strategy[string]{})
	_ = av.Set(t.Context(), "k", "v")
	snap := snapshotOf(t, a, 1)
	for name, s := range map[string]Strategy[string]{"name": {Name: "x"}, "version": {Version: 1}, "codec": {Codec: JSON[string]()}} {
		b, _ := snapCache(t, Options{}, s)
		if rep, err := b.Restore(t.Context(), bytes.NewReader(snap)); rep != (RestoreReport{Skipped: 1}) || err != nil {
			t.Errorf("%s: Restore = %+v, %v", name, rep, err)
		}
	}
	// Packed values stay packed, and one that cannot be decoded is a miss.
	z := Strategy[string]{Compression: Zstd}
	c, cv := snapCache(t, Options{}, z)
	val := strings.Repeat("abc", 1000)
	_ = cv.Set(t.Context(), "k", val)
	snap = snapshotOf(t, c, 1)
	d, dv := snapCache(t, Options{}, z)
	restoreInto(t, d, snap, RestoreReport{Restored: 1})
	if got, ok := dv.Get(t.Context(), "k"); !ok || got != val || dv.Stats().SavedBytes != cv.Stats().SavedBytes {
		t.Errorf("Get of a packed value: %v; %d bytes saved, %d before", ok, dv.Stats().SavedBytes, cv.Stats().SavedBytes)
	}
	e, ev := snapCache(t, Options{}, Strategy[string]{Codec: failingCodec{}})
	restoreInto(t, e, snap, RestoreReport{Restored: 1})
	if _, ok := ev.Get(t.Context(), "k"); ok || ev.Stats().DecodeErrors != 1 || ev.Len() != 0 {
		t.Errorf("Get of what cannot be decoded = %v; %+v", ok, ev.Stats())
	}
}

type failingCodec struct{ Codec[string] }

func (failingCodec) Name() string                              { return "raw" }
func (failingCodec) Encode(d []byte, _ string) ([]byte, error) { return d, nil }
func (failingCodec) Decode([]byte) (string, error)             { panic("never seen") }

func TestSnapRecordRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		want := randomSnap(rng)
		got, err := parseSnap(want.append(nil))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("parseSnap = %+v, %v; want %+v", got, err, want)
		}
	}
}

func randomSnap(rng *rand.Rand) snapRecord {
	text := func() string { return strings.Repeat("é\x00a", rng.IntN(40)) }
	r := snapRecord{strategy: "s" + text(), version: int(rng.Int32()), codec: text(), key: text(),
		fresh: rng.Int64N(1<<40) - 1<<39, stamp: rng.Uint64(), frame: append([]byte(nil), text()...)}
	r.dead = r.fresh + rng.Int64N(1<<40)
	for range rng.IntN(4) {
		r.tags = append(r.tags, snapTag{name: text(), linked: rng.IntN(2) == 0})
	}
	return r
}

func FuzzParseSnap(f *testing.F) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 5 {
		r := randomSnap(rng)
		f.Add(r.append(nil))
	}
	f.Add([]byte("\x01s\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseSnap(data)
		if err != nil {
			if !errors.Is(err, ErrDecode) {
				t.Errorf("error %v; want ErrDecode", err)
			}
			return
		}
		again, err := parseSnap(r.append(nil))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("parsed again: %+v, %v; want %+v", again, err, r)
		}
	})
}
