package cdn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

// readFunc is a reader that does what it likes.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// readAtFunc is the same for what can be read in place.
type readAtFunc struct {
	*bytes.Reader
	f func([]byte, int64) (int, error)
}

func (r readAtFunc) Read(p []byte) (int, error)              { return 0, errors.New("not to be called") }
func (r readAtFunc) ReadAt(p []byte, off int64) (int, error) { return r.f(p, off) }
func (r readAtFunc) WriteTo(io.Writer) (int64, error)        { return 0, errors.New("not to be called") }

// TestUploadHostileReaders gives readers that break their contract. Each is an error,
// and nothing of the budget or the disk is kept.
func TestUploadHostileReaders(t *testing.T) {
	mem := func() *bytes.Reader { return bytes.NewReader(make([]byte, 100)) }
	for _, c := range []struct {
		name string
		r    io.Reader
	}{
		{"no progress", readFunc(func([]byte) (int, error) { return 0, nil })},
		{"too much", readFunc(func(p []byte) (int, error) { return len(p) + 1, nil })},
		{"negative", readFunc(func([]byte) (int, error) { return -1, nil })},
		{"in place, no progress", readAtFunc{mem(), func([]byte, int64) (int, error) { return 0, nil }}},
		{"in place, too much", readAtFunc{mem(), func(p []byte, _ int64) (int, error) { return len(p) + 1, nil }}},
		{"in place, negative", readAtFunc{mem(), func([]byte, int64) (int, error) { return -1, nil }}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUploader(t, &cdntest.Memory{}, cdn.Options{})
			if res, err := u.Upload(t.Context(), "x.bin", c.r, cdn.UploadOptions{}); err == nil {
				t.Errorf("Upload = %+v; want an error", res)
			}
			if s := u.Stats(); s.MemoryBytes != 0 || s.Active != 0 || s.Failed != 1 {
				t.Errorf("Stats = %+v", s)
			}
		})
	}
}

// TestUploadReaderPanics lets the caller's reader panic after it was spooled. The
// panic is the caller's, and leaves neither memory nor files behind.
func TestUploadReaderPanics(t *testing.T) {
	dir := t.TempDir()
	u := newUploader(t, &cdntest.Memory{}, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{Dir: dir})})
	for _, size := range []int{10, 6 << 20} {
		left := size
		func() {
			defer func() {
				if p := recover(); p != "boom" {
					t.Errorf("recovered %v; want the reader's panic", p)
				}
			}()
			_, _ = u.Upload(t.Context(), "x.bin", readFunc(func(p []byte) (int, error) {
				if left <= 0 {
					panic("boom")
				}
				n := min(len(p), left)
				left -= n
				return n, nil
			}), cdn.UploadOptions{})
		}()
	}
	if s := u.Stats(); s.MemoryBytes != 0 || s.Active != 0 {
		t.Errorf("Stats = %+v; want nothing held", s)
	}
	if left := files(t, dir, "tmp/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// sending is a provider over HTTP, whose transport reads the body on a goroutine of
// its own.
type sending struct {
	cdntest.Memory
	url string
}

func (p *sending) Put(ctx context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	req, err := http.NewRequestWithContext(ctx, "PUT", p.url, io.NewSectionReader(body, 0, obj.Size))
	if err != nil {
		return cdn.Info{}, err
	}
	req.ContentLength = obj.Size
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return cdn.Info{}, &cdn.OpError{Kind: cdn.ErrUnavailable, Err: err}
	}
	return cdn.Info{Verified: true}, resp.Body.Close()
}

// TestUploadBodyPanicsWhileSent would end the process: net/http reads the body on its
// own goroutine, where nobody can recover.
func TestUploadBodyPanicsWhileSent(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer ts.Close()
	const size = 1 << 20
	var reads int
	body := readAtFunc{bytes.NewReader(make([]byte, size)), func(p []byte, off int64) (int, error) {
		if reads++; reads > size/(32<<10)+4 {
			panic("boom")
		}
		n := min(len(p), int(size-off))
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}}
	u := newUploader(t, &sending{url: ts.URL}, cdn.Options{Retry: cdn.RetryOptions{MaxAttempts: 1}})
	if res, err := u.Upload(t.Context(), "x.bin", body, cdn.UploadOptions{}); err == nil {
		t.Errorf("Upload = %+v; want an error", res)
	}
}

