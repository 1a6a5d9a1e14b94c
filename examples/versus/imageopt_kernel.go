package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// imageoptRest is the parts about resampling, formats and load.
func imageoptRest() []func(*bench.Report) error {
	return []func(*bench.Report) error{imageoptKernel, imageoptFormats, imageoptHostile, imageoptLoad}
}

// imageoptKernel runs the benchmarks of the kernels, which are internal, round by
// round: with the vectors of the processor and in plain Go. Before, tests compare
// their results with exact arithmetic and with imaging.
func imageoptKernel(r *bench.Report) error {
	dir, err := os.MkdirTemp("", "kernel")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rounds := 5
	if r.Full {
		rounds = 15
	}
	for _, build := range []struct {
		name, tags    string
		planes, nrgba float64 // goals
	}{{"AVX2", "", 20, 4}, {"plain Go", "purego", 5, 0}} {
		test := filepath.Join(dir, "resample-"+build.tags+".test")
		c := exec.Command("go", "test", "-c", "-tags", build.tags, "-o", test, "./imageopt/internal/resample")
		c.Dir = filepath.Join("..", "..")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("building the kernels' benchmarks: %w: %s", err, out)
		}
		if out, err := exec.Command(test, "-test.run", "Exact|Imaging|Twins").CombinedOutput(); err != nil {
			return fmt.Errorf("the kernels (%s) are wrong: %w: %s", build.name, err, out)
		}
		figures, err := benchmarks(test, "^Benchmark(Planes|NRGBA)$", rounds)
		if err != nil {
			return err
		}
		title := "resample kernel, " + build.name + ", Lanczos, 12 MP "
		for _, to := range []string{"400", "1920"} {
			ours, theirs := figures["Planes/to="+to+"/side=perfblocks"], figures["Planes/to="+to+"/side=imaging"]
			goal := build.planes
			if to != "400" {
				goal = 0
			}
			speedup(r, title+"→ "+to+" px, 4:2:0 planes", ours, theirs, goal)
		}
		for _, kind := range []string{"opaque", "alpha"} {
			speedup(r, title+"→ 400 px, NRGBA "+kind, figures["NRGBA/side="+kind], figures["NRGBA/side=imaging"], build.nrgba)
		}
	}
	return nil
}

// benchmarks runs benchmarks of a test program in rounds, on one processor, and
// returns the nanoseconds of each.
func benchmarks(program, pattern string, rounds int) (map[string][]float64, error) {
	line := regexp.MustCompile(`(?m)^Benchmark(\S+)\s+\d+\s+([\d.]+) ns/op`)
	figures := map[string][]float64{}
	for range rounds {
		c := exec.Command(program, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", "100ms")
		c.Env = append(os.Environ(), "GOMAXPROCS=1")
		out, err := c.Output()
		if err != nil {
			return nil, fmt.Errorf("benchmarks %s: %w", pattern, err)
		}
		for _, m := range line.FindAllSubmatch(out, -1) {
			v, err := strconv.ParseFloat(string(m[2]), 64)
			if err != nil {
				return nil, err
			}
			figures[string(m[1])] = append(figures[string(m[1])], v)
		}
	}
	return figures, nil
}

// speedup adds a row: the median over the rounds of theirs to ours, and the goal if
// it is not zero.
func speedup(r *bench.Report, measure string, ours, theirs []float64, goal float64) {
	v := make([]float64, min(len(ours), len(theirs)))
	for i := range v {
		v[i] = theirs[i] / ours[i]
	}
	slices.Sort(v)
	row := bench.Row{Measure: measure, Unit: "× imaging's speed", Ours: math.NaN(), OK: true}
	if len(v) > 0 {
		row.Ours = v[len(v)/2]
		row.Spread = fmt.Sprintf("%.3g–%.3g", v[len(v)/4], v[len(v)*3/4])
	}
	if goal > 0 {
		row.Goal, row.OK = fmt.Sprintf("≥ %.4g", goal), row.Ours >= goal
	}
	r.Add(row)
}
