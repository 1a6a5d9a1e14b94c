package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

var sink any

func work(n, size int) {
	for range n {
		sink = make([]byte, size)
	}
}

func report() *Report { return &Report{rounds: 3, batch: time.Millisecond, rows: map[string][]Row{}} }

func TestCompareJudges(t *testing.T) {
	r := report()
	r.Suite("x")
	cheap := Side{Name: "cheap", Op: func(n int) { work(n, 64) }}
	dear := Side{Name: "dear", Op: func(n int) { work(n, 64); work(n, 64<<10) }}
	if err := r.Compare(Comparison{Measure: "good", Sides: []Side{cheap, dear}}, Goal{Peer: "dear", MaxRatio: 1, MaxAllocs: 2}); err != nil {
		t.Fatal(err)
	}
	if n := r.Missed(); n != 0 {
		t.Errorf("cheap against dear: %d goals missed", n)
	}
	if err := r.Compare(Comparison{Measure: "bad", Sides: []Side{dear, cheap}}, Goal{Peer: "cheap", MaxRatio: 1, MaxAllocs: -1}); err != nil {
		t.Fatal(err)
	}
	if n := r.Missed(); n != 2 {
		t.Errorf("dear against cheap: %d goals missed; want 2", n)
	}
	var text, js bytes.Buffer
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "MISSED") || !strings.Contains(text.String(), "2 goals missed") {
		t.Errorf("text: %v\n%s", err, text.String())
	}
	if err := r.WriteJSON(&js); err != nil || !json.Valid(js.Bytes()) {
		t.Errorf("JSON: %v\n%s", err, js.String())
	}
}

func TestUnequalWorkIsRefused(t *testing.T) {
	side := func(v int) Side {
		return Side{Name: "s", Op: func(int) {}, Check: func() (any, error) { return v, nil }}
	}
	if _, err := (Comparison{Measure: "m", Sides: []Side{side(1), side(2)}}).Run(1, time.Millisecond); err == nil {
		t.Error("two sides with different results were timed")
	}
}

func TestAbsoluteGoals(t *testing.T) {
	r := report()
	r.Suite("x")
	side := []Side{{Name: "a", Op: func(n int) { work(n, 64) }}}
	for _, g := range []Goal{{MaxCPU: 1e9}, {MaxCPU: 1e-9}} {
		if err := r.Compare(Comparison{Measure: "m", Sides: side}, g); err != nil {
			t.Fatal(err)
		}
	}
	r.AtMost("m", "MB", 1, 1)
	r.AtMost("m", "MB", 1.01, 1)
	r.AtLeast("m", "share", 0.9, 0.9)
	r.AtLeast("m", "share", 0.89, 0.9)
	if n := r.Missed(); n != 3 {
		t.Errorf("%d goals missed; want 3", n)
	}
}