// TestUploadEmptyBody stores nothing at all, by each way in.
func TestUploadEmptyBody(t *testing.T) {
	m := &cdntest.Memory{}
	var down outage
	m.Fault = down.fault
	u := newUploader(t, m, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{})})
	for i, r := range []io.Reader{strings.NewReader(""), readFunc(func([]byte) (int, error) { return 0, io.EOF })} {
		for _, off := range []bool{false, true} {
			down.on.Store(off)
			key := []string{"a", "b"}[i] + map[bool]string{true: "1", false: "0"}[off]
			res, err := u.Upload(t.Context(), "x.bin", r, cdn.UploadOptions{Key: key})
			if err != nil || res.Size != 0 || (res.Fallback != nil) != off {
				t.Errorf("Upload(%s) = %+v, %v", key, res, err)
			}
			wantContent(t, u, key, nil)
		}
	}
}

// TestCreateOnlyKeepsPending writes create-only to a key whose object only local disk
// has. The provider cannot know of it; the pending object must not be lost.
func TestCreateOnlyKeepsPending(t *testing.T) {
	var down outage
	u := newUploader(t, &cdntest.Memory{Fault: down.fault}, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{})})
	down.on.Store(true)
	upload(t, u, "x.txt", []byte("first"), cdn.UploadOptions{Key: "k"})
	down.on.Store(false)
	_, err := u.Upload(t.Context(), "x.txt", strings.NewReader("second"), cdn.UploadOptions{Key: "k", CreateOnly: true})
	if !errors.Is(err, cdn.ErrExists) {
		t.Errorf("create-only Upload over a pending object: %v; want ErrExists", err)
	}
	wantContent(t, u, "k", []byte("first"))
	if _, err := u.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantContent(t, u, "k", []byte("first"))
}

// halving stores half of what it is given as long as it lies.
type halving struct {
	*cdntest.Memory
	lies int
}

func (p *halving) Put(ctx context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	if p.lies > 0 {
		p.lies--
		obj.Size, obj.SHA256, obj.HasCRC32C = obj.Size/2, [32]byte{}, false
	}
	return p.Memory.Put(ctx, obj, body)
}

// TestDerivedKeyHeals has a provider that cuts off the first objects. Nothing but this
// very content belongs under a derived key, so that what is there is replaced.
func TestDerivedKeyHeals(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 50)
	t.Run("upload", func(t *testing.T) {
		p := &halving{&cdntest.Memory{Unverified: true}, 1}
		u := newUploader(t, p, cdn.Options{})
		res := upload(t, u, "x.txt", content, cdn.UploadOptions{})
		wantContent(t, u, res.Key, content)
	})
	t.Run("promotion", func(t *testing.T) {
		p := &halving{&cdntest.Memory{Unverified: true}, 3}
		u := newUploader(t, p, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{}), Retain: -1})
		res := upload(t, u, "x.txt", content, cdn.UploadOptions{})
		for range 3 {
			_, _ = u.Promote(t.Context())
		}
		if s := u.Stats(); s.Pending+s.Dead != 0 {
			t.Errorf("Stats = %+v; want it promoted", s)
		}
		wantContent(t, u, res.Key, content)
	})
}

// TestDeadIsTriedAgain uploads what promotion has given up once more.
func TestDeadIsTriedAgain(t *testing.T) {
	fault := cdn.ErrUnavailable
	m := &cdntest.Memory{Fault: func(context.Context, string, string) error { return fault }}
	u := newUploader(t, m, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{})})
	upload(t, u, "x.txt", []byte("content"), cdn.UploadOptions{Key: "k"})
	fault = cdn.ErrInvalid
	_, _ = u.Promote(t.Context())
	if s := u.Stats(); s.Dead != 1 {
		t.Fatalf("Stats = %+v; want a dead object", s)
	}
	fault = nil
	res := upload(t, u, "x.txt", []byte("content"), cdn.UploadOptions{Key: "k"})
	if s := u.Stats(); res.Provider != "memory" || s.Dead != 0 {
		t.Errorf("second Upload = %+v, Stats %+v; want it at the provider", res, s)
	}
}

// TestInfoIsTheReceivers changes the metadata that Head gave out.
func TestInfoIsTheReceivers(t *testing.T) {
	l := newLocal(t, cdn.LocalOptions{})
	put(t, l, cdn.Object{Key: "k", Metadata: map[string]string{"a": "1"}}, "x")
	for range 2 {
		info, err := l.Head(t.Context(), cdn.Ref{Key: "k"})
		if err != nil || info.Metadata["a"] != "1" {
			t.Errorf("Head = %+v, %v; want a=1", info, err)
		}
		info.Metadata["a"] = "2"
	}
}

