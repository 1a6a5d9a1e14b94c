package resilience_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

func newGuard(t *testing.T, o resilience.GuardOptions) *resilience.Guard {
	t.Helper()
	g, err := resilience.NewGuard(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// logged counts what a guarded handler let through: records, and the sum of
// 1+suppressed over them.
type logged struct {
	mu      sync.Mutex
	records int
	total   uint64
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }
func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := uint64(1)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "suppressed" {
			n += a.Value.Uint64()
		}
		return true
	})
	l.records++
	l.total += n
	return nil
}

func (l *logged) counts() (records int, total uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records, l.total
}

func TestGuardOptions(t *testing.T) {
	_, err := resilience.NewGuard(resilience.GuardOptions{Window: -1, First: -1, MaxKeys: -3, Burst: -1})
	if !errors.Is(err, resilience.ErrOptions) {
		t.Fatalf("NewGuard = %v; want ErrOptions", err)
	}
	for _, f := range []string{"Window", "First", "MaxKeys", "Burst"} {
		if !strings.Contains(err.Error(), f) {
			t.Errorf("error %q does not name %s", err, f)
		}
	}
}

func TestGuardThinsAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, resilience.GuardOptions{PerSecond: -1})
		out := &logged{}
		log := slog.New(g.Handler(out))
		const n = 100_000
		for i := range n {
			log.Error("cannot reach upstream", "attempt", i, "err", fmt.Errorf("call %d: %w", i, errBoom))
		}
		if records, _ := out.counts(); records > 5+n/100 {
			t.Errorf("%d records; want at most %d", records, 5+n/100)
		}
		time.Sleep(10 * time.Second) // The window ends by itself.
		synctest.Wait()
		if _, total := out.counts(); total != n {
			t.Errorf("sum of 1+suppressed = %d; want %d", total, n)
		}
		if s := g.Stats(); s.Observed != n || s.Emitted+s.Suppressed != n || s.Keys != 0 {
			t.Errorf("Stats = %+v", s)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestGuardLosesNoFingerprint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, resilience.GuardOptions{PerSecond: 1, Burst: 10})
		out := &logged{}
		h := g.Handler(out)
		const n = 4096 // MaxKeys by default.
		for i := range n {
			r := slog.NewRecord(time.Now(), slog.LevelError, "m", uintptr(i+1))
			_ = h.Handle(t.Context(), r)
		}
		if out.records > 10 {
			t.Errorf("%d records passed the bound of 10", out.records)
		}
		if err := g.Flush(); err != nil {
			t.Error(err)
		}
		if out.total != n || out.records != n {
			t.Errorf("after Flush: %d records for %d; want each of %d kinds", out.records, out.total, n)
		}
		_ = g.Close()
	})
}

func TestGuardIsBounded(t *testing.T) {
	g := newGuard(t, resilience.GuardOptions{MaxKeys: 64})
	out := &logged{}
	h := g.Handler(out)
	const n = 20_000
	for i := range n {
		_ = h.Handle(t.Context(), slog.NewRecord(time.Time{}, slog.LevelError, "m", uintptr(i+1)))
	}
	if s := g.Stats(); s.Keys > 64 || s.Overflowed < n-64 {
		t.Errorf("Stats = %+v; want at most 64 keys and the rest overflowed", s)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if out.total != n {
		t.Errorf("sum of 1+suppressed = %d; want %d", out.total, n)
	}
}

func TestGuardObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var total uint64
		var classes []resilience.Class
		g := newGuard(t, resilience.GuardOptions{First: 2, Every: 10, Hooks: resilience.GuardHooks{Summary: func(s resilience.Summary) {
			total += s.Suppressed
			classes = append(classes, s.Class)
		}}})
		emitted := 0
		for i := range 40 {
			d := g.Observe(fmt.Errorf("query %d: %w", i, sqlState("40001")))
			if d.New != (i == 0) || d.Fingerprint == 0 {
				t.Fatalf("Observe #%d = %+v", i, d)
			}
			if d.Emit {
				emitted++
				total += 1 + d.Suppressed
			}
		}
		if emitted != 5 { // 1, 2, 12, 22, 32.
			t.Errorf("%d passed; want 5", emitted)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if total != 40 || len(classes) != 1 || classes[0] != resilience.ClassConflict {
			t.Errorf("total %d, classes %v; want 40, one conflict", total, classes)
		}
		if d := g.Observe(nil); d.Emit {
			t.Error("Observe(nil) emits")
		}
		_ = g.Close()
	})
}

