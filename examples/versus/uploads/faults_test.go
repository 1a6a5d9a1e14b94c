package uploads

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

func emit(t *testing.T, measure, unit string, figure, limit float64, atLeast bool) {
	t.Helper()
	row := bench.Row{Measure: measure, Unit: unit, Ours: figure}
	if row.Goal, row.OK = fmt.Sprintf("≤ %g", limit), figure <= limit; atLeast {
		row.Goal, row.OK = fmt.Sprintf("≥ %g", limit), figure >= limit
	}
	bench.Emit(t, row)
}

// TestCrashOracle has the package kill its child many times.
func TestCrashOracle(t *testing.T) {
	cycles := "100"
	if os.Getenv("VERSUS_FULL") != "" {
		cycles = "10000"
	}
	cmd := exec.Command("go", "test", "-count=1", "-timeout=120m", "-v", "-run", "^TestCrash(Bites)?$", "github.com/perfblocks/perfblocks/cdn")
	cmd.Env = append(os.Environ(), "CDN_CRASH_CYCLES="+cycles)
	out, err := cmd.CombinedOutput()
	said := func(pattern string) float64 {
		m := regexp.MustCompile(pattern).FindSubmatch(out)
		if m == nil {
			t.Fatalf("%s is not in:\n%s", pattern, out)
		}
		n, _ := strconv.ParseFloat(string(m[1]), 64)
		return n
	}
	failed := float64(0)
	if err != nil {
		t.Logf("%s", out)
		failed = float64(bytes.Count(out, []byte("acknowledged was"))) + float64(bytes.Count(out, []byte("still pending")))
		failed = max(failed, 1)
	}
	emit(t, fmt.Sprintf("crash oracle, %s cycles, %.0f acknowledgements", cycles, said(`cycles, (\d+) acknowledgements`)),
		"lost, corrupt or left pending", failed, 0, false)
	emit(t, "crash oracle without verification", "lost", said(`without verification, after 3 cycles: (\d+) lost`), 1, true)
}

// blackHole accepts connections and never answers.
func blackHole(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	return "http://" + l.Addr().String()
}