// stalling opens objects whose readers give some bytes and then nothing any more.
type stalling struct{ *cdntest.Memory }

func (p stalling) Open(ctx context.Context, ref cdn.Ref, offset, length int64) (io.ReadCloser, cdn.Info, error) {
	first := true
	return io.NopCloser(readFunc(func(b []byte) (int, error) {
		if first {
			first = false
			return copy(b, "some"), nil
		}
		<-ctx.Done()
		return 0, ctx.Err()
	})), cdn.Info{Size: 100}, nil
}

// TestOpenStalls reads from a provider that hangs after the header. The read ends
// after MaxWait, but not because the reader itself takes its time.
func TestOpenStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUploader(t, stalling{&cdntest.Memory{}}, cdn.Options{MaxWait: 5 * time.Second})
		r, _, err := u.Open(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		time.Sleep(time.Minute)
		b := make([]byte, 10)
		if n, err := r.Read(b); n != 4 || err != nil {
			t.Fatalf("first Read = %d, %v", n, err)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		context.AfterFunc(ctx, func() { r.Close() })
		if _, err := r.Read(b); !errors.Is(err, cdn.ErrUnavailable) || time.Since(start) > 6*time.Second {
			t.Errorf("Read of a stalled body: %v after %v; want ErrUnavailable after 5s", err, time.Since(start))
		}
	})
}

// TestLocalOverLocal uses one Local as the provider of another's Uploader. Addresses
// must be those of who holds the object.
func TestLocalOverLocal(t *testing.T) {
	main := newLocal(t, cdn.LocalOptions{URL: "/main/"})
	u := newUploader(t, main, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{URL: "/spare/"})})
	for range 2 {
		if res := upload(t, u, "x.txt", []byte("content"), cdn.UploadOptions{}); !strings.HasPrefix(res.URL, "/main/") {
			t.Errorf("URL = %q, deduped %v; want it below /main/", res.URL, res.Deduped)
		}
	}
}

// TestURLOfStored asks for the address of what was put into the directory before it
// became a fallback.
func TestURLOfStored(t *testing.T) {
	l := newLocal(t, cdn.LocalOptions{URL: "/files/"})
	put(t, l, cdn.Object{Key: "k"}, "x")
	u := newUploader(t, &cdntest.Memory{}, cdn.Options{Fallback: l})
	wantContent(t, u, "k", []byte("x"))
	if got, err := u.URL("k", cdn.Transform{}); got != "/files/k" || err != nil {
		t.Errorf("URL = %q, %v; want /files/k", got, err)
	}
}

// TestExtremeOptions runs with the greatest values that are allowed.
func TestExtremeOptions(t *testing.T) {
	const long = time.Duration(math.MaxInt64)
	for _, r := range []cdn.RetryOptions{{2, long, long}, {40, 1, 2}, {2, 1, 1}, {math.MaxInt, 1, long}} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32
			m := &cdntest.Memory{Fault: func(context.Context, string, string) error {
				if calls.Add(1) == 1 {
					return cdn.ErrUnavailable
				}
				return nil
			}}
			u := newUploader(t, m, cdn.Options{
				MaxWait: long / 8, MaxBytes: math.MaxInt64, MaxMemory: math.MaxInt64, Retry: r, Retain: long, Concurrency: math.MaxInt,
			})
			_, err := u.Upload(t.Context(), "x.bin", bytes.NewReader(make([]byte, 3<<20)), cdn.UploadOptions{MaxBytes: math.MaxInt64})
			if err != nil && (r.MaxDelay != long || !errors.Is(err, cdn.ErrUnavailable)) { // the wait may be too long
				t.Errorf("Upload with %+v: %v", r, err)
			}
			n := 0
			items := slices.Values([]cdn.Item{{Name: "a.bin", Body: strings.NewReader("a")}, {Name: "b.bin", Body: strings.NewReader("b")}})
			for _, err := range u.UploadBatch(t.Context(), items, cdn.BatchOptions{Concurrency: math.MaxInt}) {
				if n++; err != nil {
					t.Error(err)
				}
			}
			if n != 2 {
				t.Errorf("UploadBatch yielded %d results; want 2", n)
			}
		})
	}
	l := newLocal(t, cdn.LocalOptions{MaxBytes: 100})
	if _, err := l.Put(t.Context(), cdn.Object{Key: "k", Size: math.MaxInt64}, strings.NewReader("x")); !errors.Is(err, cdn.ErrLocalFull) {
		t.Errorf("Put of MaxInt64 bytes: %v; want ErrLocalFull", err)
	}
}

