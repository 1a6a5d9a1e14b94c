package resiliencehttp_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

func TestClientAddress(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"direct", "192.0.2.7:1", nil, "192.0.2.7"},
		{"direct, header made up", "192.0.2.7:1", []string{"198.51.100.1"}, "192.0.2.7"},
		{"through a proxy", "10.0.0.1:1", []string{"192.0.2.7"}, "192.0.2.7"},
		{"through two", "10.0.0.1:1", []string{"192.0.2.7, 10.9.9.9"}, "192.0.2.7"},
		{"through two, a header each", "10.0.0.1:1", []string{"192.0.2.7", "10.9.9.9"}, "192.0.2.7"},
		{"made up before", "10.0.0.1:1", []string{"198.51.100.1, 10.0.0.9, 192.0.2.7"}, "192.0.2.7"},
		{"garbage before", "10.0.0.1:1", []string{"<script>, 192.0.2.7"}, "192.0.2.7"},
		{"garbage at the end", "10.0.0.1:1", []string{"192.0.2.7, unknown"}, "10.0.0.1"},
		{"empty entry", "10.0.0.1:1", []string{"192.0.2.7,"}, "10.0.0.1"},
		{"no header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"all proxies", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"with ports", "10.0.0.1:1", []string{"192.0.2.7:4711"}, "192.0.2.7"},
		{"IPv6", "[fd00::1]:1", []string{"[2001:db8:1:2::3]:4711"}, "2001:db8:1:2::/64"},
		{"IPv6 in brackets", "[fd00::1]:1", []string{"[2001:db8:1:2::3]"}, "2001:db8:1:2::/64"},
		{"IPv6, bare", "[fd00::1]:1", []string{"2001:db8:1:2:ffff::9"}, "2001:db8:1:2::/64"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"::ffff:192.0.2.7"}, "192.0.2.7"},
		{"with a zone", "[fe80::1%eth0]:1", nil, "fe80::/64"},
		{"a Unix socket", "@", nil, "@"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		r.Header["X-Forwarded-For"] = c.forwarded
		if got := resiliencehttp.ClientAddress(proxies...)(r); got != c.want {
			t.Errorf("%s: %q; want %q", c.name, got, c.want)
		}
	}
}

func FuzzClientAddress(f *testing.F) {
	f.Add("10.0.0.1:1", "192.0.2.7, 10.0.0.2")
	f.Add("[fd00::1]:1", "[2001:db8::1]:80,,,")
	f.Add("", "]]][[[")
	key := resiliencehttp.ClientAddress(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"))
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwarded}}}
		got := key(r)
		// What a client puts before its own address changes nothing.
		r.Header.Set("X-Forwarded-For", "198.51.100.1, 192.0.2.1, "+forwarded)
		if again := key(r); again != got && !strings.HasPrefix(got, "10.") && !strings.HasPrefix(got, "fd") {
			t.Fatalf("%q from %q: %q, with more in front %q", forwarded, remote, got, again)
		}
	})
}

// TestMiddlewareRateLimitTellsTheRest checks that Retry-After is the rest of the period
// and that waiting for so long helps.
func TestMiddlewareRateLimitTellsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{RateLimit: &resiliencehttp.RateLimitOptions{Requests: 2, Per: time.Hour}})
		h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		get(h)
		get(h)
		time.Sleep(59*time.Minute + 30*time.Second + time.Millisecond)
		w := get(h)
		if p := problem(t, w); w.Code != 429 || p.Code != "rate_limit" || w.Header().Get("Retry-After") != "30" {
			t.Fatalf("%d %+v %v; want 429, Retry-After 30", w.Code, p, w.Header())
		}
		seconds, _ := strconv.Atoi(w.Header().Get("Retry-After"))
		time.Sleep(time.Duration(seconds) * time.Second)
		if w := get(h); w.Code != 200 {
			t.Errorf("after Retry-After: %d; want 200", w.Code)
		}
	})
}

// TestMiddlewareRateLimitLongKeys checks that long keys are told apart and cannot fill
// the memory.
func TestMiddlewareRateLimitLongKeys(t *testing.T) {
	m := newMiddleware(t, resiliencehttp.MiddlewareOptions{RateLimit: &resiliencehttp.RateLimitOptions{
		Requests: 1, Per: time.Hour, Key: func(r *http.Request) string { return r.Header.Get("Authorization") },
	}})
	h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for i, want := range []int{200, 429, 200, 429} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", strings.Repeat("x", 1<<10)+strconv.Itoa(i/2))
		if w := serve(h, r); w.Code != want {
			t.Errorf("request %d: %d; want %d", i, w.Code, want)
		}
	}
}
