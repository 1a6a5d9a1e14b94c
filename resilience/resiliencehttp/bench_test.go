package resiliencehttp_test

import (
	"net/http"
	"testing"

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
