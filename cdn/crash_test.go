package cdn_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
)

// httpProvider is a provider over real HTTP, for the child process. If gullible it
// takes every success for proof.
type httpProvider struct {
	base     string
	gullible bool
}

func (p httpProvider) do(ctx context.Context, method, op, key string, body io.Reader, n int64, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.base+"/"+key, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = n
	req.Header.Set("X-Seq", fmt.Sprint(time.Now().UnixNano()))
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	fail := func(kind, err error) error {
		return &cdn.OpError{Provider: "http", Op: op, Key: key, Kind: kind, Err: err}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fail(cdn.ErrUnavailable, err)
	}
	switch {
	case resp.StatusCode == http.StatusNotFound:
		resp.Body.Close()
		return nil, fail(cdn.ErrNotFound, nil)
	case resp.StatusCode == http.StatusPreconditionFailed:
		resp.Body.Close()
		return nil, fail(cdn.ErrExists, nil)
	case resp.StatusCode >= 300:
		resp.Body.Close()
		return nil, fail(cdn.ErrUnavailable, nil)
	}
	return resp, nil
}

func (p httpProvider) Put(ctx context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	var header []string
	if obj.CreateOnly {
		header = []string{"If-None-Match", "*"}
	}
	resp, err := p.do(ctx, "PUT", "put", obj.Key, io.NewSectionReader(body, 0, obj.Size), obj.Size, header...)
	if err != nil {
		return cdn.Info{}, err
	}
	return cdn.Info{Ref: cdn.Ref{Key: obj.Key}, Verified: p.gullible}, resp.Body.Close()
}

func (p httpProvider) Head(ctx context.Context, ref cdn.Ref) (cdn.Info, error) {
	resp, err := p.do(ctx, "HEAD", "head", ref.Key, nil, 0)
	if err != nil {
		return cdn.Info{}, err
	}
	info := cdn.Info{Ref: ref, Size: resp.ContentLength}
	hex.Decode(info.SHA256[:], []byte(resp.Header.Get("X-Sha256")))
	return info, resp.Body.Close()
}

func (p httpProvider) Open(ctx context.Context, ref cdn.Ref, offset, length int64) (io.ReadCloser, cdn.Info, error) {
	resp, err := p.do(ctx, "GET", "open", ref.Key, nil, 0)
	if err != nil {
		return nil, cdn.Info{}, err
	}
	return resp.Body, cdn.Info{Ref: ref, Size: resp.ContentLength}, nil
}

func (p httpProvider) Delete(ctx context.Context, ref cdn.Ref) error {
	resp, err := p.do(ctx, "DELETE", "delete", ref.Key, nil, 0)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func (p httpProvider) URL(ref cdn.Ref) (string, error) { return p.base + "/" + ref.Key, nil }

// faultyServer is the other side: it stores objects, and often enough does not. Two
// things it does not do, which no client that may be killed can survive: to apply a
// request after a later one of the same key, and to damage the object that it has
// while it takes a new one.
type faultyServer struct {
	mu     sync.Mutex
	m      map[string][]byte // guarded by mu; nil: deleted
	seq    map[string]int64  // guarded by mu
	rng    *rand.Rand        // guarded by mu
	healed bool              // guarded by mu
}

func (s *faultyServer) fault(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.healed {
		return -1
	}
	return s.rng.IntN(n)
}

func (s *faultyServer) has(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[key] != nil
}

func (s *faultyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	drop := func() { panic(http.ErrAbortHandler) }
	createOnly := r.Method == http.MethodPut && r.Header.Get("If-None-Match") == "*"
	// Whether the key is free is decided in the same moment in which it is taken, as
	// stores with conditional writes do.
	store := func(b []byte, onlyFree bool) {
		var seq int64
		fmt.Sscan(r.Header.Get("X-Seq"), &seq)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.m[key] != nil && (createOnly || onlyFree) {
			drop()
		}
		if seq > s.seq[key] {
			s.seq[key], s.m[key] = seq, b
		}
	}
	switch r.Method {
	case http.MethodPut:
		if createOnly && s.has(key) {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		switch s.fault(11) {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		case 8: // a proxy in between says something else
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, "<html>502 Bad Gateway</html>")
		case 9: // store, and drip the reply
			store(body, false)
			w.Header().Set("Content-Length", "10")
			w.WriteHeader(http.StatusOK)
			for range 10 {
				io.WriteString(w, "x")
				http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
					return
				}
			}
		case 2: // hang
			<-r.Context().Done()
		case 3: // cut off, and say that it is fine
			store(body[:len(body)/2], true)
		case 4: // say that it is fine and forget it
		case 5: // store, and break off
			store(body, false)
			drop()
		default:
			store(body, false)
		}
	case http.MethodDelete:
		switch s.fault(6) {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			<-r.Context().Done()
		case 2: // delete, and break off
			store(nil, false)
			drop()
		default:
			store(nil, false)
		}
	default:
		if s.fault(10) == 0 {
			drop()
		}
		s.mu.Lock()
		b := s.m[key]
		s.mu.Unlock()
		if b == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		sum := sha256.Sum256(b)
		w.Header().Set("X-Sha256", hex.EncodeToString(sum[:]))
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		if r.Method == http.MethodGet {
			w.Write(b)
		}
	}
}

