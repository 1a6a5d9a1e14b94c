package cdn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

// partStore is a provider in memory that takes parts too, as strict as S3 is.
type partStore struct {
	*cdntest.Memory
	limits   cdn.PartLimits
	noList   bool
	mu       sync.Mutex
	uploads  map[string]*partedUpload // guarded by mu
	begun    int                      // guarded by mu
	sent     []int                    // guarded by mu; numbers of the parts that arrived
	aborted  int                      // guarded by mu
	inFlight atomic.Int32
	most     atomic.Int32
	// fault is called before each operation with its name and part.
	fault func(ctx context.Context, op string, part int) error
}

type partedUpload struct {
	obj   cdn.Object
	parts map[int][]byte
}

func newPartStore() *partStore {
	return &partStore{
		Memory: &cdntest.Memory{}, limits: cdn.PartLimits{MinSize: 5 << 20, MaxParts: 10_000}, uploads: map[string]*partedUpload{},
	}
}

func (s *partStore) fail(op, key string, kind error) error {
	return &cdn.OpError{Provider: "memory", Op: op, Key: key, Kind: kind}
}

func (s *partStore) enter(ctx context.Context, op string, part int) error {
	if s.fault != nil {
		if err := s.fault(ctx, op, part); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *partStore) PartLimits() cdn.PartLimits { return s.limits }

func (s *partStore) Begin(ctx context.Context, obj cdn.Object) (string, error) {
	if err := s.enter(ctx, "begin", 0); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun++
	id := fmt.Sprint("u", s.begun)
	s.uploads[id] = &partedUpload{obj, map[int][]byte{}}
	return id, nil
}

func (s *partStore) PutPart(ctx context.Context, obj cdn.Object, id string, part cdn.Part, body io.ReaderAt) (cdn.PartInfo, error) {
	defer s.inFlight.Add(-1)
	for n := s.inFlight.Add(1); ; {
		if old := s.most.Load(); n <= old || s.most.CompareAndSwap(old, n) {
			break
		}
	}
	b, err := io.ReadAll(io.NewSectionReader(body, 0, part.Size))
	if err = errors.Join(err, s.enter(ctx, "part", part.Number)); err != nil {
		return cdn.PartInfo{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[id]
	crc := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	switch {
	case u == nil:
		return cdn.PartInfo{}, s.fail("part", obj.Key, cdn.ErrNotFound)
	case int64(len(b)) != part.Size || part.CRC32C != 0 && part.CRC32C != crc:
		return cdn.PartInfo{}, s.fail("part", obj.Key, cdn.ErrChecksum)
	}
	s.sent = append(s.sent, part.Number)
	u.parts[part.Number] = b
	return cdn.PartInfo{Number: part.Number, Size: part.Size, ETag: fmt.Sprintf("%x", crc)}, nil
}

func (s *partStore) Parts(ctx context.Context, obj cdn.Object, id string) (all []cdn.PartInfo, err error) {
	if s.noList {
		err := s.fail("parts", obj.Key, cdn.ErrInvalid).(*cdn.OpError)
		err.Err = errors.ErrUnsupported
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[id]
	if u == nil {
		return nil, s.fail("parts", obj.Key, cdn.ErrNotFound)
	}
	for n, b := range u.parts {
		all = append(all, cdn.PartInfo{Number: n, Size: int64(len(b)), ETag: fmt.Sprintf("%x", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))})
	}
	slices.SortFunc(all, func(a, b cdn.PartInfo) int { return a.Number - b.Number })
	return all, nil
}

func (s *partStore) Complete(ctx context.Context, obj cdn.Object, id string, parts []cdn.PartInfo) (cdn.Info, error) {
	if err := s.enter(ctx, "complete", 0); err != nil {
		return cdn.Info{}, err
	}
	s.mu.Lock()
	u := s.uploads[id]
	s.mu.Unlock()
	if u == nil {
		return cdn.Info{}, s.fail("complete", obj.Key, cdn.ErrNotFound)
	}
	var whole []byte
	for i, p := range parts {
		b, ok := u.parts[p.Number]
		small := i < len(parts)-1 && (int64(len(b)) < s.limits.MinSize || len(b) != len(u.parts[1])) // R2 wants them equal
		if !ok || p.Number != i+1 || p.Size != int64(len(b)) || small {
			return cdn.Info{}, s.fail("complete", obj.Key, cdn.ErrInvalid)
		}
		whole = append(whole, b...)
	}
	o := u.obj
	o.Size, o.SHA256, o.CreateOnly = int64(len(whole)), [32]byte{}, obj.CreateOnly
	info, err := s.Put(ctx, o, bytes.NewReader(whole))
	if err == nil {
		s.mu.Lock()
		delete(s.uploads, id)
		s.mu.Unlock()
	}
	return info, err
}

func (s *partStore) Abort(ctx context.Context, obj cdn.Object, id string) error {
	if err := s.enter(ctx, "abort", 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aborted++
	delete(s.uploads, id)
	return nil
}

// open is the number of uploads that cost money.
func (s *partStore) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

func randomBytes(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i+8 <= n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b
}

const partMiB = 5 << 20

// TestStreamInParts sends streams of lengths around those of parts, with and without a
// fallback, and with more memory and less.
func TestStreamInParts(t *testing.T) {
	for _, n := range []int{1, partMiB - 1, partMiB, partMiB + 1, 2 * partMiB, 3*partMiB + 7} {
		body := randomBytes(n, uint64(n))
		for _, c := range []struct {
			name   string
			memory int64
			local  bool
		}{{"memory", 64 << 20, false}, {"little memory", 6 << 20, false}, {"no memory", 32 << 10, false}, {"fallback", 8 << 20, true}} {
			s := newPartStore()
			o := cdn.Options{MaxMemory: c.memory, PartSize: partMiB, TempDir: t.TempDir()}
			if c.local {
				o.Fallback = newLocal(t, cdn.LocalOptions{})
			}
			u := newUploader(t, s, o)
			var steps []int64
			res, err := u.Upload(t.Context(), "x.bin", onlyReader{bytes.NewReader(body)}, cdn.UploadOptions{
				Key: "big.bin", Metadata: map[string]string{"a": "b"},
				Progress: func(sent, total int64) { steps = append(steps, sent) },
			})
			if err != nil || res.Size != int64(n) || res.Fallback != nil || res.Provider != "memory" || res.URL == "" {
				t.Fatalf("%s, %d bytes: Upload = %+v, %v", c.name, n, res, err)
			}
			if got, _ := s.Bytes("big.bin"); !bytes.Equal(got, body) {
				t.Errorf("%s, %d bytes: the provider has other content", c.name, n)
			}
			if s.open() != 0 || s.most.Load() > 4 {
				t.Errorf("%s, %d bytes: %d uploads left open, %d parts at once", c.name, n, s.open(), s.most.Load())
			}
			if wantParts := (n + partMiB - 1) / partMiB; n > partMiB && len(s.sent) != wantParts {
				t.Errorf("%s, %d bytes: %d parts sent; want %d", c.name, n, len(s.sent), wantParts)
			}
			if !slices.IsSorted(steps) || steps[len(steps)-1] != int64(n) {
				t.Errorf("%s, %d bytes: progress %v", c.name, n, steps)
			}
			if st := u.Stats(); st.MemoryBytes != 0 || st.BytesIn != uint64(n) {
				t.Errorf("%s, %d bytes: Stats = %+v", c.name, n, st)
			}
			if left := files(t, o.TempDir, "*"); len(left) != 0 {
				t.Errorf("%s, %d bytes: files left: %v", c.name, n, left)
			}
		}
	}
}

// TestStreamRefused: what a stream must not be is an error, and nothing is left behind.
func TestStreamRefused(t *testing.T) {
	body := randomBytes(2*partMiB+100, 3)
	broken := errors.New("the client went away")
	sum := sha256.Sum256(body)
	for _, c := range []struct {
		name string
		r    io.Reader
		o    cdn.UploadOptions
		want error
	}{
		{"too large", bytes.NewReader(body), cdn.UploadOptions{MaxBytes: 2 * partMiB}, cdn.ErrTooLarge},
		{"longer than announced", bytes.NewReader(body), cdn.UploadOptions{Size: 2 * partMiB}, cdn.ErrTooLarge},
		{"shorter than announced", bytes.NewReader(body), cdn.UploadOptions{Size: 3 * partMiB}, cdn.ErrTruncated},
		{"cut off", io.MultiReader(bytes.NewReader(body), &brokenReader{io.ErrUnexpectedEOF}), cdn.UploadOptions{}, cdn.ErrTruncated},
		{"broken", io.MultiReader(bytes.NewReader(body), &brokenReader{broken}), cdn.UploadOptions{}, broken},
		{"other content", bytes.NewReader(body), cdn.UploadOptions{SHA256: sha256.Sum256(nil)}, cdn.ErrChecksum},
		{"expected content", bytes.NewReader(body), cdn.UploadOptions{SHA256: sum, Size: int64(len(body))}, nil},
	} {
		for _, fallback := range []bool{false, true} {
			s := newPartStore()
			o := cdn.Options{PartSize: partMiB}
			if fallback {
				o.Fallback = newLocal(t, cdn.LocalOptions{})
			}
			u := newUploader(t, s, o)
			c.o.Key = "k"
			if seeker, ok := c.r.(io.Seeker); ok {
				seeker.Seek(0, io.SeekStart)
			} else if fallback {
				continue // it was read
			}
			res, err := u.Upload(t.Context(), "x.bin", onlyReader{c.r}, c.o)
			if !errors.Is(err, c.want) || err == nil && res.SHA256 != sum {
				t.Errorf("%s, fallback %v: Upload = %+v, %v; want %v", c.name, fallback, res, err, c.want)
			}
			if err := u.Close(); err != nil { // waits for the abort
				t.Error(err)
			}
			if s.open() != 0 || s.Len() != 0 && c.want != nil {
				t.Errorf("%s: %d uploads open, %d objects", c.name, s.open(), s.Len())
			}
		}
	}
}

type brokenReader struct{ err error }

func (r *brokenReader) Read([]byte) (int, error) { return 0, r.err }

// TestStreamFallsBack breaks the provider at each step. The stream goes on to disk, is
// readable, and is promoted.
func TestStreamFallsBack(t *testing.T) {
	body := randomBytes(4*partMiB+100, 4)
	for _, step := range []struct {
		op   string
		part int
	}{{"begin", 0}, {"part", 1}, {"part", 3}, {"part", 5}, {"complete", 0}} {
		s := newPartStore()
		var down atomic.Bool
		down.Store(true)
		s.fault = func(ctx context.Context, op string, part int) error {
			if down.Load() && op == step.op && part == step.part {
				return cdn.ErrUnavailable
			}
			return nil
		}
		local := newLocal(t, cdn.LocalOptions{})
		u := newUploader(t, s, cdn.Options{Fallback: local, PartSize: partMiB, MaxMemory: 1 << 20})
		res, err := u.Upload(t.Context(), "x.bin", onlyReader{bytes.NewReader(body)}, cdn.UploadOptions{Key: "k"})
		if err != nil || !errors.Is(res.Fallback, cdn.ErrUnavailable) || res.SHA256 != sha256.Sum256(body) || res.Size != int64(len(body)) {
			t.Fatalf("%v: Upload = %+v, %v; want a fallback", step, res, err)
		}
		wantContent(t, u, "k", body)
		down.Store(false)
		if n, err := u.Promote(t.Context()); n != 1 || err != nil {
			t.Fatalf("%v: Promote = %d, %v", step, n, err)
		}
		if got, _ := s.Bytes("k"); !bytes.Equal(got, body) {
			t.Errorf("%v: the provider has other content", step)
		}
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		if s.open() != 0 {
			t.Errorf("%v: %d uploads left open", step, s.open())
		}
	}
}

// TestPartsResume ends an upload in the middle, as if the process was killed, and
// promotes the object with a new Uploader: only what was under way is sent again.
func TestPartsResume(t *testing.T) {
	const parts, workers = 9, 2
	body := randomBytes((parts-1)*partMiB+100, 5)
	for _, noList := range []bool{false, true} {
		s := newPartStore()
		s.noList = noList
		var mode atomic.Value // "down", "dies", "up"
		mode.Store("down")
		dead := make(chan struct{})
		s.fault = func(ctx context.Context, op string, part int) error {
			switch {
			case mode.Load() == "down":
				return cdn.ErrUnavailable
			case mode.Load() == "dies" && op == "part" && part >= 6:
				if part == 6 {
					close(dead)
				}
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		dir := t.TempDir()
		run := func(f func(u *cdn.Uploader)) {
			local, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			u := newUploader(t, s, cdn.Options{Fallback: local, PartSize: partMiB, PartWorkers: workers, MaxWait: -1})
			f(u)
			if err := errors.Join(u.Close(), local.Close()); err != nil {
				t.Fatal(err)
			}
		}
		run(func(u *cdn.Uploader) {
			if res := upload(t, u, "x.bin", body, cdn.UploadOptions{Key: "k"}); res.Fallback == nil {
				t.Fatal("no fallback")
			}
			mode.Store("dies")
			go u.Promote(t.Context())
			<-dead
		})
		if len(s.sent) < 4 || s.begun != 1 {
			t.Fatalf("before: parts %v sent of %d uploads", s.sent, s.begun)
		}
		mode.Store("up")
		run(func(u *cdn.Uploader) {
			if n, err := u.Promote(t.Context()); n != 1 || err != nil {
				t.Errorf("Promote = %d, %v", n, err)
			}
		})
		if again := len(s.sent) - parts; again > workers+1 || s.begun != 1 {
			t.Errorf("list %v: %d parts sent again, %d uploads begun; want at most %d, 1", !noList, again, s.begun, workers+1)
		}
		if got, _ := s.Bytes("k"); !bytes.Equal(got, body) || s.open() != 0 {
			t.Errorf("the provider has %d bytes, %d uploads open", len(got), s.open())
		}
		if left := files(t, dir, "parts/*"); len(left) != 0 {
			t.Errorf("logs left: %v", left)
		}
	}
}

// TestPartsForgotten: the provider has dropped the upload that the log tells of. All is
// sent anew.
func TestPartsForgotten(t *testing.T) {
	for _, noList := range []bool{false, true} {
		body := randomBytes(3*partMiB, 6)
		s := newPartStore()
		s.noList = noList
		var broken atomic.Bool
		broken.Store(true)
		s.fault = func(ctx context.Context, op string, part int) error {
			if broken.Load() && op == "complete" {
				return cdn.ErrUnavailable
			}
			return nil
		}
		u := newUploader(t, s, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{}), PartSize: partMiB})
		if res := upload(t, u, "x.bin", body, cdn.UploadOptions{Key: "k"}); res.Fallback == nil {
			t.Fatal("no fallback")
		}
		broken.Store(false)
		s.mu.Lock()
		clear(s.uploads)
		s.mu.Unlock()
		if n, err := u.Promote(t.Context()); n != 1 || err != nil {
			t.Fatalf("list %v: Promote = %d, %v", !noList, n, err)
		}
		if got, _ := s.Bytes("k"); !bytes.Equal(got, body) {
			t.Error("the provider has other content")
		}
	}
}

// TestStreamAbandoned: a process that is killed in the middle of a stream leaves an
// upload that nobody can go on with. The next pass of its successor aborts it.
func TestStreamAbandoned(t *testing.T) {
	s := newPartStore()
	blocked := make(chan struct{})
	s.fault = func(ctx context.Context, op string, part int) error {
		if op == "abort" && ctx.Err() == nil {
			select {
			case <-blocked:
			default:
				return cdn.ErrUnavailable // as if it had been killed before
			}
		}
		return nil
	}
	dir := t.TempDir()
	for i := range 2 {
		local, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		u := newUploader(t, s, cdn.Options{Fallback: local, PartSize: partMiB})
		if i == 0 {
			r := io.MultiReader(bytes.NewReader(randomBytes(2*partMiB, 7)), &brokenReader{os.ErrDeadlineExceeded})
			if _, err := u.Upload(t.Context(), "x.bin", r, cdn.UploadOptions{Key: "k"}); err == nil {
				t.Fatal("a broken stream was stored")
			}
		} else {
			close(blocked)
			if _, err := u.Promote(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := errors.Join(u.Close(), local.Close()); err != nil {
			t.Fatal(err)
		}
		if open := s.open(); open != 1-i {
			t.Errorf("run %d: %d uploads open; want %d", i, open, 1-i)
		}
	}
	if left := files(t, dir, "parts/*"); len(left) != 0 {
		t.Errorf("logs left: %v", left)
	}
}

// TestStreamBlackHole: a provider that swallows parts costs MaxWait, though the stream
// itself comes slowly.
func TestStreamBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPartStore()
		s.fault = func(ctx context.Context, op string, part int) error {
			if op == "part" && part == 2 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		u, err := cdn.New(s, cdn.Options{PartSize: partMiB, MaxWait: 3 * time.Second, TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		slow := &pausing{r: bytes.NewReader(randomBytes(3*partMiB, 8)), every: partMiB, pause: time.Minute}
		_, err = u.Upload(t.Context(), "x.bin", slow, cdn.UploadOptions{Key: "k"})
		if took := time.Since(start); !errors.Is(err, cdn.ErrUnavailable) || took > 4*time.Minute {
			t.Errorf("Upload = %v after %v", err, took)
		}
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
}

// pausing pauses before each piece.
type pausing struct {
	r     io.Reader
	every int
	pause time.Duration
	n     int
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.n%p.every == 0 {
		time.Sleep(p.pause)
	}
	n, err := p.r.Read(b[:min(len(b), p.every-p.n%p.every)])
	p.n += n
	return n, err
}

// TestStreamsShareMemory: many streams at once stay within MaxMemory and all get through.
func TestStreamsShareMemory(t *testing.T) {
	s := newPartStore()
	u := newUploader(t, s, cdn.Options{PartSize: partMiB, MaxMemory: 12 << 20, TempDir: t.TempDir()})
	body := randomBytes(2*partMiB+100, 9)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var most int64
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				most = max(most, u.Stats().MemoryBytes)
			}
		}
	}()
	for i := range 6 {
		wg.Go(func() {
			_, err := u.Upload(t.Context(), "x.bin", onlyReader{bytes.NewReader(body)}, cdn.UploadOptions{Key: fmt.Sprint("k", i)})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	stop <- struct{}{}
	if most > 12<<20 || u.Stats().MemoryBytes != 0 {
		t.Errorf("buffers held %d bytes, and %d in the end", most, u.Stats().MemoryBytes)
	}
	for i := range 6 {
		if got, _ := s.Bytes(fmt.Sprint("k", i)); !bytes.Equal(got, body) {
			t.Errorf("k%d has other content", i)
		}
	}
}
