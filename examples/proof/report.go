package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// machine is where a run took place.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Date   string `json:"date"`
}

func thisMachine() machine {
	m := machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Kernel: runtime.GOOS, Go: runtime.Version(), Date: time.Now().Format(time.DateOnly)}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel += " " + strings.TrimSpace(string(text))
	}
	return m
}

// markdown writes the tables.
func (r *report) markdown(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "%s, %s, %d cores, %s, %s\n", m.Date, m.CPU, m.Cores, m.Kernel, m.Go)
	fmt.Fprintf(w, "%s users, %s measured after %s, seed %s, Zipf %s, memory limit %s\n\n", r.Plan["users"], r.Plan["measure"], r.Plan["warmup"], r.Plan["seed"], r.Plan["zipf"], r.Plan["limit"])
	fmt.Fprintln(w, "| mode | measured | answers/s | p50 | p95 | p99 | good (n) | bad at most (95 %) | degraded | hits | DB queries | DB time | memory mean / peak / idle | images | page load | uploads: n, p99, fell back, promoted, lost | stale |")
	fmt.Fprintln(w, "|"+strings.Repeat("---|", 17))
	for _, x := range r.Results {
		fmt.Fprintf(w, "| %s | %.0f s | %.0f | %s | %s | %s | %.2f %% (%d) | %.3f %% | %.1f %% | %.1f %% | %d | %.1f s | %s / %s / %s | %s | %s | %d, %s, %d, %d, %d | %d of %d |\n",
			x.Mode, x.Seconds, x.All.PerSecond, msText(x.All.P50), msText(x.All.P95), msText(x.All.P99), 100*x.All.GoodShare(), x.All.N, 100*x.All.Bound(), 100*x.All.DegradedShare(),
			100*x.HitRate, x.Queries, x.DBSeconds, mib(int64(x.Memory.Mean)), mib(x.Memory.Peak), mib(x.Memory.Idle), kib(x.Image), loadText(x), x.Files, msText(x.Uploads.P99), x.FellBack, x.Promoted, x.LostFiles, x.Stale, x.Compared)
	}
	for _, m := range mainModes() {
		if x, ok := r.Sustained[m.name]; ok {
			fmt.Fprintf(w, "\n%s: %d users sustained with 99.9 %% good answers, without faults (%.0f answers/s)%s\n", m.name, x.Users, x.PerSecond, map[bool]string{true: ", stale ones forgiven"}[m.base])
		}
	}
	r.writeGoals(w)
	for _, f := range r.Failed {
		fmt.Fprintln(w, "FAILED,", f)
	}
	if r.Interrupted {
		fmt.Fprintln(w, "INTERRUPTED: this is what had been measured")
	}
	for _, x := range r.Results {
		for _, n := range x.Notes[max(len(x.Notes)-4, 0):] { // the last ones say the most; all are in the JSON
			fmt.Fprintf(w, "note, %s: %s\n", x.Mode, n)
		}
	}
}

func (r *report) writeGoals(w io.Writer) {
	fmt.Fprintln(w, "\n| goal | figure | wanted | |\n|---|---|---|---|")
	for _, g := range r.Goals {
		value := "–"
		if g.Measured {
			value = fmt.Sprintf("%.4g", g.Value)
		}
		fmt.Fprintf(w, "| %s | %s | %s %.4g | %s |\n", g.Text, value, map[bool]string{true: "≤", false: "≥"}[g.Most], g.Want, g.verdict())
	}
	claims := r.claims()
	if len(claims) == 0 {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintln(w, "\n| claim of the write-up | against off | against fk |\n|---|---|---|")
	for _, c := range claims {
		fmt.Fprintf(w, "| %s | %s | %s |\n", c.text, c.off, c.fk)
	}
	fmt.Fprintln(w)
}

// missed counts the judged goals that were not met.
func (r *report) missed() (n int) {
	for _, g := range r.Goals {
		if g.Judged && !g.met() {
			n++
		}
	}
	return n
}

// What is zero was not measured: nothing takes no time or memory.

func msText(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.3g ms", ms(d))
}

func mib(n int64) string { return size(float64(n)/(1<<20), "MiB") }
func kib(n int64) string { return size(float64(n)/1024, "KiB") }

func size(n float64, unit string) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f %s", n, unit)
}

func loadText(x result) string {
	if x.PageLoad <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f s (%s)", x.PageLoad.Seconds(), cmp.Or(x.Loader, "?"))
}
