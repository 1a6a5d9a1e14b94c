package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/hist"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
	"github.com/perfblocks/perfblocks/imageopt"
	"github.com/perfblocks/perfblocks/memory"
	"github.com/perfblocks/perfblocks/resilience"
)

// totals are the counters of everything at one moment. DELETE keeps one, and the
// page shows what came since.
type totals struct {
	at         time.Time
	all        *hist.Counts
	routes     map[string]routeTotals
	cache      cache.Stats
	strategies map[string]cache.Stats
	upstreams  map[string]resilience.Stats
	degraded   uint64
	suppressed uint64
	uploads    cdn.Stats
	images     imageopt.Stats
	monitor    memory.MonitorStats
	ttlHits    uint64 // of the baseline's map
	ttlMisses  uint64
	database   []store.Calls
	poolWait   time.Duration
}

// upstream is a service that others run, as the page shows it.
type upstream struct {
	stats   func() resilience.Stats
	breaker func() string // the state now
}

func (a *app) watchUpstream(name string, stats func() resilience.Stats, breaker func() string) {
	a.upstreams[name] = upstream{stats, breaker}
}

type routeTotals struct {
	latency      *hist.Counts
	errors, good uint64
}

func (a *app) totals() totals {
	t := totals{
		at: time.Now(), all: a.routes.all.Snapshot(), routes: map[string]routeTotals{},
		cache: a.cache.Stats(), strategies: maps.Collect(a.cache.Strategies()),
		upstreams: map[string]resilience.Stats{}, degraded: a.degraded.Load(), suppressed: a.guard.Stats().Suppressed,
		uploads: a.uploader.Stats(), images: a.images.Stats(), monitor: a.monitor.Stats(),
	}
	for name, u := range a.upstreams {
		t.upstreams[name] = u.stats()
	}
	for _, name := range a.routes.names() {
		c := a.routes.get(name)
		t.routes[name] = routeTotals{c.latency.Snapshot(), c.errors.Load(), c.good.Load()}
	}
	t.database, t.poolWait = a.store.Calls(), a.store.DB().Stats().WaitDuration
	t.ttlHits, t.ttlMisses = a.ttl.counts()
	return t
}

// snapshot is the JSON of GET /debug/performance: what came since the start or
// the last DELETE, and what is now.
type snapshot struct {
	Since         time.Time         `json:"since"`
	Seconds       float64           `json:"seconds"`
	UptimeSeconds float64           `json:"uptimeSeconds"`
	Off           []string          `json:"off"` // blocks that pass through
	Switches      map[string]bool   `json:"switches"`
	Requests      requestFigures    `json:"requests"`
	Routes        []routeFigures    `json:"routes"`
	Cache         cacheFigures      `json:"cache"`
	Resilience    resilienceFigures `json:"resilience"`
	Memory        memoryFigures     `json:"memory"`
	CDN           cdnFigures        `json:"cdn"`
	Images        imageFigures      `json:"images"`
	Database      databaseFigures   `json:"database"`
}

type requestFigures struct {
	Total     uint64  `json:"total"`
	GoodShare float64 `json:"goodShare"`
	P50       float64 `json:"p50Ms"`
	P95       float64 `json:"p95Ms"`
	P99       float64 `json:"p99Ms"`
}

type routeFigures struct {
	Route  string  `json:"route"`
	Total  uint64  `json:"total"`
	Errors uint64  `json:"errors"`
	P50    float64 `json:"p50Ms"`
	P95    float64 `json:"p95Ms"`
	P99    float64 `json:"p99Ms"`
}

type cacheFigures struct {
	HitRate             float64           `json:"hitRate"`
	Hits                uint64            `json:"hits"`
	Misses              uint64            `json:"misses"`
	AverageResponseTime float64           `json:"averageResponseTimeMs"`
	Entries             int64             `json:"entries"`
	Bytes               int64             `json:"bytes"`
	MaxBytes            int64             `json:"maxBytes"`
	Strategies          []strategyFigures `json:"strategies"`
}

type strategyFigures struct {
	Name                string  `json:"name"`
	HitRate             float64 `json:"hitRate"`
	Hits                uint64  `json:"hits"`
	Misses              uint64  `json:"misses"`
	Stale               uint64  `json:"stale"`
	AverageResponseTime float64 `json:"averageResponseTimeMs"`
	AverageLoadTime     float64 `json:"averageLoadTimeMs"`
}

