package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/examples/versus/internal/curve"
)

// The sides of the curve of pending uploads.
const (
	oursCDN   = "perfblocks cdn"
	outboxCDN = "files and an SQLite outbox"
	filesCDN  = "floor: files in a directory, no journal"
)

// cdnCurve measures what more and more pending uploads cost.
func cdnCurve(r *bench.Report, c *curves) (*curve.Figure, error) {
	f := &curve.Figure{
		Title: "A CDN that was down against the uploads that wait for it", Size: "pending uploads of 1 kB", Names: []string{oursCDN, outboxCDN, filesCDN}, Ours: 1,
		Panels: []curve.Panel{
			{Title: "Time to open the store and list what is pending", Unit: curve.Nanoseconds},
			{Title: "A pass while the CDN is still down", Unit: curve.Nanoseconds},
			{Title: "The pass when it is back, for an upload", Unit: curve.Nanoseconds},
			{Title: "Peak RSS of the process, over all three", Unit: curve.Bytes},
		},
	}
	dir, where, err := tempDir()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	f.Notes = []string{"Wall time, 4 workers, on " + where + ". No peer keeps pending uploads, so they are what one would write: a table of SQLite (modernc, WAL, synchronous=FULL, " +
		"a commit for each upload that has been sent) beside the files, and plain files with nothing but their names. " +
		"All read each file, compare its SHA-256 (not the floor, which has none to compare with), send it and forget it; ours also keeps type, metadata and an address to redirect to."}
	for _, n := range c.sizes(r, []int{10, 100, 1_000, 10_000}, 100_000) {
		var specs []sideSpec
		for i, name := range f.Names {
			at := filepath.Join(dir, fmt.Sprint(n, "-", i))
			if err := os.Mkdir(at, 0o700); err != nil {
				return nil, err
			}
			specs = append(specs, sideSpec{Curve: "cdn", Side: name, N: n, Dir: at})
		}
		rounds := 7
		if n > 10_000 {
			rounds = 3
		}
		sides, err := takeTurns(specs, c.orRounds(rounds), equal)
		if err != nil {
			return nil, err
		}
		addPoints(f, sides)
		for _, s := range specs {
			if err := os.RemoveAll(s.Dir); err != nil {
				return nil, err
			}
		}
	}
	if !r.Full && !c.small {
		f.Notes = append(f.Notes, "100 k are measured with -full.")
	}
	if !c.small {
		from := 1000
		growth(r, &f.Panels[0], f.Names, from, 1.5*largest(f)/float64(from))
		growth(r, &f.Panels[2], f.Names, from, 1.5)
	}
	return f, nil
}

// largest is the largest size of a figure.
func largest(f *curve.Figure) float64 {
	p := f.Panels[0].Lines[0].Points
	return p[len(p)-1].X
}

// pendingStore is a store of pending uploads in a directory.
type pendingStore interface {
	// open opens it and returns each pending key with its size.
	open(dir string) (map[string]int64, error)
	// pass sends what is pending until three Puts in a row have failed, and returns how
	// many were sent.
	pass(ctx context.Context, to *curveSink) (int, error)
	close() error
	// fill makes n pending uploads in an empty directory and closes it.
	fill(dir string, n int) error
}

func pendingStoreOf(side string) (pendingStore, error) {
	switch side {
	case oursCDN:
		return &ourStore{}, nil
	case outboxCDN:
		return &outbox{}, nil
	case filesCDN:
		return &plainFiles{}, nil
	}
	return nil, fmt.Errorf("there is no store %q", side)
}

func pendingKey(i int) string { return fmt.Sprintf("upload-%06d.bin", i) }

// pendingBody is the content of the upload of that number.
func pendingBody(i int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%08d", i), 128)
}

// curveSink is a provider that is down, or reads what it is given and keeps but the
// exclusive or of the hashes of all that it got.
type curveSink struct {
	cdn.Provider
	down atomic.Bool
	keep bool

	mu  sync.Mutex
	sum [32]byte // guarded by mu
}

func (s *curveSink) Put(_ context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	if s.down.Load() {
		return cdn.Info{}, cdn.ErrUnavailable
	}
	h := sha256.New()
	to := io.Discard
	if s.keep {
		to = h
		io.WriteString(h, obj.Key)
	}
	if _, err := io.Copy(to, io.NewSectionReader(body, 0, obj.Size)); err != nil {
		return cdn.Info{}, err
	}
	if s.keep {
		s.mu.Lock()
		for i, b := range h.Sum(nil) {
			s.sum[i] ^= b
		}
		s.mu.Unlock()
	}
	return cdn.Info{Ref: cdn.Ref{Key: obj.Key}, Size: obj.Size, Verified: true}, nil
}

