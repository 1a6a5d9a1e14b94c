package cache

import (
	"iter"
	"strings"
	"time"
)

// Metrics yields the figures of all strategies as Prometheus samples: a name with
// its labels, such as cache_hits_total{cache="main",strategy="user_data"}, and a
// value in base units (seconds, bytes). Names ending in _total only grow. Each range
// over it reads afresh.
func (c *Cache) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		label := `{cache="` + escapeLabel(c.opts.Name) + `"`
		for name, st := range c.Strategies() {
			labels := label + `,strategy="` + escapeLabel(name) + `"}`
			for _, m := range st.samples() {
				if !yield("cache_"+m.name+labels, m.value) {
					return
				}
			}
		}
		st := c.Stats()
		_ = yield("cache_tags"+label+"}", float64(st.Tags)) &&
			yield("cache_remote_errors_total"+label+"}", float64(st.RemoteErrors)) &&
			yield("cache_max_bytes"+label+"}", float64(c.opts.MaxBytes)) &&
			yield("cache_max_entries"+label+"}", float64(c.opts.MaxEntries))
	}
}

type sample struct {
	name  string
	value float64
}

func (s Stats) samples() []sample {
	seconds := func(d time.Duration) float64 { return d.Seconds() }
	return []sample{
		{"hits_total", float64(s.Hits)},
		{"misses_total", float64(s.Misses)},
		{"negative_hits_total", float64(s.NegativeHits)},
		{"stale_hits_total", float64(s.StaleHits)},
		{"remote_hits_total", float64(s.RemoteHits)},
		{"loads_total", float64(s.Loads)},
		{"load_errors_total", float64(s.LoadErrors)},
		{"refreshes_total", float64(s.Refreshes)},
		{"discarded_total", float64(s.Discarded)},
		{"invalidations_total", float64(s.Invalidations)},
		{"evictions_total", float64(s.Evictions)},
		{"expired_total", float64(s.Expired)},
		{"deleted_total", float64(s.Deleted)},
		{"replaced_total", float64(s.Replaced)},
		{"swept_total", float64(s.Swept)},
		{"decode_errors_total", float64(s.DecodeErrors)},
		{"load_seconds_total", seconds(s.LoadTime)},
		{"response_seconds_total", seconds(s.ResponseTime)},
		{"load_p50_seconds", seconds(s.LoadTimeP50)},
		{"load_p99_seconds", seconds(s.LoadTimeP99)},
		{"entries", float64(s.Entries)},
		{"bytes", float64(s.Bytes)},
		{"saved_bytes", float64(s.SavedBytes)},
	}
}

// escapeLabel makes s fit between the quotes of a label.
func escapeLabel(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "?"))
}
