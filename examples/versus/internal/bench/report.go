package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Value is a named figure.
type Value struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Row is one line of the report: a figure of ours beside those of the peers. The
// zero Goal is no goal.
type Row struct {
	Measure string  `json:"measure"`
	Unit    string  `json:"unit"`
	Ours    float64 `json:"ours"`
	Spread  string  `json:"spread,omitempty"`
	Peers   []Value `json:"peers,omitempty"`
	Ratio   float64 `json:"ratio,omitempty"` // ours to the peer of the goal
	Goal    string  `json:"goal,omitempty"`
	OK      bool    `json:"ok"`
	Note    string  `json:"note,omitempty"`
}

// Report collects the rows of a run and prints them.
type Report struct {
	// Full asks for everything; otherwise a run stays short.
	Full   bool
	rounds int
	batch  time.Duration
	rows   map[string][]Row
	order  []string
	suite  string
}

// NewReport returns an empty report.
func NewReport(full bool) *Report {
	r := &Report{Full: full, rounds: 11, batch: 20 * time.Millisecond, rows: map[string][]Row{}}
	if full {
		r.rounds, r.batch = 31, 100*time.Millisecond
	}
	return r
}

// Suite begins the rows of a package.
func (r *Report) Suite(name string) {
	r.suite = name
	r.order = append(r.order, name)
}

// Add adds a row.
func (r *Report) Add(row Row) { r.rows[r.suite] = append(r.rows[r.suite], row) }

// Goal bounds our cost, by that of a peer or by itself. Zero fields are not judged.
type Goal struct {
	MaxCPU    float64 // nanoseconds per operation
	Peer      string
	MaxRatio  float64 // of CPU time
	MaxAllocs float64 // per operation; negative means none at all
}

// Compare measures c, whose first side is ours, and adds a row for CPU time, judged
// by each goal, and one for allocations.
func (r *Report) Compare(c Comparison, goals ...Goal) error {
	results, err := c.Run(r.rounds, r.batch)
	if err != nil {
		return err
	}
	ours := results[0]
	cpu := Row{Measure: c.Measure, Unit: "CPU ns/op", Ours: ours.Median.CPU, OK: true, Spread: fmt.Sprintf("%.3g–%.3g", ours.Quartile[0], ours.Quartile[1])}
	allocs := Row{Measure: c.Measure, Unit: "allocs/op", Ours: ours.Median.Allocs, OK: true}
	for _, p := range results[1:] {
		cpu.Peers = append(cpu.Peers, Value{p.Name, p.Median.CPU})
		allocs.Peers = append(allocs.Peers, Value{p.Name, p.Median.Allocs})
	}
	var cpuGoals, allocGoals []string
	for _, g := range goals {
		if g.MaxCPU > 0 {
			cpu.OK = cpu.OK && ours.Median.CPU <= g.MaxCPU
			cpuGoals = append(cpuGoals, fmt.Sprintf("≤ %.6g", g.MaxCPU))
		}
		for _, p := range results[1:] {
			if p.Name == g.Peer && g.MaxRatio > 0 {
				cpu.Ratio = Ratio(ours, p)
				cpu.OK = cpu.OK && cpu.Ratio <= g.MaxRatio
				cpuGoals = append(cpuGoals, fmt.Sprintf("%.3g ≤ %.3g× %s", cpu.Ratio, g.MaxRatio, p.Name))
			}
		}
		if g.MaxAllocs != 0 {
			most := max(g.MaxAllocs, 0)
			allocs.OK = allocs.OK && ours.Median.Allocs <= most+0.01 // the runtime's own now and then
			allocGoals = append(allocGoals, fmt.Sprintf("≤ %g", most))
		}
	}
	cpu.Goal, allocs.Goal = strings.Join(cpuGoals, ", "), strings.Join(allocGoals, ", ")
	r.Add(cpu)
	r.Add(allocs)
	return nil
}

// AtMost adds a row whose figure is to be at most limit.
func (r *Report) AtMost(measure, unit string, figure, limit float64, peers ...Value) {
	r.Add(Row{Measure: measure, Unit: unit, Ours: figure, Goal: fmt.Sprintf("≤ %.4g", limit), OK: figure <= limit, Peers: peers})
}

// AtLeast adds a row whose figure is to be at least limit.
func (r *Report) AtLeast(measure, unit string, figure, limit float64, peers ...Value) {
	r.Add(Row{Measure: measure, Unit: unit, Ours: figure, Goal: fmt.Sprintf("≥ %.4g", limit), OK: figure >= limit, Peers: peers})
}

// Missed is the number of rows whose goal was missed.
func (r *Report) Missed() (n int) {
	for _, rows := range r.rows {
		for _, row := range rows {
			if row.Goal != "" && !row.OK {
				n++
			}
		}
	}
	return n
}

// environment describes where and with what the figures were made.
func (r *Report) environment() map[string]string {
	env := map[string]string{
		"go": runtime.Version(), "system": runtime.GOOS + "/" + runtime.GOARCH, "processors": fmt.Sprint(runtime.NumCPU()), "processor": processor(),
		"rounds": fmt.Sprintf("%d of %v", r.rounds, r.batch), "date": time.Now().UTC().Format(time.DateOnly),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			env[m.Path] = m.Version
		}
	}
	return env
}

// Machine tells where and with what figures are made, and when.
func Machine() string {
	return fmt.Sprintf("%s, %s/%s, %d × %s, %s", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor(), time.Now().UTC().Format(time.DateOnly))
}

// WriteJSON writes environment and rows.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"environment": r.environment(), "suites": r.rows, "missed": r.Missed()})
}

// WriteText writes a Markdown table for each suite.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	env := r.environment()
	fmt.Fprintf(&b, "%s, %s, %s × %s, %s rounds, %s\n", env["go"], env["system"], env["processors"], env["processor"], env["rounds"], env["date"])
	for _, suite := range r.order {
		fmt.Fprintf(&b, "\n## %s\n| measure | unit | ours | peers | goal | ok |\n|---|---|---|---|---|---|\n", suite)
		for _, row := range r.rows[suite] {
			peers := make([]string, len(row.Peers))
			for i, p := range row.Peers {
				peers[i] = fmt.Sprintf("%s %s", p.Name, number(p.Value))
			}
			ours, ok := number(row.Ours), ""
			if row.Spread != "" {
				ours += " (" + row.Spread + ")"
			}
			if row.Goal != "" {
				ok = map[bool]string{true: "ok", false: "MISSED"}[row.OK]
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.Measure, row.Unit, ours, strings.Join(peers, ", "), row.Goal, ok)
			if row.Note != "" {
				fmt.Fprintf(&b, "| | | %s | | | |\n", row.Note)
			}
		}
	}
	fmt.Fprintf(&b, "\n%d goals missed\n", r.Missed())
	_, err := io.WriteString(w, b.String())
	return err
}

func number(v float64) string {
	if v != 0 && (v < 0.01 && v > -0.01) {
		return "0.00" // the runtime's own, spread over many operations
	}
	if v == float64(int64(v)) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