// TestSpoolFallsBack takes away the directory in which bodies are spooled. A provider
// that is well gets them all the same.
func TestSpoolFallsBack(t *testing.T) {
	dir := t.TempDir()
	m := &cdntest.Memory{}
	u := newUploader(t, m, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{Dir: dir}), TempDir: t.TempDir()})
	if err := os.Remove(filepath.Join(dir, "tmp")); err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 400_000)
	res, err := u.Upload(t.Context(), "x.bin", io.MultiReader(bytes.NewReader(body)), cdn.UploadOptions{Key: "k"})
	if err != nil || res.Fallback != nil {
		t.Fatalf("Upload = %+v, %v; want it stored", res, err)
	}
	wantContent(t, u, "k", body)
}

// TestUploadBatchKeepsResults ends the context while uploads are under way that the
// provider then takes. Every acknowledgement must reach the loop.
func TestUploadBatchKeepsResults(t *testing.T) {
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		var stored atomic.Int32
		u := newUploader(t, &cdntest.Memory{}, cdn.Options{Hooks: cdn.Hooks{Attempt: func(e cdn.AttemptEvent) {
			if e.Err == nil && stored.Add(1) == 4 {
				cancel()
			}
		}}})
		got := int32(0)
		for _, err := range u.UploadBatch(ctx, func(yield func(cdn.Item) bool) {
			for i := range 100 {
				if !yield(cdn.Item{Name: "x.txt", Body: strings.NewReader(fmt.Sprint(i))}) {
					return
				}
			}
		}, cdn.BatchOptions{}) {
			if err == nil {
				got++
			}
		}
		cancel()
		if got != stored.Load() {
			t.Fatalf("the loop was told of %d uploads of %d", got, stored.Load())
		}
	}
}

// TestUploadBatchPanics lets the caller's code panic on goroutines of the batch. The
// panic must arrive where the caller can recover.
func TestUploadBatchPanics(t *testing.T) {
	body := func() io.Reader { return readFunc(func([]byte) (int, error) { panic("boom") }) }
	for name, items := range map[string]iter.Seq[cdn.Item]{
		"body":     slices.Values([]cdn.Item{{Name: "a", Body: body()}, {Name: "b", Body: body()}}),
		"sequence": func(func(cdn.Item) bool) { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			u := newUploader(t, &cdntest.Memory{}, cdn.Options{})
			defer func() {
				if p := recover(); p != "boom" {
					t.Errorf("recovered %v; want the panic", p)
				}
				if s := u.Stats(); s.Active != 0 || s.MemoryBytes != 0 {
					t.Errorf("Stats = %+v", s)
				}
			}()
			for range u.UploadBatch(t.Context(), items, cdn.BatchOptions{}) {
			}
		})
	}
}

// TestUploadHangsAfterBody has a provider that takes a body at once and answers never.
// What it took must not buy it more than MaxWait from then on.
func TestUploadHangsAfterBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &hanging{pause: time.Second}
		u := newUploader(t, p, cdn.Options{MaxWait: 5 * time.Second})
		start := time.Now()
		_, err := u.Upload(t.Context(), "x.bin", bytes.NewReader(make([]byte, 20<<20)), cdn.UploadOptions{})
		if took := time.Since(start); !errors.Is(err, cdn.ErrUnavailable) || took != 7*time.Second {
			t.Errorf("Upload = %v after %v; want ErrUnavailable 5s after the last byte, which was read after 2s", err, took)
		}
	})
}

// hanging reads a body in two halves and does not answer.
type hanging struct {
	cdntest.Memory
	pause time.Duration
}

func (p *hanging) Put(ctx context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	for i := range int64(2) {
		time.Sleep(p.pause)
		_, _ = io.Copy(io.Discard, io.NewSectionReader(body, 0, obj.Size/(2-i)))
	}
	<-ctx.Done()
	return cdn.Info{}, ctx.Err()
}

