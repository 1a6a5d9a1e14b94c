package recipes_test

import (
	"encoding/json"
	"expvar"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/perfblocks/perfblocks/memory"
)

// metered is any block: all have this method, with names that Prometheus takes.
type metered interface {
	Metrics() iter.Seq2[string, float64]
}

// prometheus answers a scrape with the figures of some blocks. Samples of one family
// stand together, as the text format wants it.
func prometheus(blocks ...metered) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		families := map[string][]string{}
		for _, b := range blocks {
			for name, value := range b.Metrics() {
				family, _, _ := strings.Cut(name, "{")
				families[family] = append(families[family], fmt.Sprintf("%s %g\n", name, value))
			}
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for _, family := range slices.Sorted(func(yield func(string) bool) {
			for f := range families {
				if !yield(f) {
					return
				}
			}
		}) {
			kind := "gauge"
			if strings.HasSuffix(family, "_total") {
				kind = "counter"
			}
			fmt.Fprintf(w, "# TYPE %s %s\n%s", family, kind, strings.Join(families[family], ""))
		}
	})
}

// vars shows the figures of a block in /debug/vars, read afresh each time.
func vars(b metered) expvar.Func {
	return func() any {
		return maps.Collect(b.Metrics())
	}
}

func exampleBlock() *memory.Cache[string, int] {
	c, err := memory.NewCache(memory.CacheOptions[string, int]{Name: "prices", MaxItems: 10})
	check(err)
	check(c.Set("tea", 42))
	c.Get("tea")
	return c
}

func Example_prometheus() {
	c := exampleBlock()
	defer c.Close()
	w := httptest.NewRecorder()
	prometheus(c).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text, err := io.ReadAll(w.Body)
	check(err)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "hits") {
			fmt.Print(line)
		}
	}
	// Output:
	// # TYPE memory_cache_hits_total counter
	// memory_cache_hits_total{cache="prices"} 1
}

func Example_expvar() {
	c := exampleBlock()
	defer c.Close()
	var figures map[string]float64
	check(json.Unmarshal([]byte(vars(c).String()), &figures))
	fmt.Println(len(figures) > 5)
	// Output:
	// true
}