func TestGuardFingerprints(t *testing.T) {
	g := newGuard(t, resilience.GuardOptions{})
	defer func() { _ = g.Close() }()
	print := func(err error) uint64 { return g.Observe(err).Fingerprint }
	for _, c := range []struct {
		a, b error
		like bool
	}{
		{errors.New("user 17 not found"), errors.New("user 4711 not found"), true},
		{errors.New(`no file "a b"`), errors.New(`no file "c"`), true},
		{errors.New("dial 10.0.0.1:80"), errors.New("dial 192.168.1.27:8080"), true},
		{errors.New("id 3f2a-99b1"), errors.New("id 77ac-1b2c"), true},
		{errors.New("can't connect"), errors.New("can't write"), false},
		{errors.New("boom"), errors.New("bang"), false},
		{sqlState("40001"), sqlState("40P01"), false},
		{sqlState("40001"), wrapped(sqlState("40001")), false},
		{wrapped(sqlState("40001")), wrapped(sqlState("40001")), true},
	} {
		if got := print(c.a) == print(c.b); got != c.like {
			t.Errorf("%q like %q = %v; want %v", c.a, c.b, got, c.like)
		}
	}
}

func TestGuardHandlerPassesThrough(t *testing.T) {
	var buf bytes.Buffer
	g := newGuard(t, resilience.GuardOptions{First: 1, Every: -1})
	log := slog.New(g.Handler(slog.NewJSONHandler(&buf, nil))).With("a", 1).WithGroup("g")
	for range 20 {
		log.Info("fine")
	}
	for range 20 {
		log.Warn("bad", "b", 2)
	}
	if n := strings.Count(buf.String(), "fine"); n != 20 {
		t.Errorf("%d records under MinLevel passed; want 20", n)
	}
	if n := strings.Count(buf.String(), "bad"); n != 1 {
		t.Errorf("%d warnings passed; want 1", n)
	}
	buf.Reset()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	var last struct {
		A int
		G struct{ B, Suppressed int }
	}
	if err := json.Unmarshal(buf.Bytes(), &last); err != nil || last.A != 1 || last.G.B != 2 || last.G.Suppressed != 18 {
		t.Errorf("sample %s (%v); want a, g.b and suppressed=18", buf.String(), err)
	}
	if err := g.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	off := newGuard(t, resilience.GuardOptions{Disabled: true, First: 1})
	out := &logged{}
	for range 9 {
		slog.New(off.Handler(out)).Error("bad")
	}
	if out.records != 9 {
		t.Errorf("a disabled guard passed %d of 9", out.records)
	}
}

func TestGuardTellsInfosApart(t *testing.T) {
	g := newGuard(t, resilience.GuardOptions{First: 1, Every: -1})
	defer func() { _ = g.Close() }()
	out := &logged{}
	log := slog.New(g.Handler(out))
	for range 3 {
		for _, err := range []error{context.DeadlineExceeded, sqlState("40001"), sqlState("40P01")} {
			log.Error("request failed", "failure", resilience.Classify(err), "n", out.records)
		}
	}
	if records, _ := out.counts(); records != 3 {
		t.Errorf("%d records; want one for each class and code", records)
	}
}

