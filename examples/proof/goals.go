package main

import (
	"cmp"
	"fmt"
	"time"
)

// goal is a figure that a full run judges.
type goal struct {
	Text     string  `json:"goal"`
	Value    float64 `json:"value"`
	Want     float64 `json:"want"`
	Most     bool    `json:"most"` // want is an upper bound
	Measured bool    `json:"measured"`
	Judged   bool    `json:"judged"`
	Why      string  `json:"whyNot,omitempty"`
}

func (g goal) met() bool {
	if g.Most {
		return g.Value <= g.Want
	}
	return g.Value >= g.Want
}

func (g goal) verdict() string {
	switch {
	case !g.Measured:
		return "not measured: " + g.Why
	case !g.Judged:
		return "not judged, " + g.Why
	case g.met():
		return "met"
	}
	return "MISSED"
}

// report is everything that a run found.
type report struct {
	Machine     machine              `json:"machine"`
	Plan        map[string]string    `json:"plan"`
	Results     []result             `json:"results"`
	Sustained   map[string]sustained `json:"usersSustained,omitempty"`
	Goals       []goal               `json:"goals"`
	Full        bool                 `json:"full"`
	Faults      bool                 `json:"faults"`
	Failed      []string             `json:"failed,omitempty"` // what could not be measured, and why
	Interrupted bool                 `json:"interrupted,omitempty"`
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

// judge fills in the goals. One that the run has no figure for says why.
func (r *report) judge() {
	off, _ := r.mode("off")
	fk, _ := r.mode("fk")
	all, _ := r.mode("all")
	n := fmt.Sprintf("n=%d", all.All.N)
	// add takes the reason why the figure is missing, "" if it is there.
	add := func(text string, value, want float64, most bool, missing string) *goal {
		g := goal{Text: text, Want: want, Most: most, Why: missing}
		if g.Measured = missing == ""; g.Measured {
			g.Value, g.Judged, g.Why = value, r.Full, n
		}
		r.Goals = append(r.Goals, g)
		return &r.Goals[len(r.Goals)-1]
	}
	ran, lived, faulty := r.missing(false, "all"), r.missing(true, "all"), r.missing(false, "all")
	if !r.Faults {
		faulty = cmp.Or(faulty, "no faults were played")
	}
	both := r.missing(true, "fk", "all")
	perAnswer := func(x result) float64 { return x.DBSeconds / float64(max(x.Answered, 1)) }
	add("services of all blocks that ended before they were told to", map[bool]float64{true: 1}[all.Died], 0, true, ran)
	add("hit rate", all.HitRate, 0.88, false, ran)
	add("stale reads after an acknowledged write", float64(all.Stale), 0, true, ran)
	add("database time an answer, against fk", ratio(perAnswer(all), perAnswer(fk)), 0.5, true, r.missing(false, "fk", "all"))
	add("database time an answer, against off", ratio(perAnswer(all), perAnswer(off)), 0.15, true, cmp.Or(r.missing(false, "off", "all"), unless(off.Answered > 0, "off gave no answer")))
	r.judgeSustained(add)
	good := add("good answers", all.All.GoodShare(), 0.9995, false, faulty)
	good.Judged = good.Judged && all.All.N >= minAnswers
	add("degraded answers", all.All.DegradedShare(), 0.02, true, faulty)
	add("p99 under faults, ms", ms(all.All.P99), 300, true, faulty)
	add("peak of the memory against the limit", ratio(float64(all.Memory.Peak), float64(all.Memory.Limit)), 1, true, cmp.Or(ran, unless(all.Memory.Limit > 0, "no control group could be made")))
	add("mean memory against fk", ratio(all.Memory.Mean, fk.Memory.Mean), 0.6, true, cmp.Or(both, unless(all.Memory.Mean > 0 && fk.Memory.Mean > 0, "memory could not be read")))
	add("image bytes against fk", ratio(float64(all.Image), float64(fk.Image)), 0.25, true, cmp.Or(both, unless(all.Image > 0 && fk.Image > 0, "a photo could not be read")))
	add("page load time against fk", ratio(float64(all.PageLoad), float64(fk.PageLoad)), 0.4, true, cmp.Or(both, unless(all.PageLoad > 0 && fk.PageLoad > 0, "the page was not loaded in Chromium")))
	add(fmt.Sprintf("share of a core that %d viewers of the live page take", viewers), all.PageCPU, 0.01, true, cmp.Or(lived, unless(all.IdleCPU > 0, "the CPU time could not be read")))
	add("uploads that cannot be read", float64(all.LostFiles), 0, true, lived)
	r.judgeAdverse(add)
}

// addGoal adds a goal, or the reason why it has no figure.
type addGoal func(text string, value, want float64, most bool, missing string) *goal

func (r *report) judgeSustained(add addGoal) {
	all, have := r.Sustained["all"]
	fk, haveFK := r.Sustained["fk"]
	missing := unless(have, r.notThere())
	add("users sustained", float64(all.Users), 2400, false, missing)
	add("users sustained against fk", float64(all.Users)/float64(max(fk.Users, leastUsers)), 2, false, cmp.Or(missing, unless(haveFK, r.notThere())))
	add("answers per second at most", all.PerSecond, 900, false, missing)
}

func (r *report) judgeAdverse(add addGoal) {
	plain, _ := r.mode("adverse-plain")
	all, _ := r.mode("adverse-all")
	missing := r.missing(true, "adverse-plain", "adverse-all")
	add("adverse load: answers per second against the same indexes without the other blocks", ratio(all.All.PerSecond, plain.All.PerSecond), 0.95, false, missing)
}

// missing tells which of the modes there is no figure of, or which did not live to the
// end if that matters; "" if all is there.
func (r *report) missing(toTheEnd bool, modes ...string) string {
	for _, name := range modes {
		x, ok := r.mode(name)
		if !ok {
			return r.notThere()
		}
		if toTheEnd && x.Died {
			return name + " was gone before the end"
		}
	}
	return ""
}

// notThere is why a part of the run is missing.
func (r *report) notThere() string {
	switch {
	case r.Interrupted:
		return "the run was interrupted"
	case len(r.Failed) > 0:
		return "it failed, see below"
	}
	return "not part of this run"
}

func unless(ok bool, why string) string {
	if ok {
		return ""
	}
	return why
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
	both("150–250 requests a second", func(b result) string {
		good := fmt.Sprintf("%.0f at %.2f %% good, was %.0f at %.2f %%", all.All.PerSecond, 100*all.All.GoodShare(), b.All.PerSecond, 100*b.All.GoodShare())
		return good + ": " + holds(all.All.PerSecond >= 150 && all.All.GoodShare() >= 0.999)
	})
	both("500–800 concurrent users", func(b result) string {
		good := fmt.Sprintf("%d at %.2f %% good", all.Users, 100*all.All.GoodShare())
		return good + ": " + holds(all.Users >= 500 && all.All.GoodShare() >= 0.999)
	})
	return out
}
