package indexes_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/dbindex/live"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// fault makes the world hostile while a tool runs. It returns when what it started has
// ended, after stop is closed.
type fault struct {
	name   string
	unique bool
	racers int                                                              // at once; 0 is 1
	cancel bool                                                             // the fault ends the context by calling hit
	setup  string                                                           // before
	during func(t *testing.T, db *sql.DB, stop <-chan struct{}, hit func()) // beside the run
}

// phases of CREATE INDEX CONCURRENTLY as pg_stat_progress_create_index names them.
func phases() []string {
	return []string{"waiting for writers before build", "building index: scanning table", "building index: sorting live tuples", "building index: loading tuples in tree",
		"waiting for writers before validation", "index validation: scanning index", "index validation: scanning table", "waiting for old snapshots"}
}

func faults() (list []fault) {
	for _, phase := range phases() {
		list = append(list, fault{name: "backend killed: " + phase, during: atPhase(phase, `SELECT pg_terminate_backend($1::int)`)},
			fault{name: "context ends: " + phase, cancel: true, during: atPhase(phase, "")})
	}
	snapshot := func(t *testing.T, db *sql.DB, stop <-chan struct{}, _ func()) {
		hold(t, db, `SELECT count(*) FROM elsewhere`, stop, time.Second)
	}
	writer := func(t *testing.T, db *sql.DB, stop <-chan struct{}, _ func()) {
		hold(t, db, `INSERT INTO item VALUES (-1, 'w')`, stop, time.Second)
	}
	return append(list,
		fault{name: "old snapshot elsewhere", during: snapshot},
		fault{name: "lock_timeout and an old snapshot", setup: `ALTER DATABASE %s SET lock_timeout = '200ms'`, during: snapshot},
		fault{name: "lock_timeout and a writer", setup: `ALTER DATABASE %s SET lock_timeout = '200ms'`, during: writer},
		fault{name: "statement_timeout and an old snapshot", setup: `ALTER DATABASE %s SET statement_timeout = '400ms'`, during: snapshot},
		fault{name: "eight replicas", racers: 8},
		fault{name: "eight replicas and an old snapshot", racers: 8, during: snapshot},
		fault{name: "unique violation", unique: true},
	)
}

// hold keeps a transaction open for some time.
func hold(t *testing.T, db *sql.DB, query string, stop <-chan struct{}, d time.Duration) {
	tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec(query); err != nil {
		t.Error(err)
	}
	select {
	case <-stop:
	case <-time.After(d):
	}
}

// atPhase waits for a build to be in the phase, then runs the query on its process and
// calls hit. What makes the phase last is held until then.
func atPhase(phase, query string) func(*testing.T, *sql.DB, <-chan struct{}, func()) {
	return func(t *testing.T, db *sql.DB, stop <-chan struct{}, hit func()) {
		over := make(chan struct{})
		var wg sync.WaitGroup
		defer wg.Wait()
		defer close(over)
		switch phase {
		case "waiting for writers before build":
			begin(t, db, &wg, `INSERT INTO item VALUES (-1, 'w')`, over)
		case "waiting for old snapshots":
			begin(t, db, &wg, `SELECT count(*) FROM elsewhere`, over)
		}
		late := phase == "waiting for writers before validation"
		for {
			select {
			case <-stop:
				return
			default:
			}
			var pid int
			var now string
			err := db.QueryRow(`SELECT pid, phase FROM pg_stat_progress_create_index WHERE datname = current_database()`).Scan(&pid, &now)
			if err != nil {
				continue
			}
			if late && strings.HasPrefix(now, "building index") {
				begin(t, db, &wg, `INSERT INTO item VALUES (-1, 'w')`, over)
				late = false
			}
			if now != phase {
				continue
			}
			if query != "" {
				if _, err := db.Exec(query, pid); err != nil {
					t.Error(err)
				}
			}
			hit()
			return
		}
	}
}

// begin opens a transaction that lasts until over.
func begin(t *testing.T, db *sql.DB, wg *sync.WaitGroup, query string, over <-chan struct{}) {
	tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Error(err)
		return
	}
	if _, err := tx.Exec(query); err != nil {
		t.Error(err)
	}
	wg.Go(func() {
		<-over
		_ = tx.Rollback()
	})
}

// tally counts how the runs of one tool ended.
type tally struct{ runs, missed, invalid, untrue, valid, slowest float64 }

// TestApplyChaos runs each fault on each tool in a database of its own. VERSUS_CHAOS=full
// runs all of them, else a few on ours alone.
func TestApplyChaos(t *testing.T) {
	full := os.Getenv("VERSUS_CHAOS") == "full"
	pg := postgres{realtest.Postgres(t)}
	rows := 20_000
	if full {
		rows = 300_000
	}
	template, _ := pg.database(t, "chaos_template")
	exec(t, template, fmt.Sprintf(`CREATE TABLE elsewhere (a int); CREATE TABLE item (a int, b text); INSERT INTO item SELECT i, md5(i::text) FROM generate_series(1, %d) i`, rows))
	template.Close()
	all := map[string]*tally{}
	n := 0
	for _, f := range faults() {
		if !full && f.racers == 0 && !f.unique && !strings.HasSuffix(f.name, "old snapshots") {
			continue
		}
		for i, tool := range tools() {
			if !full && i > 0 {
				continue
			}
			if all[tool.name] == nil {
				all[tool.name] = &tally{}
			}
			n++
			t.Run(f.name+"/"+tool.name, func(t *testing.T) { all[tool.name].run(t, pg, fmt.Sprintf("chaos_%d", n), tool, f) })
		}
	}
	report(t, all)
}