// TestCrashChild is the process that TestCrash kills: it uploads, overwrites and
// deletes, and reports each acknowledgement on standard output.
func TestCrashChild(t *testing.T) {
	dir, base := os.Getenv("CDN_CRASH_DIR"), os.Getenv("CDN_CRASH_URL")
	if dir == "" {
		t.Skip("only as a child of TestCrash")
	}
	local, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	u, err := cdn.New(httpProvider{base, os.Getenv("CDN_CRASH_GULLIBLE") != ""}, cdn.Options{
		Fallback: local, MaxWait: 40 * time.Millisecond, Retry: cdn.RetryOptions{MaxAttempts: 2, BaseDelay: time.Millisecond},
		Retain: 5 * time.Millisecond, MaxMemory: 64 << 10, // so that streams are spooled
	})
	if err != nil {
		t.Fatal(err)
	}
	go u.Run(t.Context())
	go func() { // Run is patient; crashes shall meet promotions all the time
		for {
			u.Promote(t.Context())
		}
	}()
	var seed uint64
	fmt.Sscan(os.Getenv("CDN_CRASH_SEED"), &seed)
	pad := strings.Repeat("x", 3000) // so that the journal is rewritten now and then
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for {
				key := fmt.Sprintf("w%d/k%d.bin", w, rng.IntN(6)) // a worker owns its keys
				body := make([]byte, 1+rng.IntN(20_000)<<rng.IntN(4))
				for i := range body {
					body[i] = byte(rng.Uint32())
				}
				o := cdn.UploadOptions{Key: key, Metadata: map[string]string{"long": pad}}
				if rng.IntN(3) == 0 { // content that comes again, under its own name
					body = bytes.Repeat([]byte{byte(w), byte(rng.IntN(4))}, 3_000)
					sum := sha256.Sum256(body)
					key = fmt.Sprintf("w%d/%x-x.bin", w, sum[:16])
					o.Key, o.Folder = "", fmt.Sprint("w", w)
				}
				var r io.Reader = bytes.NewReader(body)
				if rng.IntN(2) == 0 {
					r = io.MultiReader(r) // cannot be read twice
				}
				if rng.IntN(8) == 0 {
					fmt.Printf("try %s -\n", key)
					if u.Delete(t.Context(), key) == nil {
						fmt.Printf("ack %s -\n", key)
					}
					continue
				}
				fmt.Printf("cut %s %x\n", key, sha256.Sum256(body[:len(body)/2]))
				fmt.Printf("try %s %x\n", key, sha256.Sum256(body))
				if res, err := u.Upload(t.Context(), "x.bin", r, o); err == nil {
					fmt.Printf("ack %s %x\n", res.Key, sha256.Sum256(body))
				}
			}
		})
	}
	wg.Wait()
}

// ledger is what the parent knows of one key: the last acknowledged state, and what
// has been tried since without an answer.
type ledger struct {
	acked string
	maybe map[string]bool
}

// TestCrash kills a process that uploads to an unreliable provider again and again,
// and looks for what was acknowledged: at the end, from local disk or the provider,
// and, once the provider has healed and all is promoted, from the provider alone.
func TestCrash(t *testing.T) {
	cycles := 8
	if s := os.Getenv("CDN_CRASH_CYCLES"); s != "" {
		fmt.Sscan(s, &cycles)
	}
	// Many cycles go side by side, since a cycle is mostly waiting; each lane has a
	// server, a directory and a course of its own.
	lanes := min((cycles+31)/32, 8)
	acks := make([]int, lanes)
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			t.Run(fmt.Sprint("lane ", lane), func(t *testing.T) {
				lost, stats, n := crash(t, uint64(lane), (cycles+lane)/lanes, false)
				for _, l := range lost {
					t.Error(l)
				}
				if stats.Missing > 0 || stats.Damaged {
					t.Errorf("after the crashes: %+v", stats)
				}
				acks[lane] = n
			})
		})
	}
	wg.Wait()
	total := 0
	for _, n := range acks {
		total += n
	}
	t.Logf("%d cycles, %d acknowledgements", cycles, total)
}

