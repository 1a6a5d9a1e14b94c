package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDashboards: each metric of the Grafana dashboard and of the alert rules is one
// that /metrics has, label values included.
func TestDashboards(t *testing.T) {
	s := start(t, nil)
	have := map[string]bool{}
	labels := map[string]bool{}
	for line := range strings.Lines(string(s.do("GET", "/metrics", "", nil).body)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		family, rest, _ := strings.Cut(line, "{")
		have[strings.Fields(family)[0]] = true
		for _, pair := range regexp.MustCompile(`\w+="[^"]*"`).FindAllString(rest, -1) {
			labels[pair] = true
		}
	}
	for name, expressions := range map[string][]string{"grafana.json": dashboardQueries(t), "alerts.yml": alertQueries(t)} {
		if len(expressions) < 8 {
			t.Errorf("%s has %d queries; they were not found", name, len(expressions))
		}
		for _, e := range expressions {
			found := regexp.MustCompile(`\b(cache|resilience|memory|cdn|imageopt|chat)_\w+`).FindAllString(e, -1)
			if len(found) == 0 {
				t.Errorf("%s: no metric in %s", name, e)
			}
			for _, m := range found {
				if !have[m] {
					t.Errorf("%s: %s is not in /metrics", name, m)
				}
			}
			for _, pair := range regexp.MustCompile(`\w+="[^"]*"`).FindAllString(e, -1) {
				if !labels[pair] {
					t.Errorf("%s: no metric has the label %s", name, pair)
				}
			}
		}
	}
}

func dashboardQueries(t *testing.T) (out []string) {
	text, err := os.ReadFile("grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			out = append(out, q.Expr)
		}
	}
	return out
}

func alertQueries(t *testing.T) (out []string) {
	text, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if e, ok := strings.CutPrefix(strings.TrimSpace(line), "expr: "); ok {
			out = append(out, e)
		}
	}
	return out
}
