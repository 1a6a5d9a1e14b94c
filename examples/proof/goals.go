package main

import (
	"fmt"
	"time"
)

// goal is a figure that a full run judges.
type goal struct {
	Text   string  `json:"goal"`
	Value  float64 `json:"value"`
	Want   float64 `json:"want"`
	Most   bool    `json:"most"` // want is an upper bound
	Judged bool    `json:"judged"`
	Why    string  `json:"whyNot,omitempty"`
}

func (g goal) met() bool {
	if g.Most {
		return g.Value <= g.Want
	}
	return g.Value >= g.Want
}

func (g goal) verdict() string {
	switch {
	case !g.Judged:
		return "not judged, " + g.Why
	case g.met():
		return "met"
	}
	return "MISSED"
}

// report is everything that a run found.
type report struct {
	Machine   machine           `json:"machine"`
	Plan      map[string]string `json:"plan"`
	Results   []result          `json:"results"`
	Sustained map[string]int    `json:"usersSustained,omitempty"`
	Goals     []goal            `json:"goals"`
	Full      bool              `json:"full"`
}

func (r *report) mode(name string) (result, bool) {
	for _, x := range r.Results {
		if x.Mode == name {
			return x, true
		}
	}
	return result{}, false
}

// minAnswers is how many answers a share of good ones is judged by.
const minAnswers = 20_000

// judge fills in the goals that the run has figures for.
func (r *report) judge() {
	off, haveOff := r.mode("off")
	fk, haveFK := r.mode("fk")
	all, haveAll := r.mode("all")
	if !haveAll || !haveFK || !haveOff || all.Died || fk.Died {
		return
	}
	n := fmt.Sprintf("n=%d", all.All.N)
	add := func(text string, value, want float64, most bool) {
		r.Goals = append(r.Goals, goal{Text: text, Value: value, Want: want, Most: most, Judged: r.Full, Why: n})
	}
	perAnswer := func(x result) float64 { return x.DBSeconds / float64(max(x.All.N, 1)) }
	add("hit rate", all.HitRate, 0.88, false)
	add("stale reads after an acknowledged write", float64(all.Stale), 0, true)
	add("database time against fk", ratio(perAnswer(all), perAnswer(fk)), 0.5, true)
	if !off.Died {
		add("database time against off", ratio(perAnswer(all), perAnswer(off)), 0.15, true)
	}
	r.judgeSustained(add)
	add("good answers", all.All.GoodShare(), 0.9995, false)
	r.Goals[len(r.Goals)-1].Judged = r.Full && all.All.N >= minAnswers
	add("degraded answers", all.All.DegradedShare(), 0.02, true)
	add("p99 under faults, ms", ms(all.All.P99), 300, true)
	if all.Memory.Limit > 0 {
		add("peak of the memory against the limit", float64(all.Memory.Peak)/float64(all.Memory.Limit), 1, true)
	}
	add("mean memory against fk", ratio(all.Memory.Mean, fk.Memory.Mean), 0.6, true)
	add("image bytes against fk", ratio(float64(all.Image), float64(fk.Image)), 0.25, true)
	if all.PageLoad > 0 && fk.PageLoad > 0 {
		add("page load time against fk", ratio(float64(all.PageLoad), float64(fk.PageLoad)), 0.4, true)
	}
	if all.PageCPU > 0 {
		add(fmt.Sprintf("share of a core for %d viewers of the live page", viewers), all.PageCPU, 0.01, true)
	}
	add("uploads that cannot be read", float64(all.LostFiles), 0, true)
	base, ok1 := r.mode("adverse-fk")
	adverse, ok2 := r.mode("adverse-all")
	if ok1 && ok2 {
		add("adverse load: answers per second against fk", ratio(adverse.All.PerSecond, base.All.PerSecond), 0.95, false)
	}
}

func (r *report) judgeSustained(add func(string, float64, float64, bool)) {
	if r.Sustained == nil {
		return
	}
	add("users sustained", float64(r.Sustained["all"]), 2400, false)
	add("users sustained against fk", ratio(float64(r.Sustained["all"]), float64(r.Sustained["fk"])), 2, false)
	add("answers per second at most", float64(r.Sustained["all per second"]), 900, false)
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// claim is what the write-up that this module grew out of said.
type claim struct{ text, off, fk string }

// claims compares the write-up with the run, against both baselines.
func (r *report) claims() (out []claim) {
	off, haveOff := r.mode("off")
	fk, haveFK := r.mode("fk")
	all, haveAll := r.mode("all")
	if !haveOff || !haveFK || !haveAll {
		return nil
	}
	both := func(text string, f func(base result) string) {
		of := func(base result) string {
			if base.Died {
				return "not comparable: the service was gone before the end"
			}
			return f(base)
		}
		out = append(out, claim{text, of(off), of(fk)})
	}
	mean := func(x result) time.Duration {
		return time.Duration(x.DBSeconds / float64(max(x.Queries, 1)) * float64(time.Second))
	}
	holds := func(ok bool) string { return map[bool]string{true: "holds", false: "does not hold"}[ok] }
	both("queries 3–5x faster", func(b result) string {
		x := ratio(float64(mean(b)), float64(mean(all)))
		return fmt.Sprintf("%.1fx: %s", x, holds(x >= 3))
	})
	both("images 75 % smaller and faster", func(b result) string {
		x := 1 - ratio(float64(all.Image), float64(b.Image))
		return fmt.Sprintf("%.0f %% of the bytes: %s", 100*x, holds(x >= 0.75))
	})
	both("40–50 % less memory", func(b result) string {
		x := 1 - ratio(all.Memory.Mean, b.Memory.Mean)
		return fmt.Sprintf("%.0f %%: %s", 100*x, holds(x >= 0.4))
	})
	both("99.9 % uptime", func(b result) string {
		return fmt.Sprintf("%.2f %% good, was %.2f %%: %s", 100*all.All.GoodShare(), 100*b.All.GoodShare(), holds(all.All.GoodShare() >= 0.999))
	})
	both("hit rate 60 → 85 %", func(b result) string {
		return fmt.Sprintf("%.0f → %.0f %%: %s", 100*b.HitRate, 100*all.HitRate, holds(all.HitRate >= 0.85))
	})
	both("500–800 concurrent users", func(b result) string {
		good := fmt.Sprintf("%d at %.2f %% good", all.Users, 100*all.All.GoodShare())
		return good + ": " + holds(all.Users >= 500 && all.All.GoodShare() >= 0.999)
	})
	return out
}
