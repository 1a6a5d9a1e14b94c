package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/examples/versus/internal/curve"
)

// costCurve is what the blocks of one package cost against how much there is.
type costCurve struct {
	name string // of the package, and of the files
	draw func(*bench.Report, *curves) (*curve.Figure, error)
}

// costCurves are the curves, by package.
func costCurves() []costCurve {
	return []costCurve{{"cache", cacheCurve}, {"cdn", cdnCurve}, {"dbindex", dbindexCurve}, {"imageopt", imageoptCurve}}
}

// curves is how the curves are measured.
type curves struct {
	dir   string // for the files
	small bool   // for tests: few sizes, and only to see that all goes well
}

// sizes returns those of a curve: short ones and, in a full run, more.
func (c *curves) sizes(r *bench.Report, short []int, full ...int) []int {
	switch {
	case c.small:
		return short[:2]
	case r.Full:
		return append(short, full...)
	}
	return short
}

// runCurves measures the curves of the packages and writes each as SVG and as CSV.
func runCurves(r *bench.Report, c *curves, only string) error {
	var names []string
	for _, cc := range costCurves() {
		names = append(names, cc.name)
	}
	wanted := names
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, n := range wanted {
		if !slices.Contains(names, n) {
			return fmt.Errorf("there is no curve of %q; there are %s", n, strings.Join(names, ", "))
		}
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	var errs []error
	for _, cc := range costCurves() {
		if !slices.Contains(wanted, cc.name) {
			continue
		}
		r.Suite("curves of " + cc.name)
		start := time.Now()
		if err := c.write(r, cc); err != nil {
			errs = append(errs, fmt.Errorf("curves of %s: %w", cc.name, err))
		}
		fmt.Fprintf(os.Stderr, "versus: curves of %s: %.0f s\n", cc.name, time.Since(start).Seconds())
	}
	return errors.Join(errs...)
}

// write measures one curve and writes its files.
func (c *curves) write(r *bench.Report, cc costCurve) error {
	f, err := cc.draw(r, c)
	if err != nil {
		return err
	}
	f.Machine = bench.Machine() + ", " + roundsOf(f) + "; whiskers: quartiles"
	var svg, points bytes.Buffer
	if err := errors.Join(f.WriteSVG(&svg), f.WriteCSV(&points)); err != nil {
		return err
	}
	name := filepath.Join(c.dir, cc.name)
	return errors.Join(os.WriteFile(name+".svg", svg.Bytes(), 0o644), os.WriteFile(name+".csv", points.Bytes(), 0o644))
}

// roundsOf tells how many rounds the medians of a figure are of.
func roundsOf(f *curve.Figure) string {
	least, most := 0, 0
	for _, p := range f.Panels {
		for _, l := range p.Lines {
			for _, pt := range l.Points {
				if least == 0 || pt.Rounds < least {
					least = pt.Rounds
				}
				most = max(most, pt.Rounds)
			}
		}
	}
	if least == most {
		return fmt.Sprintf("medians of %d rounds in turns", most)
	}
	return fmt.Sprintf("medians of %d to %d rounds in turns", least, most)
}

// growth adds a row: what the first of the named lines of a panel costs at its largest size, as a
// multiple of what it costs at a smaller one, beside the other lines.
func growth(r *bench.Report, p *curve.Panel, names []string, from int, most float64) {
	ours := p.Line(names[0]).Points
	if len(ours) < 2 {
		return
	}
	last := ours[len(ours)-1]
	ratio := func(name string) float64 {
		a, ok := p.Line(name).At(float64(from))
		b, ok2 := p.Line(name).At(last.X)
		if !ok || !ok2 {
			return 0
		}
		return b.Y / a.Y
	}
	row := bench.Row{
		Measure: fmt.Sprintf("%s, %s: at %.0f to at %d", p.Title, names[0], last.X, from), Unit: "×", Ours: ratio(names[0]),
		Goal: fmt.Sprintf("≤ %.4g", most),
	}
	row.OK = row.Ours > 0 && row.Ours <= most
	for _, n := range names[1:] {
		if v := ratio(n); v > 0 {
			row.Peers = append(row.Peers, bench.Value{Name: n, Value: v})
		}
	}
	r.Add(row)
}

// leftOut adds a row that says what was not measured, and why.
func leftOut(r *bench.Report, f *curve.Figure, what, why string) {
	r.Add(bench.Row{Measure: what + ": left out", Unit: "-", OK: true, Note: why})
	f.Notes = append(f.Notes, "Left out: "+what+", "+why+".")
}

// availableBytes is the memory that processes can still have; a great number where the
// system does not tell.
func availableBytes() int64 {
	if n := kilobytes("/proc/meminfo", "MemAvailable:"); n > 0 {
		return n
	}
	return 1 << 60
}

// kilobytes reads a figure of a file of /proc, in bytes; 0 if it is not there.
func kilobytes(file, name string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// resetPeak forgets the most memory that this process has had resident.
func resetPeak() error {
	if runtime.GOOS != "linux" {
		return nil
	}
	return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// peakBytes is the most memory that this process has had resident, in bytes.
func peakBytes() int64 { return kilobytes("/proc/self/status", "VmHWM:") }

// tempDir makes a directory, in memory if there is such a file system, so that what is
// measured there is the code and not the disk.
func tempDir() (dir, where string, err error) {
	if dir, err = os.MkdirTemp("/dev/shm", "versus-*"); err == nil {
		return dir, "a file system in memory", nil
	}
	dir, err = os.MkdirTemp("", "versus-*")
	return dir, "the disk", err
}

// orRounds is n, but fewer in tests.
func (c *curves) orRounds(n int) int {
	if c.small {
		return 2
	}
	return n
}
