package resiliencehttp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

// still answers every request with the same response, which allocates nothing.
func still() http.RoundTripper {
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
	return roundTripFunc(func(*http.Request) (*http.Response, error) { return resp, nil })
}

func BenchmarkTransportRoundTrip(b *testing.B) {
	tr, err := resiliencehttp.NewTransport(still(), resiliencehttp.TransportOptions{})
	if err != nil {
		b.Fatal(err)
	}
	r, _ := http.NewRequest(http.MethodGet, "http://up/", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.RoundTrip(r); err != nil {
			b.Fatal(err)
		}
	}
}

// idle is a writer that keeps nothing.
type idle struct{ header http.Header }

func (w idle) Header() http.Header         { return w.header }
func (w idle) Write(p []byte) (int, error) { return len(p), nil }
func (w idle) WriteHeader(int)             {}

func BenchmarkMiddleware(b *testing.B) {
	reg, err := resilience.NewRegistry(resilience.RegistryOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for name, o := range map[string]resiliencehttp.MiddlewareOptions{
		"panics only": {},
		"shed":        {Shed: &resiliencehttp.ShedOptions{}},
		"breaker":     {Registry: reg},
		"rate limit":  {RateLimit: &resiliencehttp.RateLimitOptions{Requests: 1e6}},
		"timeout":     {Timeout: time.Minute},
	} {
		b.Run("with="+name, func(b *testing.B) {
			m, err := resiliencehttp.NewMiddleware(o)
			if err != nil {
				b.Fatal(err)
			}
			h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
			r, w := httptest.NewRequest(http.MethodGet, "/", nil), idle{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}

// TestTransportAllocs pins what a round trip adds.
func TestTransportAllocs(t *testing.T) {
	tr := newTransport(t, still(), resiliencehttp.TransportOptions{})
	r := must(http.NewRequest(http.MethodGet, "http://up/", nil))
	if n := testing.AllocsPerRun(1000, func() { _, _ = tr.RoundTrip(r) }); n != 0 { //nolint:bodyclose // It is empty.
		t.Errorf("a round trip that succeeds allocates %v times; want 0", n)
	}
}