// run runs the tool under the fault, up to five times until the fault has struck.
func (c *tally) run(t *testing.T, pg postgres, name string, tool tool, f fault) {
	for try := range 5 {
		struck, wait := c.once(t, pg, fmt.Sprintf("%s_%d", name, try), tool, f)
		c.slowest = max(c.slowest, wait.Seconds())
		if struck {
			return
		}
	}
	c.missed++
	t.Logf("the phase was never met")
}

func (c *tally) once(t *testing.T, pg postgres, name string, tool tool, f fault) (struck bool, took time.Duration) {
	admin := open(t, "pgx", pg.addr)
	exec(t, admin, "CREATE DATABASE "+name+" TEMPLATE chaos_template")
	defer exec(t, admin, "DROP DATABASE "+name+" WITH (FORCE)")
	addr := strings.Replace(pg.addr, "/postgres?", "/"+name+"?", 1)
	db := open(t, "pgx", addr)
	defer db.Close()
	if f.unique {
		exec(t, db, `INSERT INTO item SELECT * FROM item LIMIT 1`)
	}
	exec(t, db, `SELECT 1`)
	if f.setup != "" {
		exec(t, admin, fmt.Sprintf(f.setup, name))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stop, started := make(chan struct{}), time.Now()
	struck = f.during == nil || !strings.Contains(f.name, ":")
	var side, main sync.WaitGroup
	if f.during != nil {
		side.Go(func() {
			f.during(t, db, stop, func() {
				struck = true
				if f.cancel {
					cancel()
				}
			})
		})
		time.Sleep(20 * time.Millisecond) // the holder goes first where it can; if not, the fault is only milder
	}
	errs := make([]error, max(1, f.racers))
	for i := range errs {
		main.Go(func() { errs[i] = tool.run(ctx, addr, plan(t, f.unique)) })
	}
	main.Wait()
	close(stop)
	side.Wait()
	took = time.Since(started)
	if struck {
		c.judge(t, tool, f, db, errs)
	}
	return struck, took
}

// judge looks at the index, and holds what was claimed against it.
func (c *tally) judge(t *testing.T, tool tool, f fault, db *sql.DB, errs []error) {
	c.runs++
	// A tool whose process is gone leaves a server process that may still work.
	for range 100 {
		var busy int
		if err := db.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%INDEX CONCURRENTLY%' AND state = 'active' AND pid <> pg_backend_pid()`).Scan(&busy); err != nil || busy == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	var there, valid bool
	err := db.QueryRow(`SELECT true, indisvalid AND indisready AND indislive FROM pg_index WHERE indexrelid = to_regclass('wanted')`).Scan(&there, &valid)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Error(err)
	}
	untrue := 0
	for _, err := range errs {
		if err == nil && !valid {
			untrue++
		}
	}
	ours := tool.name == "perfblocks"
	if ours && valid != (errors.Join(errs...) == nil) && !f.cancel {
		untrue++ // ours also says no more than is wrong
	}
	switch {
	case valid:
		c.valid++
	case there:
		c.invalid++
	}
	c.untrue += float64(untrue)
	t.Logf("there %v, valid %v, errors %v", there, valid, errors.Join(errs...))
	if ours && (there != valid || untrue > 0) {
		t.Errorf("%s: there %v, valid %v, reported %v; want it valid or absent, and the truth", f.name, there, valid, errors.Join(errs...))
	}
}

func report(t *testing.T, all map[string]*tally) {
	ours := all["perfblocks"]
	peers := func(f func(*tally) float64) (list []bench.Value) {
		for _, tool := range tools()[1:] {
			if c := all[tool.name]; c != nil {
				list = append(list, bench.Value{Name: tool.name, Value: f(c)})
			}
		}
		return list
	}
	title := fmt.Sprintf("apply under %.0f faults: ", ours.runs)
	row := func(what, unit string, f func(*tally) float64, ok bool, goal string) {
		bench.Emit(t, bench.Row{Measure: title + what, Unit: unit, Ours: f(ours), Peers: peers(f), Goal: goal, OK: ok})
	}
	row("indexes left invalid", "runs", func(c *tally) float64 { return c.invalid }, ours.invalid == 0, "= 0")
	row("success claimed without a valid index", "reports", func(c *tally) float64 { return c.untrue }, ours.untrue == 0, "= 0")
	row("phases never met", "faults", func(c *tally) float64 { return c.missed }, ours.missed == 0, "= 0")
	row("valid at the end", "runs", func(c *tally) float64 { return c.valid }, true, "")
	row("longest run", "s", func(c *tally) float64 { return c.slowest }, true, "")
}

// TestPooler sends each statement to another server process, as a transaction pooler
// may. Nothing must be changed.
func TestPooler(t *testing.T) {
	db, addr := postgres{realtest.Postgres(t)}.database(t, "pooler")
	exec(t, db, `CREATE TABLE item (a int, b text)`)
	pooled := sql.OpenDB(&pooler{addr: addr})
	defer pooled.Close()
	_, err := live.Apply(t.Context(), pooled, plan(t, false), live.Options{})
	var n int
	exec(t, db, `SELECT 1`)
	if e := db.QueryRow(`SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('wanted')`).Scan(&n); e != nil {
		t.Fatal(e)
	}
	ok := errors.Is(err, live.ErrPooler) && n == 0
	if !ok {
		t.Errorf("Apply through a transaction pooler = %v, %d indexes; want ErrPooler and none", err, n)
	}
	bench.Emit(t, bench.Row{Measure: "apply through a transaction pooler: statements that changed something", Unit: "indexes", Ours: float64(n), Goal: "= 0, ErrPooler", OK: ok})
}
