package memory_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

// script is a source that yields one sample a window.
type script struct {
	n    int
	make func(window int) memory.LeakSample
}

func (s *script) read(context.Context) (memory.LeakSample, error) {
	s.n++
	return s.make(s.n - 1), nil
}

func newDetector(t testing.TB, o memory.LeakOptions) *memory.LeakDetector {
	t.Helper()
	d, err := memory.NewLeakDetector(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// sampled takes n samples and returns the last report.
func sampled(t testing.TB, d *memory.LeakDetector, n int) (r memory.LeakReport) {
	t.Helper()
	for range n {
		var err error
		if r, err = d.Sample(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestNewLeakDetectorRejects(t *testing.T) {
	_, err := memory.NewLeakDetector(memory.LeakOptions{Window: 1, MinShare: math.NaN()})
	if !errors.Is(err, memory.ErrOptions) || !strings.Contains(err.Error(), "Window") || !strings.Contains(err.Error(), "MinShare") {
		t.Errorf("NewLeakDetector = %v; want ErrOptions that names both fields", err)
	}
}

func TestLeakDetectorFollowsASuspect(t *testing.T) {
	heap := func(w int) memory.LeakSample {
		live := int64(100<<20 + w<<20)
		if w > 14 {
			live = 100 << 20 // given back
		}
		return memory.LeakSample{HeapLive: live, Groups: []memory.GoroutineGroup{}}
	}
	var suspected, cleared []memory.Suspect
	d := newDetector(t, memory.LeakOptions{Source: (&script{make: heap}).read, Hooks: memory.LeakHooks{
		Suspected: func(s memory.Suspect) { suspected = append(suspected, s) },
		Cleared:   func(s memory.Suspect) { cleared = append(cleared, s); panic("hook") },
	}})
	if r := sampled(t, d, 10); len(r.Suspects) != 0 || r.Windows != 9 {
		t.Fatalf("after 9 windows: %+v", r)
	}
	r := sampled(t, d, 1)
	if len(r.Suspects) != 1 {
		t.Fatalf("after 10 windows: %v", r.Suspects)
	}
	s := r.Suspects[0]
	if s.Kind != memory.LeakHeap || s.Rate != 1<<20 || s.Growth != 10<<20 || s.Rose != 10 || s.Windows != 10 || s.Confidence < 0.99 || s.Now != 110<<20 {
		t.Errorf("suspect = %+v", s)
	}
	since := s.Since
	r = sampled(t, d, 4)
	if len(r.Suspects) != 1 || r.Suspects[0].Since != since || r.Suspects[0].Now != 114<<20 {
		t.Errorf("four windows later: %+v", r.Suspects)
	}
	r = sampled(t, d, 1)
	if len(r.Suspects) != 0 || len(suspected) != 1 || len(cleared) != 1 {
		t.Errorf("given back: %v; %d suspected, %d cleared", r.Suspects, len(suspected), len(cleared))
	}
	if got := d.Stats(); got.Samples != 16 || got.Suspected != 1 || got.Cleared != 1 || got.Panics != 1 {
		t.Errorf("Stats = %+v", got)
	}
}

func TestLeakDetectorClearsWhatStopped(t *testing.T) {
	d := newDetector(t, memory.LeakOptions{Source: (&script{make: func(w int) memory.LeakSample {
		return memory.LeakSample{HeapLive: int64(100+min(w, 12)) << 20}
	}}).read})
	if r := sampled(t, d, 13); len(r.Suspects) != 1 {
		t.Fatalf("suspects while it grows: %v", r.Suspects)
	}
	if r := sampled(t, d, 10); len(r.Suspects) != 0 {
		t.Errorf("ten windows later: %v", r.Suspects)
	}
}

func TestLeakDetectorNamesTheGroup(t *testing.T) {
	d := newDetector(t, memory.LeakOptions{Source: (&script{make: func(w int) memory.LeakSample {
		return memory.LeakSample{Groups: []memory.GoroutineGroup{
			{Entry: "app.worker", At: "app.wait", Count: 8},
			{Entry: "app.leak", At: "app.send", Count: 2 * w},
			{Entry: "app.worker", At: "app.wait", Count: w % 2},
		}}
	}}).read})
	r := sampled(t, d, 12)
	want := memory.GoroutineGroup{Entry: "app.leak", At: "app.send", Count: 22}
	if len(r.Suspects) != 1 || r.Suspects[0].Kind != memory.LeakGoroutines || r.Suspects[0].Group != want || r.Suspects[0].Rate != 2 {
		t.Errorf("suspects = %+v", r.Suspects)
	}
}

func TestLeakDetectorCountsUngrouped(t *testing.T) {
	d := newDetector(t, memory.LeakOptions{Source: (&script{make: func(w int) memory.LeakSample {
		return memory.LeakSample{Goroutines: 100_000 + 900*w}
	}}).read})
	if r := sampled(t, d, 11); len(r.Suspects) != 1 || r.Suspects[0].Group.Entry != "" || r.Suspects[0].Growth != 9000 {
		t.Errorf("suspects = %+v", r.Suspects)
	}
}

func TestLeakDetectorTellsWhatIsProven(t *testing.T) {
	parked := memory.GoroutineGroup{Entry: "app.parked", At: "app.parked", Count: 1}
	d := newDetector(t, memory.LeakOptions{Source: (&script{make: func(w int) memory.LeakSample {
		return memory.LeakSample{Leaked: []memory.GoroutineGroup{parked, {Entry: "app.send", At: "app.send", Count: w}}}
	}}).read})
	if r := sampled(t, d, 1); len(r.Suspects) != 0 {
		t.Errorf("at the first sample: %v", r.Suspects)
	}
	r := sampled(t, d, 2)
	if len(r.Suspects) != 1 || r.Suspects[0].Kind != memory.LeakProven || r.Suspects[0].Group.Count != 2 || r.Suspects[0].Confidence != 1 {
		t.Errorf("suspects = %+v", r.Suspects)
	}
}

func TestLeakDetectorSourceFails(t *testing.T) {
	down := errors.New("down")
	n := 0
	d := newDetector(t, memory.LeakOptions{Source: func(context.Context) (memory.LeakSample, error) {
		switch n++; n {
		case 1:
			return memory.LeakSample{}, down
		case 2:
			panic("source")
		case 3:
			return memory.LeakSample{HeapLive: -1}, nil
		case 4:
			return memory.LeakSample{Groups: []memory.GoroutineGroup{{Count: -1}}}, nil
		}
		return memory.LeakSample{}, nil
	}})
	var p *memory.PanicError
	if _, err := d.Sample(t.Context()); !errors.Is(err, down) {
		t.Errorf("error = %v; want the source's", err)
	}
	if _, err := d.Sample(t.Context()); !errors.As(err, &p) {
		t.Errorf("error = %v; want a PanicError", err)
	}
	for range 2 {
		if _, err := d.Sample(t.Context()); err == nil {
			t.Error("a negative amount was accepted")
		}
	}
	if _, err := d.Sample(t.Context()); err != nil {
		t.Error(err)
	}
	if s := d.Stats(); s.SampleErrors != 4 || s.Samples != 1 {
		t.Errorf("Stats = %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Sample(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v; want Canceled", err)
	}
	d.Close()
	if _, err := d.Sample(t.Context()); !errors.Is(err, memory.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := d.Start(t.Context()); !errors.Is(err, memory.ErrClosed) {
		t.Errorf("Start after Close: %v", err)
	}
}

func TestLeakDetectorStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &script{make: func(w int) memory.LeakSample { return memory.LeakSample{HeapLive: int64(w+10) << 20} }}
		d := newDetector(t, memory.LeakOptions{Window: time.Minute, Source: src.read})
		for range 2 { // the second does nothing
			if err := d.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10*time.Minute - time.Second)
		if r := d.Report(); r.Windows != 9 || len(r.Suspects) != 0 {
			t.Errorf("after 9 minutes: %+v", r)
		}
		time.Sleep(2 * time.Second)
		if r := d.Report(); r.Windows != 10 || len(r.Suspects) != 1 {
			t.Errorf("after 10 minutes: %+v", r)
		}
		d.Close()
		before := src.n
		time.Sleep(time.Hour)
		if src.n != before {
			t.Error("a sample was taken after Close")
		}
	})
}

// TestLeakDetectorOnThisProcess leaks real memory and real goroutines.
func TestLeakDetectorOnThisProcess(t *testing.T) {
	var kept [][]byte
	end := make(chan struct{})
	defer close(end)
	bounded := int64(0)
	d := newDetector(t, memory.LeakOptions{})
	known := newDetector(t, memory.LeakOptions{Bounded: func() int64 { return bounded }, MaxGoroutines: -1})
	var r, quiet memory.LeakReport
	for range 11 {
		for range 64 {
			kept = append(kept, make([]byte, 16<<10))
			bounded += 16 << 10
		}
		go waitForEnd(end)
		go waitForEnd(end)
		runtime.Gosched()
		r, quiet = sampled(t, d, 1), sampled(t, known, 1)
	}
	if len(r.Suspects) != 2 {
		t.Fatalf("suspects = %v", r.Suspects)
	}
	heap, group := r.Suspects[0], r.Suspects[1]
	if heap.Kind != memory.LeakHeap || heap.Rate < 0.9*(1<<20) || heap.Rate > 1.1*(1<<20) {
		t.Errorf("heap: %v", heap)
	}
	if group.Group.Entry != "github.com/perfblocks/perfblocks/memory_test.waitForEnd" || group.Group.Count != 22 {
		t.Errorf("group: %+v", group.Group)
	}
	if len(heap.Sites) == 0 || !strings.Contains(heap.String(), "TestLeakDetectorOnThisProcess (leak_test.go:") {
		t.Errorf("sites: %v", heap)
	}
	for _, s := range quiet.Suspects {
		if s.Kind == memory.LeakHeap {
			t.Errorf("growth that is known to be bounded: %v", s)
		}
	}
	runtime.KeepAlive(kept)
}

func waitForEnd(end chan struct{}) { <-end }

func TestLeakDetectorMetrics(t *testing.T) {
	d := newDetector(t, memory.LeakOptions{Name: "x", Source: (&script{make: func(w int) memory.LeakSample {
		return memory.LeakSample{HeapLive: int64(w+10) << 20, Groups: []memory.GoroutineGroup{}}
	}}).read})
	sampled(t, d, 11)
	got := maps.Collect(d.Metrics())
	for name, want := range map[string]float64{
		`memory_leak_suspects{detector="x",kind="heap"}`:       1,
		`memory_leak_suspects{detector="x",kind="goroutines"}`: 0,
		`memory_leak_heap_bytes_per_window{detector="x"}`:      1 << 20,
		`memory_leak_samples_total{detector="x"}`:              11,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v (%v); want %v", name, v, ok, want)
		}
	}
	for range d.Metrics() {
		break // and stop when asked to
	}
}

func TestLeakKindText(t *testing.T) {
	for k, want := range map[memory.LeakKind]string{memory.LeakHeap: "heap", memory.LeakGoroutines: "goroutines", memory.LeakProven: "proven", 9: "LeakKind(9)"} {
		if b, err := k.MarshalText(); string(b) != want || err != nil {
			t.Errorf("%d = %s, %v", k, b, err)
		}
	}
}

func BenchmarkLeakDetectorSample(b *testing.B) {
	for name, o := range map[string]memory.LeakOptions{"process": {}, "no collection": {DisableCollect: true}} {
		for _, goroutines := range []int{10, 10_000} {
			b.Run(name+"/goroutines="+map[int]string{10: "10", 10_000: "10000"}[goroutines], func(b *testing.B) {
				end := make(chan struct{})
				defer close(end)
				for range goroutines {
					go waitForEnd(end)
				}
				d := newDetector(b, o)
				sampled(b, d, 60)
				b.ReportAllocs()
				for b.Loop() {
					sampled(b, d, 1)
				}
			})
		}
	}
}
