package resiliencehttp_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/priority"

	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

// TestMiddlewareShedsByPriority gives a service 2.5 times what it can do and compares
// what becomes of requests of high and of low priority.
func TestMiddlewareShedsByPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{Shed: &resiliencehttp.ShedOptions{
			MinLimit: limit, InitialLimit: limit, MaxLimit: limit, MaxWait: 500 * time.Millisecond,
			Priority: func(r *http.Request) priority.Priority {
				if r.Header.Get("X-Role") == "payment" {
					return 1000 // Out of range: counts as the highest.
				}
				return -1000
			},
		}})
		h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(100 * time.Millisecond) }))
		var mu sync.Mutex
		served, sent := map[string]int{}, map[string]int{}
		var wg sync.WaitGroup
		for i := range 3000 { // 100/s are served, 250/s come, 50 of them payments.
			role := "batch"
			if i%5 == 0 {
				role = "payment"
			}
			wg.Go(func() {
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("X-Role", role)
				code := serve(h, r).Code
				mu.Lock()
				defer mu.Unlock()
				sent[role]++
				if code == 200 {
					served[role]++
				}
			})
			time.Sleep(4 * time.Millisecond)
		}
		wg.Wait()
		high := float64(served["payment"]) / float64(sent["payment"])
		low := float64(served["batch"]) / float64(sent["batch"])
		t.Logf("served: %.3f of the payments, %.3f of the rest", high, low)
		if high < 0.95 || low < 0.2 {
			t.Errorf("served %.2f of the payments and %.2f of the rest; want nearly all, and what is left over", high, low)
		}
		if s := m.Stats(); s.InFlight != 0 || s.Limit != limit || s.Shed == 0 {
			t.Errorf("Stats = %+v", s)
		}
	})
}

// TestMiddlewarePriorityWaits checks that a request waits for a place, and no longer
// than it may.
func TestMiddlewarePriorityWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{Shed: &resiliencehttp.ShedOptions{
			MinLimit: 1, InitialLimit: 1, MaxLimit: 1, MaxWait: time.Second,
			Priority: func(*http.Request) priority.Priority { return priority.High },
		}})
		h := m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(1500 * time.Millisecond)
			}
		}))
		go serve(h, httptest.NewRequest("GET", "/slow", nil))
		synctest.Wait()
		start := time.Now()
		if w := get(h); w.Code != 503 || time.Since(start) != time.Second {
			t.Errorf("%d after %v; want 503 after 1s", w.Code, time.Since(start))
		}
		if w := get(h); w.Code != 200 || time.Since(start) != 1500*time.Millisecond {
			t.Errorf("%d after %v; want 200 after 1.5s", w.Code, time.Since(start))
		}
	})
}