// TestPromotePoisonInFront makes the oldest objects ones that the provider cannot
// take. The others must not wait for them.
func TestPromotePoisonInFront(t *testing.T) {
	var down outage
	down.on.Store(true)
	m := &cdntest.Memory{Fault: func(ctx context.Context, op, key string) error {
		if strings.HasPrefix(key, "bad") {
			return cdn.ErrUnavailable
		}
		return down.fault(ctx, op, key)
	}}
	u := newUploader(t, m, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{}), Concurrency: 1})
	for _, key := range []string{"bad1", "bad2", "bad3", "bad4", "good1", "good2"} {
		upload(t, u, "x.txt", []byte(key), cdn.UploadOptions{Key: key})
	}
	down.on.Store(false)
	n := 0
	for range 3 {
		did, _ := u.Promote(t.Context())
		n += did
	}
	if n != 2 {
		t.Errorf("3 passes promoted %d; want the 2 good ones", n)
	}
}

// TestRetainSurvivesClock retains a copy until a time that, by a clock which was set
// back, is far away.
func TestRetainSurvivesClock(t *testing.T) {
	var down outage
	down.on.Store(true)
	m := &cdntest.Memory{Fault: down.fault}
	local := newLocal(t, cdn.LocalOptions{})
	u := newUploader(t, m, cdn.Options{Fallback: local, Retain: 24 * time.Hour})
	upload(t, u, "x.txt", []byte("content"), cdn.UploadOptions{Key: "k"})
	down.on.Store(false)
	if n, err := u.Promote(t.Context()); n != 1 || err != nil {
		t.Fatalf("Promote = %d, %v", n, err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	u = newUploader(t, m, cdn.Options{Fallback: local, Retain: time.Minute})
	if _, err := u.Promote(t.Context()); err != nil || local.Stats().Objects != 0 {
		t.Errorf("Promote: %v, Stats %+v; want the copy gone", err, local.Stats())
	}
	wantContent(t, u, "k", []byte("content"))
}

// openBreaker is the error of a circuit breaker in the provider's HTTP client.
type openBreaker struct{}

func (openBreaker) Error() string             { return "circuit breaker is open" }
func (openBreaker) RetryAfter() time.Duration { return 5 * time.Second }

// TestOpenBreaker: an open breaker in the HTTP client is not waited for when there is a
// Fallback, and its delay is respected when there is none.
func TestOpenBreaker(t *testing.T) {
	for _, fallback := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			m := &cdntest.Memory{Fault: func(_ context.Context, op, key string) error {
				if calls++; calls > 1 {
					return nil
				}
				return &cdn.OpError{Provider: "memory", Op: op, Key: key, Kind: cdn.ErrUnavailable, Err: openBreaker{}}
			}}
			o := cdn.Options{}
			if fallback {
				local, err := cdn.NewLocal(cdn.LocalOptions{Dir: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				defer local.Close()
				o.Fallback = local
			}
			u, err := cdn.New(m, o)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			start := time.Now()
			res, err := u.Upload(t.Context(), "x.txt", strings.NewReader("hello"), cdn.UploadOptions{})
			took := time.Since(start)
			if err != nil || (res.Fallback != nil) != fallback || fallback && took > 0 || !fallback && took < 5*time.Second {
				t.Errorf("fallback %v: Upload = %+v, %v after %v", fallback, res, err, took)
			}
		})
	}
}

// TestRevive: the bucket was missing, so that all that was pending is dead. Once it is
// there again the objects are revived and promoted.
func TestRevive(t *testing.T) {
	kind := cdn.ErrUnavailable
	m := &cdntest.Memory{Fault: func(context.Context, string, string) error { return kind }}
	u := newUploader(t, m, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{})})
	for i := range 3 {
		upload(t, u, "x.txt", fmt.Append(nil, i), cdn.UploadOptions{Key: fmt.Sprint("k", i)})
	}
	kind = cdn.ErrInvalid
	u.Promote(t.Context())
	if s := u.Stats(); s.Dead != 3 {
		t.Fatalf("Stats = %+v; want 3 dead", s)
	}
	kind = nil
	if n, err := u.Revive("k1"); n != 1 || err != nil {
		t.Errorf("Revive(k1) = %d, %v", n, err)
	}
	if n, err := u.Promote(t.Context()); n != 1 || err != nil || m.Len() != 1 {
		t.Errorf("Promote = %d, %v", n, err)
	}
	if n, err := u.Revive(""); n != 2 || err != nil {
		t.Errorf("Revive = %d, %v", n, err)
	}
	if n, err := u.Promote(t.Context()); n != 2 || err != nil || m.Len() != 3 || u.Stats().Dead != 0 {
		t.Errorf("Promote = %d, %v; %+v", n, err, u.Stats())
	}
}
