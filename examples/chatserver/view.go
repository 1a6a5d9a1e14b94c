package main

import (
	"context"
	"fmt"
	"time"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/perfpage"
	"github.com/perfblocks/perfblocks/memory"
)

// view makes the page's texts of a snapshot. Everything is formatted here, so that
// the first paint and the later events cannot differ.
func (a *app) view(ctx context.Context) perfpage.View {
	s := a.snapshot(ctx)
	rps, second := a.lastSecond()
	v := perfpage.View{
		Time: time.Now().Unix(),
		Values: map[string]string{
			"rps": fmt.Sprintf("%.1f", rps), "good": percent(s.Requests.GoodShare), "uptime": (time.Duration(s.UptimeSeconds) * time.Second).String(),
			"hit": percent(s.Cache.HitRate), "entries": fmt.Sprint(s.Cache.Entries), "cachebytes": bytesText(s.Cache.Bytes) + " of " + bytesText(s.Cache.MaxBytes),
			"degraded": fmt.Sprint(s.Resilience.Degraded), "suppressed": fmt.Sprint(s.Resilience.LogsSuppressed),
			"memused": bytesText(s.Memory.Used) + " of " + bytesText(s.Memory.Limit), "memlimit": s.Memory.LimitSource, "heap": bytesText(s.Memory.Heap),
			"gc": percent(s.Memory.GCCPUShare), "goroutines": fmt.Sprint(s.Memory.Goroutines), "shrunk": bytesText(s.Memory.Freed),
			"provider": s.CDN.Provider, "primary": fmt.Sprint(s.CDN.Primary), "fallback": fmt.Sprint(s.CDN.Fallback),
			"pending": fmt.Sprint(s.CDN.Pending), "promoted": fmt.Sprint(s.CDN.Promoted),
			"saved": percent(s.Images.SavedShare), "imgin": bytesText(s.Images.BytesIn), "imgout": bytesText(s.Images.BytesOut),
			"imgmade": fmt.Sprint(s.Images.Made), "imgrefused": fmt.Sprint(s.Images.Refused),
			"dbkind": s.Database.Kind, "queries": fmt.Sprint(s.Database.Queries), "dbtime": fmt.Sprintf("%.2f s", s.Database.Seconds),
			"dbmean": fmt.Sprintf("%.2f ms", 1000*share(s.Database.Seconds, float64(s.Database.Queries))), "dbnote": s.Database.Note,
		},
		States: map[string]perfpage.State{
			"cache":  a.blockState("cache"),
			"memory": levelState(s.Memory.Level),
			"cdn":    cdnState(s.CDN),
		},
		Tables: map[string][]perfpage.Row{},
		Points: map[string][]float64{
			"latency": second, "hit": {100 * s.Cache.HitRate},
			"memory": {float64(s.Memory.Used) / (1 << 20), float64(s.Memory.Heap) / (1 << 20)},
		},
	}
	for name, on := range s.Switches {
		v.States["switch-"+name] = perfpage.State{Text: map[bool]string{false: "well", true: "broken"}[on], Class: map[bool]string{false: "ok", true: "bad"}[on]}
	}
	fillTables(v.Tables, s)
	return v
}

func fillTables(t map[string][]perfpage.Row, s snapshot) {
	row := func(id, class string, cells ...any) {
		texts := make([]string, len(cells))
		for i, c := range cells {
			if f, ok := c.(float64); ok {
				texts[i] = fmt.Sprintf("%.2f ms", f)
			} else {
				texts[i] = fmt.Sprint(c)
			}
		}
		t[id] = append(t[id], perfpage.Row{Cells: texts, Class: class})
	}
	for _, r := range s.Routes {
		class := ""
		if r.Errors > 0 {
			class = "warn"
		}
		row("routes", class, r.Route, r.Total, r.P50, r.P95, r.P99, r.Errors)
	}
	for _, c := range s.Cache.Strategies {
		row("strategies", "", c.Name, percent(c.HitRate), c.Hits, c.Misses, c.Stale, c.AverageResponseTime)
	}
	for _, u := range s.Resilience.Upstreams {
		row("breakers", map[string]string{"closed": "ok", "half_open": "warn", "open": "bad"}[u.Breaker], u.Name, u.Breaker, u.Calls, u.Retries, u.Rejected)
	}
	for _, x := range s.Database.Statements {
		row("statements", "", x.Name, x.Queries, percent(share(x.Seconds, s.Database.Seconds)), 1000*share(x.Seconds, float64(x.Queries)))
	}
	for _, x := range s.Database.Indexes {
		row("indexes", map[bool]string{true: "ok", false: "warn"}[x.Good], x.Name, x.Use)
	}
}

// lastSecond is the rate of requests since the call before, and their p50, p95
// and p99 in milliseconds.
func (a *app) lastSecond() (rps float64, percentiles []float64) {
	now, at := a.routes.all.Snapshot(), time.Now()
	a.perf.mu.Lock()
	defer a.perf.mu.Unlock()
	d := now.Sub(a.perf.last)
	if s := at.Sub(a.perf.lastAt).Seconds(); s > 0 {
		rps = float64(d.N) / s
	}
	a.perf.last, a.perf.lastAt = now, at
	return rps, []float64{ms(d.Quantile(0.5)), ms(d.Quantile(0.95)), ms(d.Quantile(0.99))}
}

func memoryNow(now, base memory.MonitorStats) memoryFigures {
	m := now.Memory
	return memoryFigures{
		Level: now.Level.String(), Used: m.Used, Limit: m.Limit, LimitSource: m.LimitSource.String(), Heap: m.HeapLive,
		RSS: m.RSS, GCCPUShare: m.GCCPU, Goroutines: int64(m.Goroutines), Freed: now.Freed - base.Freed,
	}
}

func (a *app) blockState(block string) perfpage.State {
	if a.cfg.off[block] {
		return perfpage.State{Text: "off", Class: "warn"}
	}
	return perfpage.State{Text: "on", Class: "ok"}
}

func levelState(level string) perfpage.State {
	return perfpage.State{Text: level, Class: map[string]string{"normal": "ok", "high": "warn", "critical": "bad"}[level]}
}

func cdnState(c cdnFigures) perfpage.State {
	if c.Pending > 0 {
		return perfpage.State{Text: fmt.Sprintf("%d waiting here", c.Pending), Class: "warn"}
	}
	return perfpage.State{Text: "all at the CDN", Class: "ok"}
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// bytesText is n in the largest binary unit of which there is at least one.
func bytesText(n int64) string {
	f, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; i < len(units)-1 && (f >= 1024 || f <= -1024); i++ {
		f /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}
