package memory_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

func TestReadStats(t *testing.T) {
	ballast := make([]byte, 32<<20)
	runtime.GC()
	s, err := memory.ReadStats()
	if err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(ballast)
	if s.At.IsZero() || s.HeapLive < 32<<20 || s.HeapObjects < 32<<20 || s.Stacks <= 0 || s.GoTotal < s.HeapLive ||
		s.Goroutines < 1 || s.GCCycles < 1 || s.GCForced < 1 || s.Used < s.HeapLive || s.GCCPU < 0 || s.GCCPU > 1 {
		t.Errorf("ReadStats() = %+v", s)
	}
	if runtime.GOOS == "linux" && (s.RSS <= 0 || s.Limit <= 0 || s.LimitSource == memory.LimitSourceNone) {
		t.Errorf("on Linux: RSS %d, limit %d by %v; want all known", s.RSS, s.Limit, s.LimitSource)
	}
	if u := s.Usage(); s.Limit > 0 && u != float64(s.Used)/float64(s.Limit) {
		t.Errorf("Usage() = %v", u)
	}
	if memory.IsCritical() && !memory.IsHigh() {
		t.Error("critical, but not high")
	}
}

func TestStatsWithoutLimit(t *testing.T) {
	var s memory.Stats
	if s.Usage() != 0 || s.Headroom() != math.MaxInt64 {
		t.Errorf("Usage %v, Headroom %d without a limit", s.Usage(), s.Headroom())
	}
	s = memory.Stats{Used: 150, Limit: 100}
	if s.Usage() != 1.5 || s.Headroom() != 0 {
		t.Errorf("Usage %v, Headroom %d beyond the limit", s.Usage(), s.Headroom())
	}
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	memory.Log(slog.New(slog.NewJSONHandler(&out, nil)), "after import")
	var line struct {
		Msg    string
		Memory map[string]any
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Msg != "after import" {
		t.Fatalf("logged %s: %v", out.Bytes(), err)
	}
	for _, key := range []string{"used", "limit", "limit_source", "heap_live", "goroutines"} {
		if _, ok := line.Memory[key]; !ok {
			t.Errorf("the log lacks %s: %s", key, out.Bytes())
		}
	}
}

func TestStatsText(t *testing.T) {
	s := memory.Stats{Used: 3 << 20, Limit: 8 << 20, LimitSource: memory.LimitSourceCgroupV2}
	if got := s.String(); !strings.HasPrefix(got, "used 3 MiB of 8 MiB (cgroup2)") {
		t.Errorf("String() = %q", got)
	}
	b, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(b), `"LimitSource":"cgroup2"`) {
		t.Errorf("JSON = %s, %v", b, err)
	}
}

// TestCgroupReal makes a control group with a limit, lets the monitor judge this
// process by it, and changes the limit under it.
func TestCgroupReal(t *testing.T) {
	const limit int64 = 8 << 30
	dir := filepath.Join("/sys/fs/cgroup/memory", "perfblocks-test-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("needs root and a version 1 memory hierarchy at /sys/fs/cgroup/memory: %v", err)
	}
	former, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	back := "/sys/fs/cgroup/memory"
	for line := range strings.Lines(string(former)) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 && parts[1] == "memory" {
			back = filepath.Join(back, parts[2])
		}
	}
	write := func(name, text string) error { return os.WriteFile(name, []byte(text), 0o644) }
	t.Cleanup(func() {
		if err := write(filepath.Join(back, "cgroup.procs"), strconv.Itoa(os.Getpid())); err != nil {
			t.Logf("moving back: %v", err)
		}
		if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
			t.Logf("removing the group: %v", err)
		}
	})
	if err := write(filepath.Join(dir, "memory.limit_in_bytes"), strconv.FormatInt(limit, 10)); err != nil {
		t.Skipf("cannot set a limit: %v", err)
	}
	if err := write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(os.Getpid())); err != nil {
		t.Skipf("cannot enter the group: %v", err)
	}
	m := newMonitor(t, memory.MonitorOptions{})
	runtimeLimit, err := memory.SetLimit(t.Context(), memory.LimitOptions{Override: true, Ratio: 0.5, Refresh: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer runtimeLimit.Close()
	for _, want := range []int64{limit, limit / 2} {
		if err := write(filepath.Join(dir, "memory.limit_in_bytes"), strconv.FormatInt(want, 10)); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := m.Stats().Memory
		if s.CgroupLimit != want || s.GoMemLimit == 0 && s.LimitSource != memory.LimitSourceCgroupV1 || s.WorkingSet <= 0 {
			t.Errorf("limit %d by %v, working set %d; want %d by cgroup1", s.CgroupLimit, s.LimitSource, s.WorkingSet, want)
		}
		tick, late := time.NewTicker(time.Millisecond), time.After(10*time.Second)
		// A collector that has too little processor time raises it, by three quarters of the
		// other half at most.
		for b := runtimeLimit.Bytes(); b < want/2 || b > want/8*7; b = runtimeLimit.Bytes() {
			select {
			case <-tick.C: // the kernel has no event to wait for
				continue
			case <-late:
				t.Fatalf("the runtime's limit is %d; want half of %d, or up to seven eighths", runtimeLimit.Bytes(), want)
			}
		}
		tick.Stop()
	}

	next := dir + "-next"
	if err := os.Mkdir(next, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		write(filepath.Join(back, "cgroup.procs"), strconv.Itoa(os.Getpid()))
		if err := os.Remove(next); err != nil {
			t.Logf("removing the second group: %v", err)
		}
	})
	if err := errors.Join(
		write(filepath.Join(next, "memory.limit_in_bytes"), strconv.FormatInt(limit/4, 10)),
		write(filepath.Join(next, "cgroup.procs"), strconv.Itoa(os.Getpid())),
		os.Remove(dir),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.Stats().Memory.CgroupLimit; got != limit/4 {
		t.Errorf("limit = %d after a move to another group; want %d", got, limit/4)
	}
}

// TestStatsGCCPU: what the collector does on idle processors is not held against it.
func TestStatsGCCPU(t *testing.T) {
	ballast := make([]*[64]*int, 1<<15) // something to mark
	for i := range ballast {
		ballast[i] = new([64]*int)
	}
	runtime.GC()
	runtime.KeepAlive(ballast)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // no collection between the two readings
	samples := []metrics.Sample{
		{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/dedicated:cpu-seconds"},
		{Name: "/cpu/classes/gc/pause:cpu-seconds"}, {Name: "/cpu/classes/total:cpu-seconds"},
	}
	s, err := memory.ReadStats()
	metrics.Read(samples)
	took, total := 0.0, samples[3].Value.Float64()
	for _, m := range samples[:3] {
		took += m.Value.Float64()
	}
	if err != nil || math.Abs(s.GCCPU-took/total) > 0.001 {
		t.Errorf("GCCPU = %v, %v; want %v", s.GCCPU, err, took/total)
	}
}