type resilienceFigures struct {
	Upstreams      []upstreamFigures `json:"upstreams"`
	Degraded       uint64            `json:"degradedAnswers"`
	LogsSuppressed uint64            `json:"logsSuppressed"`
}

type upstreamFigures struct {
	Name     string `json:"name"`
	Breaker  string `json:"breaker"`
	Calls    uint64 `json:"calls"`
	Retries  uint64 `json:"retries"`
	Rejected uint64 `json:"rejected"`
	Failures uint64 `json:"failures"`
}

type memoryFigures struct {
	Level       string  `json:"level"`
	Used        int64   `json:"usedBytes"`
	Limit       int64   `json:"limitBytes"`
	LimitSource string  `json:"limitSource"`
	Heap        int64   `json:"heapBytes"`
	RSS         int64   `json:"rssBytes"`
	GCCPUShare  float64 `json:"gcCpuShare"`
	Goroutines  int64   `json:"goroutines"`
	Freed       int64   `json:"freedBytes"`
}

type cdnFigures struct {
	Provider string `json:"provider"`
	Primary  uint64 `json:"primary"`
	Fallback uint64 `json:"fallback"`
	Pending  int    `json:"pending"`
	Promoted uint64 `json:"promoted"`
	Failed   uint64 `json:"failed"`
	Deduped  uint64 `json:"deduped"`
}

type imageFigures struct {
	Made       uint64  `json:"made"`
	BytesIn    int64   `json:"bytesIn"`
	BytesOut   int64   `json:"bytesOut"`
	SavedShare float64 `json:"savedShare"`
	Refused    uint64  `json:"refused"`
}

type databaseFigures struct {
	Kind       string            `json:"kind"`
	Queries    int64             `json:"queries"`
	Seconds    float64           `json:"seconds"`
	Wait       float64           `json:"waitSeconds"` // of Seconds, for a connection of the pool
	Statements []statementFigure `json:"statements"`
	Indexes    []indexUse        `json:"indexes"`
	Note       string            `json:"note"`
}

// statementFigure is what one statement cost the database.
type statementFigure struct {
	Name    string  `json:"name"`
	Queries int64   `json:"queries"`
	Seconds float64 `json:"seconds"`
}

// indexUse is a row of the index table: an index with its scans on PostgreSQL, a
// query with its plan on SQLite, which counts no scans.
type indexUse struct {
	Name string `json:"name"`
	Use  string `json:"use"`
	Good bool   `json:"good"`
}