// TestCrashBites runs the same without verification, which must lose something: so
// the test above can fail.
func TestCrashBites(t *testing.T) {
	for range 5 {
		if lost, _, _ := crash(t, 0, 3, true); len(lost) > 0 {
			t.Logf("without verification, after 3 cycles: %d lost", len(lost))
			return
		}
	}
	t.Error("nothing was lost without verification")
}

func crash(t *testing.T, lane uint64, cycles int, gullible bool) (lost []string, stats cdn.LocalStats, acks int) {
	srv := &faultyServer{m: map[string][]byte{}, seq: map[string]int64{}, rng: rand.New(rand.NewPCG(1, 2+lane))}
	ts := httptest.NewServer(srv)
	defer ts.Close()
	dir := t.TempDir()
	keys := map[string]*ledger{}
	rng := rand.New(rand.NewPCG(3, 4+lane))
	for i := range cycles {
		acks += crashOnce(t, dir, ts.URL, lane<<20|uint64(i), gullible, time.Duration(60+rng.IntN(140))*time.Millisecond, keys, false)
		// One more that is killed while it starts: recovery must survive that too.
		acks += crashOnce(t, dir, ts.URL, (lane<<20|uint64(i))<<32, gullible, time.Duration(rng.IntN(40_000))*time.Microsecond, keys, true)
	}
	if acks < cycles {
		t.Fatalf("only %d acknowledgements in %d cycles: nothing was tested", acks, cycles)
	}
	local, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	stats = local.Stats()
	p := httpProvider{ts.URL, gullible}
	u := newUploader(t, p, cdn.Options{
		Fallback: local, Retain: -1, Retry: cdn.RetryOptions{MaxAttempts: 50, BaseDelay: 1, MaxDelay: 1},
	})
	lost = checkLedger(keys, "after the crashes", func(key string) (io.ReadCloser, error) {
		r, _, err := u.Open(t.Context(), key)
		return r, err
	})
	srv.mu.Lock()
	srv.healed = true
	srv.mu.Unlock()
	if _, err := u.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	for p := range u.Pending() {
		t.Errorf("still pending after the provider healed: %+v", p)
	}
	lost = append(lost, checkLedger(keys, "at the provider", func(key string) (io.ReadCloser, error) {
		r, _, err := p.Open(t.Context(), cdn.Ref{Key: key}, 0, -1)
		return r, err
	})...)
	t.Logf("%d acknowledgements, %d objects pending after the last crash", acks, stats.Pending)
	return lost, stats, acks
}

// crashOnce runs the child until it is killed and reads what it said. Its life counts
// from its first word, or, if early, from the start of the process.
func crashOnce(t *testing.T, dir, url string, seed uint64, gullible bool, life time.Duration, keys map[string]*ledger, early bool) (acks int) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), "CDN_CRASH_DIR="+dir, "CDN_CRASH_URL="+url, fmt.Sprintf("CDN_CRASH_SEED=%d", seed))
	if gullible {
		cmd.Env = append(cmd.Env, "CDN_CRASH_GULLIBLE=1")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	if early {
		kill = time.AfterFunc(life, func() { cmd.Process.Kill() })
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var what, key, sum string
		if n, _ := fmt.Sscan(lines.Text(), &what, &key, &sum); n != 3 || len(sum) != 1 && len(sum) != 64 {
			continue // cut off by the kill
		}
		if kill == nil { // it lives from its first word
			kill = time.AfterFunc(life, func() { cmd.Process.Kill() })
		}
		l := keys[key]
		if l == nil {
			l = &ledger{acked: "-", maybe: map[string]bool{}}
			keys[key] = l
		}
		switch what {
		case "cut": // may be left where there was nothing, by an upload that was killed,
			if l.acked == "-" || l.maybe["-"] { // also where a delete took effect that nobody acknowledged
				l.maybe[sum] = true
			}
		case "try":
			l.maybe[sum] = true
		case "ack":
			acks++
			l.acked, l.maybe = sum, map[string]bool{}
		}
	}
	cmd.Wait() // killed, which is what we want
	if kill == nil {
		t.Fatal("the child said nothing")
	}
	return acks
}

// checkLedger reads every key. It must be as acknowledged last, or as something that
// was tried after that.
func checkLedger(keys map[string]*ledger, when string, open func(key string) (io.ReadCloser, error)) (lost []string) {
	for key, l := range keys {
		got := "-"
		r, err := open(key)
		if err == nil {
			var b []byte
			b, err = io.ReadAll(r)
			r.Close()
			got = fmt.Sprintf("%x", sha256.Sum256(b))
		} else if errors.Is(err, cdn.ErrNotFound) {
			err = nil
		}
		if err != nil || got != l.acked && !l.maybe[got] {
			lost = append(lost, fmt.Sprintf("%s: %s is %.8s (%v); acknowledged was %.8s", when, key, got, err, l.acked))
		}
	}
	return lost
}
