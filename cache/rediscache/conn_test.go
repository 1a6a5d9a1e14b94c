package rediscache_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/rediscache"
	"github.com/redis/rueidis"
)

// fakeServer accepts connections and lets answer deal with each.
func fakeServer(t *testing.T, answer func(net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { answer(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return "redis://u:hunter2@" + l.Addr().String()
}

// TestBlackHole: a server that takes connections and never answers holds up nobody
// beyond his ctx, and not Close.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	url := fakeServer(t, func(net.Conn) {})
	r, err := rediscache.New(rediscache.Options{URL: url, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 600 { // more than may be under way
		wg.Go(func() {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errCause)
			defer cancel()
			begun := time.Now()
			_, err := r.Get(ctx, "k")
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errCause) {
				t.Errorf("Get error = %v; want DeadlineExceeded and its cause", err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("Get took %v", took)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.Watch(ctx, func(cache.RemoteEvent) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Watch error = %v; want DeadlineExceeded", err)
	}
	wg.Wait()
	closeSoon(t, r)
}

var errCause = errors.New("the caller's reason")

func closeSoon(t *testing.T, r *rediscache.Remote) {
	t.Helper()
	begun := time.Now()
	if err := r.Close(); err != nil {
		t.Errorf("Close error = %v", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("Close took %v", took)
	}
}

// TestServerThatRepeats: an old server repeats the arguments of a command that it
// does not know, the password of HELLO among them.
func TestServerThatRepeats(t *testing.T) {
	t.Parallel()
	url := fakeServer(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "*") {
				_, _ = c.Write([]byte("-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `u`, `hunter2`, `value`\r\n"))
			}
		}
	})
	r := newRemote(t, rediscache.Options{URL: url})
	for range 3 {
		_, err := r.Get(t.Context(), "k")
		if err == nil || errors.Is(err, cache.ErrNotFound) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Get error = %v", err)
		}
	}
}

// TestServerThatLies: answers of the right protocol and the wrong shape are errors.
func TestServerThatLies(t *testing.T) {
	t.Parallel()
	for _, lie := range []string{":1\r\n", "+OK\r\n", "$-1\r\n", "*0\r\n", "*2\r\n:1\r\n:1\r\n", "*3\r\n:0\r\n:1\r\n:1\r\n",
		"*3\r\n:9999999999\r\n:1\r\n:1\r\n", "*3\r\n:1\r\n:-1\r\n:1\r\n", "*3\r\n:1\r\n$1\r\nx\r\n:1\r\n", "*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:7\r\n",
		"*3\r\n*0\r\n*0\r\n*0\r\n", "*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n$1\r\nx\r\n"} {
		url := fakeServer(t, func(c net.Conn) { lieTo(c, lie) })
		r := newRemote(t, rediscache.Options{URL: strings.Replace(url, "u:hunter2@", "", 1)})
		rec, err := r.Get(t.Context(), "k")
		if rec != nil || err == nil {
			t.Errorf("%q: Get = %+v, %v", lie, rec, err)
		}
	}
}

// lieTo makes a connection as Redis 7 does, and answers scripts with lie.
func lieTo(c net.Conn, lie string) {
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer := ""
		switch strings.ToUpper(strings.TrimSpace(line)) {
		case "HELLO":
			answer = "%2\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:3\r\n"
		case "SETINFO":
			answer = "+OK\r\n"
		case "CLUSTER":
			answer = "-ERR This instance has cluster support disabled\r\n"
		case "EVALSHA":
			answer = lie
		case "PING":
			answer = "+PONG\r\n"
		}
		if _, err := c.Write([]byte(answer)); err != nil {
			return
		}
	}
}

// TestSilence: a push connection on which nothing comes any more is found out,
// though it was never closed.
func TestSilence(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	events := make(chan rediscache.PushEvent, 10)
	r, err := rediscache.New(rediscache.Options{URL: s.url(), Timeout: 20 * time.Second, PushTimeout: 200 * time.Millisecond,
		Hooks: rediscache.Hooks{Push: func(e rediscache.PushEvent) { events <- e; panic("hook") }}})
	if err != nil {
		t.Fatal(err)
	}
	e := watch(t, r)
	e.want(t, ready)
	if ev := <-events; !ev.Ready || ev.Err != nil {
		t.Errorf("first event = %+v; want ready", ev)
	}
	freeze(t, s)
	err = <-e.done
	e.done <- nil
	if err == nil || !strings.Contains(err.Error(), "silent") {
		t.Errorf("Watch error = %v; want silence", err)
	}
	if ev := <-events; ev.Ready || ev.Err == nil {
		t.Errorf("second event = %+v; want lost", ev)
	}
	if st := r.Stats(); st.Listening || st.PushLosses != 1 {
		t.Errorf("Stats() = %+v; want one loss", st)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Position(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Position error = %v; want DeadlineExceeded", err)
	}
	closeSoon(t, r) // while Redis is frozen
}

func TestClose(t *testing.T) {
	s := newServer(t, "")
	before := runtime.NumGoroutine()
	for range 3 {
		r, err := rediscache.New(rediscache.Options{URL: s.url(), Timeout: 20 * time.Second, PushTimeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		begun := make(chan struct{}, 100)
		for i := range 4 {
			wg.Go(func() {
				for {
					var err error
					if i == 0 {
						err = r.Watch(context.Background(), func(cache.RemoteEvent) {})
					} else {
						_, err = r.Position(context.Background())
					}
					if err != nil {
						if !errors.Is(err, rediscache.ErrClosed) {
							t.Errorf("error beside Close = %v; want ErrClosed", err)
						}
						return
					}
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		<-begun
		wg.Go(func() { closeSoon(t, r) })
		closeSoon(t, r)
		wg.Wait()
		ctx := context.Background()
		_, e1 := r.Position(ctx)
		_, e2 := r.Get(ctx, "k")
		_, e3 := r.Invalidate(ctx, []string{"t"}, false)
		for i, err := range []error{e1, e2, e3, r.Set(ctx, "k", record(1<<32, "t")), r.Watch(ctx, func(cache.RemoteEvent) {})} {
			if !errors.Is(err, rediscache.ErrClosed) {
				t.Errorf("call %d after Close = %v; want ErrClosed", i, err)
			}
		}
	}
	eventually(t, 30*time.Second, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

// TestUnix reaches Redis by a socket.
func TestUnix(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "rc") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	newServer(t, "unixsocket "+path)
	r := newRemote(t, rediscache.Options{URL: "unix://" + path + "?db=3"})
	rec := record(position(t, r), "t")
	set(t, r, "k", rec)
	wantHit(t, r, "k", "unix", rec)
	watch(t, r).want(t, ready)
}

// TestTLS uses rediss:// and a Client with a certificate of its own.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pool := certificate(t, dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	newServer(t, "tls-port "+port+"\ntls-cert-file "+dir+"/cert\ntls-key-file "+dir+"/key\ntls-ca-cert-file "+dir+"/cert\ntls-auth-clients no")
	addr := "127.0.0.1:" + port
	a := newRemote(t, rediscache.Options{URL: "rediss://" + addr + "?skip_verify=true"})
	rec := record(position(t, a), "t")
	set(t, a, "k", rec)
	b := newRemote(t, rediscache.Options{Client: &rueidis.ClientOption{InitAddress: []string{addr}, TLSConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}})
	wantHit(t, b, "k", "over TLS", rec)
	watch(t, b).want(t, ready)
	c := newRemote(t, rediscache.Options{URL: "rediss://" + addr})
	if _, err := c.Position(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Position with an unknown certificate: %v", err)
	}
}

func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: pk}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	return pool
}