func (s *curveSink) URL(ref cdn.Ref) (string, error) { return "https://sink.example/" + ref.Key, nil }

// ProviderName is "sink".
func (s *curveSink) ProviderName() string { return "sink" }

// ourStore is a Local behind an Uploader.
type ourStore struct {
	dir   string
	local *cdn.Local
	up    *cdn.Uploader
}

func (s *ourStore) start(dir string, to *curveSink) (err error) {
	if s.local == nil {
		if s.local, err = cdn.NewLocal(cdn.LocalOptions{Dir: dir}); err != nil {
			return err
		}
	}
	s.up, err = cdn.New(to, cdn.Options{Fallback: s.local, Retry: cdn.RetryOptions{MaxAttempts: 1}, Retain: -1})
	return err
}

func (s *ourStore) open(dir string) (map[string]int64, error) {
	s.dir = dir
	if err := s.start(dir, &curveSink{}); err != nil {
		return nil, err
	}
	found := map[string]int64{}
	for p := range s.up.Pending() {
		found[p.Key] = p.Size
	}
	return found, s.up.Close()
}

func (s *ourStore) pass(ctx context.Context, to *curveSink) (int, error) {
	if err := s.start(s.dir, to); err != nil {
		return 0, err
	}
	n, err := s.up.Promote(ctx)
	if errors.Is(err, cdn.ErrUnavailable) {
		err = nil
	}
	return n, errors.Join(err, s.up.Close())
}

func (s *ourStore) close() error {
	err := s.local.Close()
	s.local = nil
	return err
}

// fill makes n pending uploads.
func (s *ourStore) fill(dir string, n int) error {
	to := &curveSink{}
	to.down.Store(true)
	if err := s.start(dir, to); err != nil {
		return err
	}
	err := inParallel(8, n, func(i int) error {
		_, err := s.up.Upload(context.Background(), "x.bin", bytes.NewReader(pendingBody(i)), cdn.UploadOptions{Key: pendingKey(i)})
		return err
	})
	return errors.Join(err, s.up.Close(), s.close())
}

// inParallel calls f for 0 to n-1 on so many goroutines; it returns the first error.
func inParallel(workers, n int, f func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// cdnSide fills a store once; each round works on a copy of it.
func cdnSide(s sideSpec) (*working, error) {
	full, work := filepath.Join(s.Dir, "full"), filepath.Join(s.Dir, "work")
	store, err := pendingStoreOf(s.Side)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(full, 0o700); err != nil {
		return nil, err
	}
	if err := store.fill(full, s.N); err != nil {
		return nil, err
	}
	w := &working{close: func() error { return nil }}
	check := &curveSink{keep: true}
	if _, err := cdnRound(store, full, work, s.N, check); err != nil {
		return nil, err
	}
	w.result = fmt.Sprintf("%d uploads, %x", s.N, check.sum)
	w.round = func() (figures, error) { return cdnRound(store, full, work, s.N, &curveSink{}) }
	return w, nil
}

// cdnRound opens a copy of a store, makes a pass in vain and one that sends all.
func cdnRound(store pendingStore, full, work string, n int, to *curveSink) (figures, error) {
	if err := cloneTree(full, work); err != nil {
		return nil, err
	}
	runtime.GC()
	debug.FreeOSMemory()
	if err := resetPeak(); err != nil {
		return nil, err
	}
	f := figures{}
	start := time.Now()
	found, err := store.open(work)
	f["0"] = float64(time.Since(start))
	if err != nil {
		return nil, err
	}
	for i := range n {
		if found[pendingKey(i)] != int64(len(pendingBody(0))) {
			return nil, fmt.Errorf("upload %d is not listed", i)
		}
	}
	found = nil
	to.down.Store(true)
	start = time.Now()
	sent, err := store.pass(context.Background(), to)
	f["1"] = float64(time.Since(start))
	if err != nil || sent != 0 {
		return nil, fmt.Errorf("the pass in vain sent %d: %w", sent, err)
	}
	to.down.Store(false)
	start = time.Now()
	sent, err = store.pass(context.Background(), to)
	f["2"] = float64(time.Since(start)) / float64(n)
	if err != nil || sent != n {
		return nil, fmt.Errorf("the pass sent %d of %d: %w", sent, n, err)
	}
	if p := peakBytes(); p > 0 {
		f["3"] = float64(p)
	}
	return f, errors.Join(store.close(), os.RemoveAll(work))
}

// cloneTree copies a tree: contents, which nobody changes, by hard links, and the
// journals and databases for real.
func cloneTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.Mkdir(at, 0o700)
		case filepath.Dir(rel) != ".":
			return os.Link(path, at)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(at, b, 0o600)
	})
}
