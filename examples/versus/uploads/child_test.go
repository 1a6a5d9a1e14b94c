package uploads

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Kinds of work.
const (
	workCheck   = "check"   // one stream of 20 MiB and some
	workSmall   = "small"   // 100 KB from memory, 16 at once
	workReaders = "readers" // 100 KB of unknown length, 16 at once
	workStream  = "stream"  // one stream of unknown length
	workStreams = "streams" // eight of them at once
	workFile    = "file"    // one file
)

// job is what a child is asked to do.
type job struct {
	Client, Work string
	N            int   // uploads, of small work
	Size         int64 // of each stream or file, in bytes
	MaxMemory    int64
	Dir          string
	Target       target
}

// cost is what it took.
type cost struct {
	CPU    time.Duration // of the process, while it worked
	Allocs float64       // of the same
	Bytes  float64       // allocated
	RSS    int64         // peak of the process, in bytes
	Wall   time.Duration
}

// run starts a child and waits for what it tells.
func run(t *testing.T, j job) cost {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), "VERSUS_UPLOAD="+string(text))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s, %s: %v\n%s", j.Client, j.Work, err, said.Bytes())
	}
	var c cost
	line, _, _ := strings.Cut(said.String(), "\n")
	if err := json.Unmarshal([]byte(line), &c); err != nil {
		t.Fatalf("%s, %s: %v\n%s", j.Client, j.Work, err, said.Bytes())
	}
	return c
}

// TestChild does the job that its environment names, in its own process.
func TestChild(t *testing.T) {
	text := os.Getenv("VERSUS_UPLOAD")
	if text == "" {
		t.Skip("only as a child of another test")
	}
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		t.Fatal(err)
	}
	up, done, err := client(j.Client, j.Target, j.Dir, j.MaxMemory)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for i := range 4 { // connections, pools and lazily made tables
		if err := up(ctx, fmt.Sprint("warm/", i), bytes.NewReader(noise100k()), 100_000); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := processCPU(t), time.Now()
	if err := j.do(ctx, up); err != nil {
		t.Fatal(err)
	}
	c := cost{CPU: processCPU(t) - cpu, Wall: time.Since(start)}
	runtime.ReadMemStats(&after)
	c.Allocs, c.Bytes, c.RSS = float64(after.Mallocs-before.Mallocs), float64(after.TotalAlloc-before.TotalAlloc), peakRSS(t)
	if err := done(); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(c); err != nil {
		t.Fatal(err)
	}
}

func (j job) do(ctx context.Context, up upload) error {
	key := func(i int) string { return fmt.Sprintf("%s/%s/%d", j.Work, strings.ReplaceAll(j.Client, " ", ""), i) }
	block := noise(mib)
	switch j.Work {
	case workCheck:
		return up(ctx, key(0), newStream(block, j.Size), -1)
	case workSmall:
		b := noise100k()
		return parallel(16, j.N, func(i int) error { return up(ctx, key(i), bytes.NewReader(b), int64(len(b))) })
	case workReaders:
		b := noise100k()
		return parallel(16, j.N, func(i int) error { return up(ctx, key(i), struct{ io.Reader }{bytes.NewReader(b)}, -1) })
	case workStream:
		return up(ctx, key(0), newStream(block, j.Size), -1)
	case workStreams:
		return parallel(8, 8, func(i int) error { return up(ctx, key(i), newStream(block, j.Size), -1) })
	case workFile:
		f, err := os.Open(filepath.Join(j.Dir, "file"))
		if err != nil {
			return err
		}
		defer f.Close()
		return up(ctx, key(0), f, j.Size)
	}
	return fmt.Errorf("no work %q", j.Work)
}

// parallel calls f for 0 to n-1, at most at once at a time.
func parallel(at, n int, f func(int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, at)
	for range at {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func noise100k() []byte { return noise(100_000) }

func processCPU(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakRSS is the largest resident set that the process has had, in bytes.
func peakRSS(t *testing.T) int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("peak memory is read from /proc, on Linux only: %v", err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no VmHWM in /proc/self/status")
	return 0
}