// performance holds what the snapshots need between two of them.
type performance struct {
	start time.Time

	mu      sync.Mutex
	base    totals       // guarded by mu; what DELETE left behind
	last    *hist.Counts // guarded by mu; of the second before
	lastAt  time.Time    // guarded by mu
	indexes []indexUse   // guarded by mu; asked for now and then
	asked   time.Time    // guarded by mu
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func share(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}

// snapshot gathers the figures.
func (a *app) snapshot(ctx context.Context) snapshot {
	now := a.totals()
	a.perf.mu.Lock()
	base := a.perf.base
	a.perf.mu.Unlock()
	all := now.all.Sub(base.all)
	s := snapshot{
		Since: base.at, Seconds: now.at.Sub(base.at).Seconds(), UptimeSeconds: now.at.Sub(a.perf.start).Seconds(), Off: []string{},
		Requests: requestFigures{Total: all.N, P50: ms(all.Quantile(0.5)), P95: ms(all.Quantile(0.95)), P99: ms(all.Quantile(0.99))},
		Cache:    a.cacheFigures(now, base), Resilience: a.resilienceFigures(now, base), Memory: memoryNow(now.monitor, base.monitor),
		CDN: a.cdnFigures(now.uploads, base.uploads), Images: imagesSince(now.images, base.images), Database: a.databaseFigures(ctx, now, base),
	}
	s.Switches = a.switched()
	for _, b := range blocks {
		if a.cfg.off[b] {
			s.Off = append(s.Off, b)
		}
	}
	var good uint64
	for _, name := range a.routes.names() {
		n, b := now.routes[name], base.routes[name]
		l := n.latency.Sub(b.latency)
		good += n.good - b.good
		s.Routes = append(s.Routes, routeFigures{name, l.N, n.errors - b.errors, ms(l.Quantile(0.5)), ms(l.Quantile(0.95)), ms(l.Quantile(0.99))})
	}
	s.Requests.GoodShare = share(float64(good), float64(all.N))
	return s
}

func (a *app) cacheFigures(now, base totals) cacheFigures {
	c := now.cache.Sub(base.cache)
	f := cacheFigures{HitRate: c.HitRatio(), Hits: c.Hits, Misses: c.Misses, AverageResponseTime: ms(c.MeanResponse()), Entries: c.Entries, Bytes: c.Bytes, MaxBytes: cacheBytes}
	if hits, misses := now.ttlHits-base.ttlHits, now.ttlMisses-base.ttlMisses; a.ttl != nil {
		f.Hits, f.Misses, f.HitRate = hits, misses, share(float64(hits), float64(hits+misses))
	}
	for _, name := range slices.Sorted(maps.Keys(now.strategies)) {
		s := now.strategies[name].Sub(base.strategies[name])
		f.Strategies = append(f.Strategies, strategyFigures{name, s.HitRatio(), s.Hits, s.Misses, s.StaleHits, ms(s.MeanResponse()), ms(s.MeanLoad())})
	}
	return f
}

func (a *app) resilienceFigures(now, base totals) resilienceFigures {
	f := resilienceFigures{Degraded: now.degraded - base.degraded, LogsSuppressed: now.suppressed - base.suppressed}
	for _, name := range slices.Sorted(maps.Keys(a.upstreams)) {
		s := now.upstreams[name].Sub(base.upstreams[name])
		f.Upstreams = append(f.Upstreams, upstreamFigures{name, a.upstreams[name].breaker(), s.Calls, s.Retries, s.Rejected, s.Failures})
	}
	return f
}

func (a *app) cdnFigures(now, base cdn.Stats) cdnFigures {
	return cdnFigures{
		Provider: a.cdnName, Primary: now.Stored - base.Stored, Fallback: now.FellBack - base.FellBack, Pending: now.Pending,
		Promoted: now.Promoted - base.Promoted, Failed: now.Failed - base.Failed, Deduped: now.Deduped - base.Deduped,
	}
}

func imagesSince(now, base imageopt.Stats) imageFigures {
	f := imageFigures{
		Made: now.Results - base.Results, BytesIn: now.BytesIn - base.BytesIn, BytesOut: now.BytesOut - base.BytesOut,
		Refused: now.TooLarge + now.Unsupported + now.Corrupt + now.Busy - base.TooLarge - base.Unsupported - base.Corrupt - base.Busy,
	}
	f.SavedShare = share(float64(f.BytesIn-f.BytesOut), float64(f.BytesIn))
	return f
}

// getPerformance answers browsers with the page and everybody else with JSON.
func (a *app) getPerformance(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Vary", "Accept")
	if r.URL.Path == "/debug/performance" && strings.Contains(r.Header.Get("Accept"), "text/html") {
		a.page.ServeHTTP(w, r)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(a.snapshot(r.Context()))
}

// deletePerformance sets the counters of the page to zero. The metrics stay: a
// counter there must never fall.
func (a *app) deletePerformance(w http.ResponseWriter, r *http.Request) error {
	if !a.mayReset(r) {
		return fault(http.StatusForbidden, "forbidden", "counters are reset from loopback, or with the token of DEBUG_TOKEN", nil)
	}
	t := a.totals()
	a.perf.mu.Lock()
	a.perf.base = t
	a.perf.mu.Unlock()
	a.page.Reset()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// mayReset tells whether r comes from this machine or knows the token. The name in
// Host is checked too, or a page elsewhere could point its own name at loopback;
// and what a proxy forwards comes from elsewhere.
func (a *app) mayReset(r *http.Request) bool {
	if a.cfg.debugToken != "" && equalSecret(r.Header.Get("Authorization"), "Bearer "+a.cfg.debugToken) {
		return true
	}
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	return isLoopback(r.RemoteAddr) && isLoopback(r.Host)
}

func isLoopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

func (a *app) getHealth(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	if err := a.store.DB().PingContext(ctx); err != nil {
		return fault(http.StatusServiceUnavailable, "database", "the database does not answer", err)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := fmt.Fprintln(w, "ok")
	return err
}
