package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

func diff(t *testing.T, db *sql.DB, want []dbindex.Index) dbindex.Plan {
	t.Helper()
	plan, err := live.Diff(t.Context(), db, want, live.DiffOptions{})
	if err != nil {
		t.Fatalf("Diff: %v", err)
	}
	return plan
}

func apply(t *testing.T, db *sql.DB, plan dbindex.Plan, o live.Options) *live.Report {
	t.Helper()
	r, err := live.Apply(t.Context(), db, plan, o)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return r
}

func testChat(t *testing.T, s server) {
	db, d := s.openChat(t)
	want := ChatIndexes()
	plan := diff(t, db, want)
	if len(plan.Steps) != len(want) {
		t.Fatalf("Diff of an empty database has %d steps; want %d", len(plan.Steps), len(want))
	}
	before := catalog(t, db, d)
	var started, finished int
	o := live.Options{Hooks: live.Hooks{Started: func(dbindex.Step) { started++ }, Finished: func(live.StepReport) { finished++ }}}
	if r := apply(t, db, plan, o); r.Count(live.Done) != len(want) || started != len(want) || finished != len(want) {
		t.Errorf("first Apply: %d done, %d started, %d finished; want %d", r.Count(live.Done), started, finished, len(want))
	}
	after := catalog(t, db, d)
	if r := apply(t, db, plan, live.Options{}); r.Count(live.Present) != len(want) {
		t.Errorf("second Apply: %d present; want %d", r.Count(live.Present), len(want))
	}
	if again := diff(t, db, want); !again.Empty() {
		t.Errorf("Diff after Apply:\n%swant nothing", again)
	}
	apply(t, db, plan.Reverse(), live.Options{})
	if got := catalog(t, db, d); got != before {
		t.Errorf("after Reverse:\n%s\nwant\n%s", got, before)
	}
	apply(t, db, plan, live.Options{})
	if got := catalog(t, db, d); got != after {
		t.Errorf("after the second run:\n%s\nwant\n%s", got, after)
	}
}

func testReplaceAndRename(t *testing.T, s server) {
	db, d := s.openChat(t)
	first := []dbindex.Index{
		{Name: "a", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId")}},
		{Name: "b", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("parentId")}, Where: dbindex.NotNull("parentId")},
		{Name: "c", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("status")}},
	}
	apply(t, db, diff(t, db, first), live.Options{})
	old := catalog(t, db, d)
	second := []dbindex.Index{
		{Name: "a", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId"), dbindex.Desc("createdAt")}},
		{Name: "b2", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("parentId")}, Where: dbindex.NotNull("parentId")},
	}
	plan := diff(t, db, second)
	var ops []string
	for _, s := range plan.Steps {
		ops = append(ops, s.Op.String())
	}
	if got := strings.Join(ops, " "); got != "rename replace drop" {
		t.Fatalf("Diff = %s; want rename replace drop", got)
	}
	apply(t, db, plan, live.Options{})
	if again := diff(t, db, second); !again.Empty() {
		t.Errorf("Diff after Apply:\n%swant nothing", again)
	}
	if r := apply(t, db, plan, live.Options{}); r.Count(live.Present) != 3 {
		t.Errorf("second Apply: %+v; want all present", r.Steps)
	}
	apply(t, db, plan.Reverse(), live.Options{})
	if got := catalog(t, db, d); got != old {
		t.Errorf("after Reverse:\n%s\nwant\n%s", got, old)
	}
}

func testConflict(t *testing.T, s server) {
	db, d := s.openChat(t)
	must(t, db, `CREATE INDEX mine ON "Message" ("status")`)
	want := dbindex.Index{Name: "mine", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("role")}}
	plan, err := dbindex.Diff(d, []dbindex.Index{want}, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := catalog(t, db, d)
	r, err := live.Apply(t.Context(), db, plan, live.Options{})
	if c, ok := errors.AsType[*live.ConflictError](err); !ok || c.Name != "mine" || r.Steps[0].Outcome != live.Failed {
		t.Errorf("Apply over another definition = %+v, %v; want a ConflictError", r, err)
	}
	drop := dbindex.Plan{Dialect: d, Steps: []dbindex.Step{{Op: dbindex.Drop, Index: want}}}
	if _, err = live.Apply(t.Context(), db, drop, live.Options{}); !isConflict(err) {
		t.Errorf("drop of another definition = %v; want a ConflictError", err)
	}
	if got := catalog(t, db, d); got != before {
		t.Errorf("the catalog changed:\n%s", got)
	}
}

func isConflict(err error) bool { _, ok := errors.AsType[*live.ConflictError](err); return ok }

