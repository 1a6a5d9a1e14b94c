package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// suite is the comparisons of one package.
type suite struct {
	name string
	run  func(*bench.Report) error
}

func suites() []suite {
	return []suite{
		{"load", loadSuite},
		{"cache", cacheSuite},
		{"cdn", cdnSuite},
		{"dbindex", dbindexSuite},
		{"imageopt", imageoptSuite},
		{"memory", memorySuite},
		{"resilience", resilienceSuite},
	}
}

func main() {
	only := flag.String("only", "", "comma-separated `packages` to compare; default: all")
	asJSON := flag.Bool("json", false, "print JSON")
	full := flag.Bool("full", false, "more rounds, and what takes long")
	curvesDir := flag.String("curves", "", "measure the cost curves instead, and write them as SVG and CSV into this `folder`")
	flag.Parse()
	if code, ok := runAsSide(); ok {
		os.Exit(code)
	}
	r := bench.NewReport(*full)
	if *curvesDir != "" {
		os.Exit(finish(r, *asJSON, runCurves(r, &curves{dir: *curvesDir}, *only)))
	}
	os.Exit(run(r, *only, *asJSON))
}

func run(r *bench.Report, only string, asJSON bool) int {
	names := []string{}
	for _, s := range suites() {
		names = append(names, s.name)
	}
	wanted := names
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, name := range wanted {
		i := slices.Index(names, name)
		if i < 0 {
			fmt.Fprintf(os.Stderr, "versus: there is no comparison of %q; there are %s\n", name, strings.Join(names, ", "))
			return 2
		}
		r.Suite(name)
		if err := suites()[i].run(r); err != nil {
			return finish(r, asJSON, err)
		}
	}
	return finish(r, asJSON, nil)
}

// finish prints the report, and returns the code that the program ends with.
func finish(r *bench.Report, asJSON bool, err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		return 2
	}
	write := r.WriteText
	if asJSON {
		write = r.WriteJSON
	}
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		return 2
	}
	if r.Missed() > 0 {
		return 1
	}
	return 0
}