func s3At(t *testing.T, endpoint string, c *http.Client) *s3cdn.Provider {
	p, err := s3cdn.New(s3cdn.Options{
		Bucket: "b", Region: "us-east-1", Endpoint: endpoint, PathStyle: true, AccessKeyID: "a", SecretAccessKey: "s", HTTPClient: c,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func localIn(t *testing.T, dir string) *cdn.Local {
	l, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func uploader(t *testing.T, p cdn.Provider, o cdn.Options) *cdn.Uploader {
	u, err := cdn.New(p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

// TestBlackHole measures how long a caller waits for a provider that never answers.
func TestBlackHole(t *testing.T) {
	const wait, n = 500 * time.Millisecond, 200
	u := uploader(t, s3At(t, blackHole(t), nil), cdn.Options{Fallback: localIn(t, t.TempDir()), MaxWait: wait})
	took := make([]time.Duration, n)
	b := noise100k()
	err := parallel(16, n, func(i int) error {
		if i < 16 { // callers do not come at the same moment
			time.Sleep(time.Duration(i) * wait / 16)
		}
		start := time.Now()
		res, err := u.Upload(t.Context(), "x.bin", bytes.NewReader(b), cdn.UploadOptions{Key: fmt.Sprint("k", i)})
		took[i] = time.Since(start)
		if err == nil && res.Fallback == nil {
			return errors.New("a black hole has stored something")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(took)
	emit(t, "black-holed provider: p99 of Upload beyond MaxWait", "ms", float64((took[n*99/100]-wait).Microseconds())/1000, 50, false)
}

type breaker struct{}

func (breaker) RoundTrip(*http.Request) (*http.Response, error) { return nil, openError{} }

type openError struct{}

func (openError) Error() string             { return "circuit breaker is open" }
func (openError) RetryAfter() time.Duration { return time.Minute }

// TestOpenBreaker compares an upload under the caller's open breaker with the durable
// local put that it comes to.
func TestOpenBreaker(t *testing.T) {
	b := noise100k()
	u := uploader(t, s3At(t, "http://127.0.0.1:1", &http.Client{Transport: breaker{}}), cdn.Options{Fallback: localIn(t, t.TempDir())})
	bare := localIn(t, t.TempDir())
	ratios := make([]float64, 0, 9)
	for round := range 9 {
		time1 := timed(t, func(i int) error {
			_, err := u.Upload(t.Context(), "x.bin", bytes.NewReader(b), cdn.UploadOptions{Key: fmt.Sprint("k", round, "-", i)})
			return err
		})
		time2 := timed(t, func(i int) error {
			_, err := bare.Put(t.Context(), cdn.Object{Key: fmt.Sprint("k", round, "-", i), Size: int64(len(b))}, bytes.NewReader(b))
			return err
		})
		ratios = append(ratios, time1/time2)
	}
	slices.Sort(ratios)
	emit(t, "upload of 100 KB with the caller's breaker open: time", "of a durable local put's", ratios[len(ratios)/2], 1.3, false)
}

func timed(t *testing.T, f func(i int) error) float64 {
	start := time.Now()
	if err := parallel(1, 100, f); err != nil {
		t.Fatal(err)
	}
	return time.Since(start).Seconds()
}

// TestGroupCommit compares the journal's records with records that are synced one by
// one, both by 16 writers.
func TestGroupCommit(t *testing.T) {
	down := &cdntest.Memory{Fault: func(context.Context, string, string) error { return cdn.ErrUnavailable }}
	u := uploader(t, down, cdn.Options{Fallback: localIn(t, t.TempDir()), Retry: cdn.RetryOptions{MaxAttempts: 1}})
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var mu sync.Mutex
	record := bytes.Repeat([]byte("x"), 200)
	const n = 2000
	rate := func(op func(i int) error) float64 {
		start := time.Now()
		if err := parallel(16, n, op); err != nil {
			t.Fatal(err)
		}
		return n / time.Since(start).Seconds()
	}
	var ratios []float64
	for round := range 5 {
		ours := rate(func(i int) error { return u.Delete(t.Context(), fmt.Sprintf("deleted/%d/%d.bin", round, i)) })
		single := rate(func(i int) error {
			mu.Lock()
			defer mu.Unlock()
			_, err := f.Write(record)
			return errors.Join(err, f.Sync())
		})
		ratios = append(ratios, ours/single)
	}
	slices.Sort(ratios)
	emit(t, "journal, 16 writers: records per second", "of one fsync each", ratios[len(ratios)/2], 5, true)
}

// TestSecondPass uploads the same files twice.
func TestSecondPass(t *testing.T) {
	m := &cdntest.Memory{}
	u := uploader(t, m, cdn.Options{})
	for range 2 {
		before := u.Stats().BytesSent
		for i := range 1000 {
			if _, err := u.Upload(t.Context(), "x.bin", bytes.NewReader(fmt.Appendf(nil, "file %d", i)), cdn.UploadOptions{Dedupe: true}); err != nil {
				t.Fatal(err)
			}
		}
		if before > 0 {
			emit(t, "1,000 files for the second time: sent", "body bytes", float64(u.Stats().BytesSent-before), 0, false)
		}
	}
}

// sink is a provider that is down or else reads what it is given, and keeps nothing.
type sink struct {
	cdn.Provider
	down atomic.Bool
}

func (s *sink) Put(ctx context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	if s.down.Load() {
		return cdn.Info{}, cdn.ErrUnavailable
	}
	_, err := io.Copy(io.Discard, io.NewSectionReader(body, 0, obj.Size))
	return cdn.Info{Ref: cdn.Ref{Key: obj.Key}, Size: obj.Size, Verified: true}, err
}

func (s *sink) URL(ref cdn.Ref) (string, error) { return "https://sink.example/" + ref.Key, nil }

// TestManyPending promotes what a long outage has left.
func TestManyPending(t *testing.T) {
	n := 20_000
	if os.Getenv("VERSUS_FULL") != "" {
		n = 100_000
	}
	m := &sink{}
	m.down.Store(true)
	u := uploader(t, m, cdn.Options{Fallback: localIn(t, t.TempDir()), Retry: cdn.RetryOptions{MaxAttempts: 1}, Retain: -1})
	err := parallel(16, n, func(i int) error {
		_, err := u.Upload(t.Context(), "x.bin", bytes.NewReader(fmt.Appendf(nil, "pending %d", i)), cdn.UploadOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	m.down.Store(false)
	runtime.GC()
	start := usage(t)
	stop, watched := make(chan struct{}), make(chan struct{})
	most := start
	go func() {
		defer close(watched)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				now := usage(t)
				most = [3]float64{max(most[0], now[0]), max(most[1], now[1]), max(most[2], now[2])}
			}
		}
	}()
	did, err := u.Promote(t.Context())
	close(stop)
	<-watched
	if err != nil || did != n {
		t.Fatalf("Promote = %d, %v; want %d", did, err, n)
	}
	what := fmt.Sprintf("%d pending objects promoted: ", n)
	emit(t, what+"peak RSS", "of that at the start", most[0]/start[0], 1.25, false)
	emit(t, what+"descriptors beyond the start", "", most[1]-start[1], 16, false)
	emit(t, what+"goroutines beyond the start", "", most[2]-start[2], 16, false)
}

// usage is resident bytes, descriptors and goroutines now.
func usage(t *testing.T) [3]float64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Error(err)
		return [3]float64{}
	}
	fields := bytes.Fields(b)
	pages, _ := strconv.ParseFloat(string(fields[1]), 64)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Error(err)
	}
	return [3]float64{pages * float64(os.Getpagesize()), float64(len(fds)), float64(runtime.NumGoroutine())}
}