func testUniqueViolation(t *testing.T, s server) {
	db, d := s.openChat(t)
	must(t, db, `INSERT INTO "AuditLog" ("id","action","entity","entityId","createdAt") VALUES (1,'a','e','1','2025-01-01'),(2,'a','e','1','2025-01-01')`)
	plan := diff(t, db, []dbindex.Index{
		{Table: "AuditLog", Keys: []dbindex.Key{dbindex.Asc("entityId")}, Unique: true},
		{Table: "AuditLog", Keys: []dbindex.Key{dbindex.Asc("actorId")}},
	})
	r, err := live.Apply(t.Context(), db, plan, live.Options{})
	if u, ok := errors.AsType[*live.UniqueError](err); !ok || u.Cause == nil {
		t.Fatalf("Apply = %v; want a UniqueError", err)
	}
	if strings.Contains(r.Err().Error(), "duplicate key value") {
		t.Errorf("the error holds the driver's detail: %v", r.Err())
	}
	got := catalog(t, db, d)
	if strings.Contains(got, "uq_") {
		t.Errorf("the failed index is left:\n%s", got)
	}
	if other := strings.Contains(got, "idx_AuditLog_actorId"); other != (d.Name() == "postgres") {
		t.Errorf("the other index exists = %v; want it on PostgreSQL, and all or nothing on SQLite", other)
	}
}

func testInvalidLeftover(t *testing.T, s server) {
	db, d := s.openChat(t)
	want := []dbindex.Index{{Table: "AuditLog", Keys: []dbindex.Key{dbindex.Asc("entityId")}, Unique: true}}
	must(t, db, `INSERT INTO "AuditLog" ("action","entity","entityId","createdAt") VALUES ('a','e','1','2025-01-01'),('a','e','1','2025-01-01')`)
	if _, err := db.ExecContext(t.Context(), `CREATE UNIQUE INDEX CONCURRENTLY "uq_AuditLog_entityId" ON "AuditLog" ("entityId")`); err == nil {
		t.Fatal("the unique build succeeded over duplicates")
	}
	must(t, db, `DELETE FROM "AuditLog"`)
	if invalid(t, db) == "" {
		t.Fatal("no invalid leftover was planted")
	}
	schema, err := live.Inspect(t.Context(), db, live.InspectOptions{Tables: []string{"AuditLog"}})
	if err != nil {
		t.Fatal(err)
	}
	if f := dbindex.Lint(d, schema, dbindex.LintOptions{}); len(f) == 0 || f[0].ID != dbindex.RuleInvalid {
		t.Errorf("Lint = %v; want %s first", f, dbindex.RuleInvalid)
	}
	for name, plan := range map[string]dbindex.Plan{"diff": diff(t, db, want), "create": {Dialect: d, Steps: []dbindex.Step{{Op: dbindex.Create, Index: want[0]}}}} {
		if name == "create" { // the leftover once more
			must(t, db, `DROP INDEX "uq_AuditLog_entityId"`)
			must(t, db, `INSERT INTO "AuditLog" ("action","entity","entityId","createdAt") VALUES ('a','e','1','2025-01-01'),('a','e','1','2025-01-01')`)
			_, _ = db.ExecContext(t.Context(), `CREATE UNIQUE INDEX CONCURRENTLY "uq_AuditLog_entityId" ON "AuditLog" ("entityId")`)
			must(t, db, `DELETE FROM "AuditLog"`)
		}
		r := apply(t, db, plan, live.Options{})
		if !r.Steps[0].Repaired && invalid(t, db) == "" && name == "create" {
			t.Errorf("%s: %+v; want Repaired", name, r.Steps[0])
		}
		if left := invalid(t, db); left != "" || !diff(t, db, want).Empty() {
			t.Errorf("%s: invalid %q, diff %s; want a valid index", name, left, diff(t, db, want))
		}
		must(t, db, `DROP INDEX "uq_AuditLog_entityId"; CREATE UNIQUE INDEX "uq_AuditLog_entityId" ON "AuditLog" ("entityId")`)
	}
}

