package main

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// metered is any block: all have the same method, so that one adapter serves them.
type metered interface {
	Metrics() iter.Seq2[string, float64]
}

// writePrometheus writes the figures of all blocks in the text format, grouped by
// family as the format wants it.
func writePrometheus(w io.Writer, blocks []metered) error {
	families := map[string][]string{}
	for name, value := range allMetrics(blocks) {
		family, _, _ := strings.Cut(name, "{")
		families[family] = append(families[family], name+" "+formatValue(value))
	}
	for _, family := range slices.Sorted(maps.Keys(families)) {
		kind := "gauge"
		if strings.HasSuffix(family, "_total") {
			kind = "counter"
		}
		if _, err := fmt.Fprintf(w, "# TYPE %s %s\n%s\n", family, kind, strings.Join(families[family], "\n")); err != nil {
			return err
		}
	}
	return nil
}

func formatValue(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	case math.IsNaN(v):
		return "NaN"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func allMetrics(blocks []metered) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for _, b := range blocks {
			for name, v := range b.Metrics() {
				if !yield(name, v) {
					return
				}
			}
		}
	}
}

func (a *app) getMetrics(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	return writePrometheus(w, a.metered)
}

// getVars is what package expvar serves, without its global registry: the command
// line, the runtime's memory statistics, and every figure of the blocks.
func (a *app) getVars(w http.ResponseWriter, _ *http.Request) error {
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	figures := map[string]any{}
	for name, v := range allMetrics(a.metered) {
		if math.IsInf(v, 0) || math.IsNaN(v) {
			figures[name] = formatValue(v) // JSON has no such numbers
			continue
		}
		figures[name] = v
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"cmdline": os.Args, "memstats": ms, "perfblocks": figures})
}

// Metrics gives the service's own figures in the same form as the blocks do.
func (a *app) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		if !yield("chat_degraded_answers_total", float64(a.degraded.Load())) {
			return
		}
		for _, c := range a.store.Calls() {
			l := fmt.Sprintf("{statement=%q}", c.Name)
			if !yield("chat_db_queries_total"+l, float64(c.Queries)) || !yield("chat_db_query_seconds_total"+l, c.Spent.Seconds()) {
				return
			}
		}
		for _, route := range a.routes.names() {
			c := a.routes.get(route)
			l := fmt.Sprintf("{route=%q}", route)
			n := c.latency.Snapshot()
			if !yield("chat_requests_total"+l, float64(n.N)) || !yield("chat_request_seconds_total"+l, n.Total.Seconds()) ||
				!yield("chat_request_errors_total"+l, float64(c.errors.Load())) ||
				!yield("chat_request_p99_seconds"+l, n.Quantile(0.99).Seconds()) {
				return
			}
		}
	}
}