// TestGuardSampleIsRecent checks that the sample of a window is one of those that
// it stands for, not one from before the last record that passed.
func TestGuardSampleIsRecent(t *testing.T) {
	var buf bytes.Buffer
	g := newGuard(t, resilience.GuardOptions{First: 1, Every: 3})
	log := slog.New(g.Handler(slog.NewTextHandler(&buf, nil)))
	for i := range 6 {
		log.Error("bad", "i", i)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"i=0\n", "i=3 suppressed=2\n", "i=4 suppressed=1\n"} {
		if !strings.Contains(buf.String(), want) {
			t.Errorf("log\n%swant %q in it", buf.String(), want)
		}
	}
	if n := strings.Count(buf.String(), "\n"); n != 3 {
		t.Errorf("%d records; want 3", n)
	}
}

// TestGuardConcurrent floods one guard from many sides while windows end.
func TestGuardConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, resilience.GuardOptions{Window: 100 * time.Millisecond, First: 2, Every: 7, MaxKeys: 32, PerSecond: 50})
		out := &logged{}
		log := slog.New(g.Handler(out))
		var wg sync.WaitGroup
		for seed := range uint64(8) {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, 1))
				for range 2000 {
					log.Error(strings.Repeat("x", r.IntN(60)))
					if r.IntN(20) == 0 {
						time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
					}
				}
			})
		}
		wg.Wait()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if out.total != 8*2000 {
			t.Errorf("sum of 1+suppressed = %d; want %d", out.total, 8*2000)
		}
		if s := g.Stats(); s.Observed != 8*2000 || int(s.Emitted) > out.records {
			t.Errorf("Stats = %+v for %d records", s, out.records)
		}
	})
}

// TestGuardSuppressedAllocs makes errors and attributes ahead: what is counted is
// slog's and the guard's.
func TestGuardSuppressedAllocs(t *testing.T) {
	g := newGuard(t, resilience.GuardOptions{First: 1, Every: -1})
	defer func() { _ = g.Close() }()
	log := slog.New(g.Handler(&logged{}))
	with := log.With("err", wrapped(errBoom)).WithGroup("g")
	ctx, n := t.Context(), slog.Int("n", 7)
	plain, refused, state := slog.Any("err", wrapped(errBoom)), dial(syscall.ECONNREFUSED), error(sqlState("40001"))
	group, info := slog.Group("g", n, slog.Any("err", refused)), slog.Any("failure", resilience.Classify(state))
	for name, observe := range map[string]func(){
		"plain":   func() { log.LogAttrs(ctx, slog.LevelError, "cannot reach 7 upstreams", plain, n) },
		"group":   func() { log.LogAttrs(ctx, slog.LevelError, "no", group) },
		"info":    func() { log.LogAttrs(ctx, slog.LevelError, "no", info) },
		"with":    func() { with.LogAttrs(ctx, slog.LevelError, "no", n) },
		"observe": func() { _ = g.Observe(refused) },
		"sql":     func() { _ = g.Observe(state) },
	} {
		t.Run(name, func(t *testing.T) {
			observe()
			observe() // Takes the sample.
			if n := testing.AllocsPerRun(200, observe); n != 0 {
				t.Errorf("what is withheld allocates %v times; want 0", n)
			}
		})
	}
}

// TestGuardHeap holds one withheld record for each of the most fingerprints.
func TestGuardHeap(t *testing.T) {
	g := newGuard(t, resilience.GuardOptions{Window: time.Hour})
	h := g.Handler(slog.DiscardHandler)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 4096 {
		r := slog.NewRecord(time.Time{}, slog.LevelError, "call failed", uintptr(i+1))
		r.AddAttrs(slog.Any("error", errBoom), slog.String("upstream", "ai"))
		_ = h.Handle(t.Context(), r)
	}
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("heap grew by %d KiB; want at most 1024", grown>>10)
	}
	if s := g.Stats(); s.Keys != 4096 || s.Suppressed < 3000 {
		t.Errorf("Stats = %+v; want 4096 keys, most of them withheld", s)
	}
}
