package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/hist"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/perfpage"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

// objective is how long an answer may take to count as good.
const objective = 1500 * time.Millisecond

// route counts the requests of one pattern.
type route struct {
	latency hist.Histogram
	errors  atomic.Uint64 // 5xx
	good    atomic.Uint64 // no 5xx, within the objective
}

// routes holds all routes; it is filled before the first request.
type routes struct {
	order  []string
	byName map[string]*route
	all    hist.Histogram
}

func (t *routes) names() []string { return t.order }

func (t *routes) get(name string) *route { return t.byName[name] }

// counted wraps h so that its requests are counted under name.
func (t *routes) counted(name string, h http.Handler) http.Handler {
	if t.byName == nil {
		t.byName = map[string]*route{}
	}
	c := &route{}
	t.order, t.byName[name] = append(t.order, name), c
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			d := time.Since(start)
			c.latency.Observe(d)
			t.all.Observe(d)
			if s.status >= 500 {
				c.errors.Add(1)
			} else if d <= objective {
				c.good.Add(1)
			}
		}()
		h.ServeHTTP(s, r)
	})
}

// statusWriter remembers the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	if status >= 200 { // 1xx are not the answer
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Handler returns the service's routes.
func (a *app) makeHandler() (http.Handler, error) {
	mux := http.NewServeMux()
	// What can fail says so by an error; one place makes the response of it.
	api := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.Handle(pattern, a.routes.counted(pattern, a.errorsToProblems(h)))
	}
	api("GET /{$}", a.getHome)
	api("GET /api/users/{id}", a.getUser)
	api("GET /api/conversations", a.getConversations)
	api("GET /api/conversations/{id}/messages", a.getMessages)
	api("POST /api/conversations/{id}/messages", a.postMessage)
	api("GET /api/search", a.getSearch)
	api("GET /api/usage/daily", a.getUsage)
	api("POST /api/upload", a.postUpload)
	api("POST /api/ask", a.postAsk)
	mux.Handle("GET /img/", a.routes.counted("GET /img/", a.img))
	mux.Handle("GET /files/", a.routes.counted("GET /files/", a.local))
	mux.Handle("GET /web/", webAssets())

	for _, path := range []string{"/debug/performance", "/api/debug/performance"} {
		mux.Handle("GET "+path, a.errorsToProblems(a.getPerformance))
		mux.Handle("DELETE "+path, a.errorsToProblems(a.deletePerformance))
	}
	mux.Handle("POST /debug/performance/switches/{name}", a.errorsToProblems(a.postSwitch))
	mux.HandleFunc("GET /debug/performance/events", a.page.Events)
	mux.Handle("GET /debug/performance/assets/", perfpage.Assets("/debug/performance/assets/"))
	mux.Handle("GET /metrics", a.errorsToProblems(a.getMetrics))
	mux.Handle("GET /debug/vars", a.errorsToProblems(a.getVars))
	mux.Handle("GET /healthz", a.errorsToProblems(a.getHealth))
	mux.Handle("/", a.errorsToProblems(noRoute))
	return a.guardRequests(mux)
}

// requestTimeout is how long a handler may take to begin its answer.
const requestTimeout = 20 * time.Second

// guardRequests puts in front of all routes what must hold for each: panics end in
// a logged 500, requests that change something come from our own pages or from no
// page at all, and an overload is refused at once rather than queued.
func (a *app) guardRequests(next http.Handler) (http.Handler, error) {
	m, err := resiliencehttp.NewMiddleware(resiliencehttp.MiddlewareOptions{
		Name: "chat", Timeout: requestTimeout, Shed: &resiliencehttp.ShedOptions{}, Logger: a.log,
		Exempt: func(r *http.Request) bool {
			return strings.HasPrefix(r.URL.Path, "/debug/") || r.URL.Path == "/api/debug/performance" || r.URL.Path == "/healthz" || r.URL.Path == "/metrics"
		},
		Disabled: a.cfg.off["resilience"],
	})
	if err != nil {
		return nil, err
	}
	a.metered = append(a.metered, m)
	foreign := http.NewCrossOriginProtection()
	foreign.SetDenyHandler(a.errorsToProblems(func(http.ResponseWriter, *http.Request) error {
		return fault(http.StatusForbidden, "cross_origin", "this request came from another site", nil)
	}))
	return m.Wrap(foreign.Handler(next)), nil
}
