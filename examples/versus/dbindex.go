package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/examples/internal/dbtest"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// dbindexSuite measures what the model costs, and runs what is there to be proved on
// real servers.
func dbindexSuite(r *bench.Report) error {
	for _, part := range append(dbindexParts(), advisorParts()...) {
		if err := part(r); err != nil {
			return err
		}
	}
	return nil
}

// dbindexParts are the parts of the suite, each on a line of its own.
func dbindexParts() []func(*bench.Report) error {
	return []func(*bench.Report) error{
		indexRendering,
		indexWeight,
		indexProofs,
	}
}

// indexRendering writes the statements of the chat application's indexes.
func indexRendering(r *bench.Report) error {
	list, d := dbtest.ChatIndexes(), dbindex.Postgres(15)
	render := func(n int) {
		for i := range n {
			_, _ = list[i%len(list)].SQL(d)
		}
	}
	check := func() (any, error) { return list[0].SQL(d) }
	return r.Compare(bench.Comparison{Measure: "CREATE INDEX of one index, with its derived name", Sides: []bench.Side{{Name: ours, Op: render, Check: check}}},
		bench.Goal{MaxCPU: 2000})
}

// indexWeight builds programs with and without the core, and compares them.
func indexWeight(r *bench.Report) error {
	dir, err := os.MkdirTemp("", "versus")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	const program = "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\t\"time\"\n%s)\n\nfunc main() {\n\tfmt.Println(os.Args, time.Now())\n%s}\n"
	const diff = `	p, err := dbindex.Diff(dbindex.Postgres(15), []dbindex.Index{{Table: os.Args[0], Keys: []dbindex.Key{dbindex.Asc("a")}}}, nil)
	f, err2 := p.Migration(dbindex.Goose, dbindex.MigrationOptions{At: time.Now()})
	fmt.Println(err, err2, f, dbindex.Lint(p.Dialect, dbindex.Schema{}, dbindex.LintOptions{}))
`
	const files = `	fmt.Println(dbindex.LintFiles(p.Dialect, f, dbindex.LintOptions{}))
`
	const imported = "\n\t\"github.com/perfblocks/perfblocks/dbindex\"\n"
	sizes := map[string]float64{}
	for name, text := range map[string]string{
		"without": fmt.Sprintf(program, "", ""),
		"core":    fmt.Sprintf(program, imported, diff),
		"with":    fmt.Sprintf(program, imported, diff+files),
	} {
		source, out := filepath.Join(dir, name+".go"), filepath.Join(dir, name)
		if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
			return err
		}
		if msg, err := exec.Command("go", "build", "-o", out, source).CombinedOutput(); err != nil {
			return fmt.Errorf("building the program %s: %w: %s", name, err, msg)
		}
		info, err := os.Stat(out)
		if err != nil {
			return err
		}
		sizes[name] = float64(info.Size())
	}
	msg, err := exec.Command("go", "version", "-m", filepath.Join(dir, "with")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("reading the modules of the program: %w: %s", err, msg)
	}
	modules := 0
	for line := range strings.SplitSeq(string(msg), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "dep" && !strings.HasPrefix(f[1], "github.com/perfblocks/perfblocks") {
			modules++
		}
	}
	r.AtMost("core in a program: modules besides ours", "modules", float64(modules), 0)
	r.AtMost("core in a program: diff, migration files, lint, and lint of migration files", "MB", (sizes["with"]-sizes["without"])/1e6, 1,
		bench.Value{Name: "without LintFiles", Value: (sizes["core"] - sizes["without"]) / 1e6})
	return nil
}

// indexProofs runs the tests that need servers and other people's tools. VERSUS_CASES
// may ask for fewer random values than the goal has.
func indexProofs(r *bench.Report) error {
	cases := cmp.Or(os.Getenv("VERSUS_CASES"), "10000")
	return errors.Join(
		r.FromTests("./indexes", "^(TestRoundTrip|TestHostileNames)$", "VERSUS_CASES="+cases),
		r.FromTests("./indexes", "^TestLint$"),
		r.FromTests("./indexes", "^(TestApplyChaos|TestPooler)$", "VERSUS_CHAOS=full"),
		r.FromTests("./migrations", "^(TestPostgres|TestSQLite)$"))
}