func testCancel(t *testing.T, s server) {
	db, d := s.openChat(t)
	plan := diff(t, db, []dbindex.Index{{Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId")}}})
	// An old snapshot elsewhere keeps the build waiting in its last phase.
	old, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Rollback()
	if _, err := old.ExecContext(t.Context(), `SELECT count(*) FROM "User"`); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("deploy was called off")
	ctx, cancel := context.WithCancelCause(t.Context())
	var seen live.Progress
	o := live.Options{ProgressEvery: 20 * time.Millisecond, Hooks: live.Hooks{Progress: func(p live.Progress) {
		if seen = p; p.WaitingFor != 0 {
			cancel(cause)
		}
	}}}
	start := time.Now()
	r, err := live.Apply(ctx, db, plan, o)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
		t.Errorf("Apply = %v; want the context's error and its cause", err)
	}
	if r == nil || r.Steps[0].Outcome != live.Failed || !strings.HasPrefix(seen.Phase, "waiting for") {
		t.Errorf("report %+v after progress %+v; want Failed after a waiting phase", r, seen)
	}
	if left := catalog(t, db, d); strings.Contains(left, "idx_Message") || invalid(t, db) != "" {
		t.Errorf("cancel left an index:\n%s", left)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("cancel took %v", d)
	}
	old.Rollback()
	apply(t, db, plan, live.Options{})
}

func testReplicas(t *testing.T, s server) {
	db, _ := s.openChat(t)
	want := ChatIndexes()[:8]
	plan := diff(t, db, want)
	var wg sync.WaitGroup
	errs := make([]error, 6)
	reports := make([]*live.Report, len(errs))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range errs {
		wg.Go(func() { reports[i], errs[i] = live.Apply(ctx, db, plan, live.Options{}) })
	}
	wg.Wait()
	done, present := 0, 0
	for i, err := range errs {
		if err != nil {
			t.Fatalf("replica %d: %v", i, err)
		}
		done, present = done+reports[i].Count(live.Done), present+reports[i].Count(live.Present)
	}
	if done != len(want) || present != len(want)*(len(errs)-1) {
		t.Errorf("%d done, %d present; want %d and %d", done, present, len(want), len(want)*(len(errs)-1))
	}
	var locks int
	if err := db.QueryRow(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&locks); err != nil || locks != 0 {
		t.Errorf("%d advisory locks left, %v; want none", locks, err)
	}
}

func testLocked(t *testing.T, s server) {
	db, d := s.openChat(t)
	plan := diff(t, db, ChatIndexes()[:1])
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hold := `SELECT pg_advisory_lock(77)`
	if d.Name() == "sqlite" {
		must(t, db, `PRAGMA busy_timeout = 0`)
		hold = `BEGIN IMMEDIATE`
	}
	if _, err := conn.ExecContext(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	waits := 0 // A slow first question may take a wait of a millisecond up by itself.
	o := live.Options{LockKey: 77, LockWait: 500 * time.Millisecond, Hooks: live.Hooks{Waiting: func(time.Duration) { waits++ }}}
	if _, err := live.Apply(t.Context(), db, plan, o); !errors.Is(err, live.ErrLocked) || waits == 0 && d.Name() == "postgres" {
		t.Errorf("Apply beside a holder = %v after %d waits; want ErrLocked after one or more", err, waits)
	}
}

func testSettingsRestored(t *testing.T, s server) {
	db, _ := s.openChat(t)
	db.SetMaxOpenConns(2)
	for _, name := range []string{"lock_timeout", "statement_timeout"} {
		must(t, db, fmt.Sprintf(`DO $$BEGIN EXECUTE format('ALTER DATABASE %%I SET %s = ''7s''', current_database()); END$$`, name))
	}
	db.SetMaxIdleConns(0)
	db.SetMaxIdleConns(2)
	plan := diff(t, db, ChatIndexes()[:2])
	apply(t, db, plan, live.Options{})
	var conns []*sql.Conn
	for range 2 {
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		for _, name := range []string{"lock_timeout", "statement_timeout"} {
			var v string
			if err := c.QueryRowContext(t.Context(), `SELECT current_setting($1)`, name).Scan(&v); err != nil || v != "7s" {
				t.Errorf("%s = %q, %v after Apply; want 7s", name, v, err)
			}
		}
	}
	for _, c := range conns {
		c.Close()
	}
	must(t, db, `DO $$BEGIN EXECUTE format('ALTER DATABASE %I RESET ALL', current_database()); END$$`)
}

func testBackendKilled(t *testing.T, s server) {
	db, _ := s.openChat(t)
	plan := diff(t, db, []dbindex.Index{{Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId")}}})
	old, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Rollback()
	if _, err := old.ExecContext(t.Context(), `SELECT count(*) FROM "User"`); err != nil {
		t.Fatal(err)
	}
	killed := false
	o := live.Options{ProgressEvery: 20 * time.Millisecond, Hooks: live.Hooks{Progress: func(p live.Progress) {
		if p.WaitingFor == 0 || killed {
			return
		}
		killed = true
		if _, err := db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'`); err != nil {
			t.Error(err)
		}
		old.Rollback()
	}}}
	r := apply(t, db, plan, o)
	if r.Steps[0].Outcome != live.Done || r.Steps[0].Attempts != 2 || !killed || invalid(t, db) != "" {
		t.Errorf("after a killed backend: %+v, invalid %q; want Done at the second attempt", r.Steps[0], invalid(t, db))
	}
}

func testRefuses(t *testing.T, s server) {
	db := server{name: "sqlite"}.open(t)
	must(t, db, `CREATE TABLE t (a)`)
	pg, _ := dbindex.Diff(dbindex.Postgres(15), []dbindex.Index{{Table: "t", Keys: []dbindex.Key{dbindex.Asc("a")}}}, nil)
	if _, err := live.Apply(t.Context(), db, pg, live.Options{}); !errors.Is(err, live.ErrOptions) {
		t.Errorf("PostgreSQL plan on SQLite = %v; want ErrOptions", err)
	}
	_, err := live.Apply(t.Context(), db, pg, live.Options{Attempts: -1, CleanupTimeout: -1})
	if !errors.Is(err, live.ErrOptions) || !strings.Contains(err.Error(), "Attempts") || !strings.Contains(err.Error(), "CleanupTimeout") {
		t.Errorf("bad options = %v; want both named", err)
	}
	r, err := live.Apply(t.Context(), db, pg, live.Options{Disabled: true})
	if err != nil || r.Count(live.NotRun) != 1 {
		t.Errorf("Disabled = %+v, %v; want one step not run", r, err)
	}
	// SQLite takes an unknown quoted column for a string constant.
	for _, ix := range []dbindex.Index{
		{Table: "t", Keys: []dbindex.Key{dbindex.Asc("nosuch")}},
		{Table: "t", Keys: []dbindex.Key{dbindex.Asc("a")}, Where: dbindex.IsNull("nosuch")},
	} {
		plan, _ := dbindex.Diff(dbindex.SQLite(), []dbindex.Index{ix}, nil)
		if _, err := live.Apply(t.Context(), db, plan, live.Options{}); !errors.Is(err, dbindex.ErrIndex) {
			t.Errorf("index on a missing column = %v; want ErrIndex", err)
		}
	}
	if s.name != "postgres" {
		return
	}
	one := s.open(t)
	one.SetMaxOpenConns(1)
	if _, err := live.Apply(t.Context(), one, pg, live.Options{}); !errors.Is(err, live.ErrOptions) {
		t.Errorf("pool of one = %v; want ErrOptions", err)
	}
}

// testSchemas looks at one table under its schema's name and without, and at tables of
// equal name in two schemas.
func testSchemas(t *testing.T, s server) {
	db, d := s.openChat(t)
	var current string
	if err := db.QueryRow(`SELECT current_schema()`).Scan(&current); err != nil {
		t.Fatal(err)
	}
	other := current + "_other"
	must(t, db, `CREATE SCHEMA `+other+`; CREATE TABLE `+other+`."Message" ("role" text)`)
	t.Cleanup(func() { must(t, db, `DROP SCHEMA `+other+` CASCADE`) })
	must(t, db, `CREATE INDEX keep ON "Message" ("status")`)
	role := []dbindex.Key{dbindex.Asc("role")}
	apply(t, db, diff(t, db, []dbindex.Index{{Schema: other, Table: "Message", Keys: role}, {Table: "User", Keys: role}}), live.Options{})
	if got := catalog(t, db, d); !strings.Contains(got, "keep") {
		t.Errorf("an index on a table that was not named is gone:\n%s", got)
	}
	want := []dbindex.Index{{Schema: current, Table: "Message", Keys: role}, {Schema: other, Table: "Message", Keys: role}}
	plan := diff(t, db, want)
	if len(plan.Steps) != 2 || plan.Steps[0].Op != dbindex.Create || plan.Steps[1].Index.Name != "keep" {
		t.Errorf("plan under the current schema's name:\n%swant one create, and the drop of keep", plan)
	}
	apply(t, db, plan, live.Options{})
	if again := diff(t, db, want); !again.Empty() {
		t.Errorf("Diff after Apply:\n%swant nothing", again)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if schema, err := live.Inspect(t.Context(), tx, live.InspectOptions{Schemas: []string{other}}); err != nil || len(schema.Indexes) != 1 || schema.Indexes[0].Schema != other {
		t.Errorf("Inspect in a transaction = %+v, %v; want the index of %s", schema, err, other)
	}
}

func testPartitioned(t *testing.T, s server) {
	db, d := s.openChat(t)
	must(t, db, `CREATE TABLE parted (a int, b text, c int) PARTITION BY RANGE (a);
		CREATE TABLE part_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
		CREATE TABLE part_high PARTITION OF parted FOR VALUES FROM (10) TO (20) PARTITION BY LIST (b);
		CREATE TABLE part_high_x PARTITION OF part_high FOR VALUES IN ('x');
		CREATE TABLE part_rest PARTITION OF parted DEFAULT;
		INSERT INTO parted SELECT i % 30, 'x', i FROM generate_series(1, 300) i;
		CREATE INDEX part_rest_own ON part_rest (a)`)
	before := catalog(t, db, d)
	want := []dbindex.Index{{Table: "parted", Keys: []dbindex.Key{dbindex.Asc("b"), dbindex.Desc("a")}, Where: dbindex.NotNull("b")}}
	plan := diff(t, db, want)
	// A cancelled run leaves nothing, neither on the parent nor on a partition.
	old, ctx := holdSnapshot(t, db), t.Context()
	ctx, cancel := context.WithCancel(ctx)
	o := live.Options{ProgressEvery: 10 * time.Millisecond, Hooks: live.Hooks{Progress: func(p live.Progress) {
		if p.WaitingFor != 0 {
			cancel()
		}
	}}}
	if _, err := live.Apply(ctx, db, plan, o); !errors.Is(err, context.Canceled) || catalog(t, db, d) != before || invalid(t, db) != "" {
		t.Errorf("cancelled Apply = %v, left:\n%s\ninvalid %q; want nothing left", err, catalog(t, db, d), invalid(t, db))
	}
	_ = old.Rollback()
	started := 0
	r := apply(t, db, plan, live.Options{Hooks: live.Hooks{Started: func(dbindex.Step) { started++ }}})
	if r.Count(live.Done) != 1 || started != 1 || invalid(t, db) != "" {
		t.Errorf("Apply = %+v, started %d, invalid %q; want one step done", r.Steps, started, invalid(t, db))
	}
	if again := diff(t, db, want); !again.Empty() {
		t.Errorf("Diff after Apply:\n%swant nothing", again)
	}
	schema, err := live.Inspect(t.Context(), db, live.InspectOptions{Tables: []string{"part_low"}})
	if err != nil || len(schema.Indexes) != 1 || schema.Indexes[0].Constraint != dbindex.Partition {
		t.Errorf("Inspect of a partition = %+v, %v; want one index that belongs to the parent's", schema.Indexes, err)
	}
	// An interrupted build by hand is taken up where it stopped, by the plan as it was
	// and by that of Diff.
	name := plan.Steps[0].Index.Name
	half := `DROP INDEX "` + name + `"; CREATE INDEX "` + name + `" ON ONLY parted (b, a DESC) WHERE b IS NOT NULL;
		CREATE INDEX half ON part_low (b, a DESC) WHERE b IS NOT NULL; ALTER INDEX "` + name + `" ATTACH PARTITION half`
	for i := range 2 {
		must(t, db, half)
		again := plan
		if i == 1 {
			again = diff(t, db, want)
		}
		if r := apply(t, db, again, live.Options{}); r.Count(live.Done) != 1 || invalid(t, db) != "" || !diff(t, db, want).Empty() {
			t.Errorf("Apply over half an index = %+v, invalid %q; want it done", r.Steps, invalid(t, db))
		}
	}
	apply(t, db, plan.Reverse(), live.Options{})
	if got := catalog(t, db, d); got != before {
		t.Errorf("after Reverse:\n%s\nwant\n%s", got, before)
	}
}

func testBlocking(t *testing.T, s server) {
	db, d := s.openChat(t)
	want := ChatIndexes()[:3]
	plan := diff(t, db, want)
	plan.Blocking = true
	held, err := db.Begin() // a writer holds up plain DDL
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(`LOCK TABLE "User" IN ROW EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	r, err := live.Apply(t.Context(), db, plan, live.Options{DDLLockTimeout: 20 * time.Millisecond, Attempts: 2})
	if err == nil || r.Count(live.Failed) != 3 || r.Steps[0].Attempts != 2 {
		t.Errorf("Apply beside a writer = %+v, %v; want three steps failed at the second attempt", r, err)
	}
	held.Rollback()
	before := catalog(t, db, d)
	apply(t, db, plan, live.Options{})
	if again := diff(t, db, want); !again.Empty() {
		t.Errorf("Diff after Apply:\n%swant nothing", again)
	}
	apply(t, db, plan.Reverse(), live.Options{})
	if got := catalog(t, db, d); got != before {
		t.Errorf("after Reverse:\n%s", got)
	}
}
