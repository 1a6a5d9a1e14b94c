package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// holdSnapshot opens a transaction that every concurrent build waits for.
func holdSnapshot(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	if _, err := tx.ExecContext(t.Context(), `SELECT count(*) FROM "User"`); err != nil {
		t.Fatal(err)
	}
	return tx
}

func testCancelBetweenSteps(t *testing.T, s server) {
	db, d := s.openChat(t)
	before := catalog(t, db, d)
	cause := errors.New("deploy was called off")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, err := live.Apply(ctx, db, diff(t, db, ChatIndexes()[:4]), live.Options{Hooks: live.Hooks{Finished: func(live.StepReport) { cancel(cause) }}})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || r.Count(live.NotRun) == 0 {
		t.Errorf("Apply = %v with %d steps not run; want the context's error and cause", err, r.Count(live.NotRun))
	}
	if got := catalog(t, db, d); d.Name() == "sqlite" && got != before {
		t.Errorf("SQLite kept part of the plan:\n%s", got)
	}
}

// testHookPanics recovers a panic of a hook, and finds no lock, transaction or
// connection left.
func testHookPanics(t *testing.T, s server) {
	db, d := s.openChat(t)
	plan := diff(t, db, ChatIndexes()[9:11])
	for name, hooks := range map[string]live.Hooks{
		"Started":  {Started: func(dbindex.Step) { panic("hook") }},
		"Progress": {Progress: func(live.Progress) { panic("hook") }},
		"Finished": {Finished: func(live.StepReport) { panic("hook") }},
	} {
		if name == "Progress" {
			if d.Name() == "sqlite" {
				continue
			}
			old := holdSnapshot(t, db)
			hooks.Progress = func(live.Progress) { _ = old.Rollback(); panic("hook") }
		}
		func() {
			defer func() {
				if v := recover(); v != "hook" {
					t.Errorf("%s: recovered %v; want the hook's panic", name, v)
				}
			}()
			_, _ = live.Apply(t.Context(), db, plan, live.Options{ProgressEvery: time.Millisecond, Hooks: hooks})
		}()
		if n := db.Stats().InUse; n != 0 {
			t.Errorf("%s: %d connections left in use", name, n)
		}
		if _, err := live.Apply(t.Context(), db, plan, live.Options{LockWait: time.Second}); err != nil {
			t.Errorf("%s: Apply after the panic: %v", name, err)
		}
		apply(t, db, plan.Reverse(), live.Options{})
	}
}

// testCancelDuringProgress ends the context while the control connection is busy.
func testCancelDuringProgress(t *testing.T, s server) {
	db, d := s.openChat(t)
	plan := diff(t, db, ChatIndexes()[9:10])
	for i := range 4 {
		old := holdSnapshot(t, db)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(40+10*i)*time.Millisecond)
		_, err := live.Apply(ctx, db, plan, live.Options{ProgressEvery: 100 * time.Microsecond})
		cancel()
		if _, left := errors.AsType[*live.InvalidError](err); left || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Apply = %v; want the context's error alone", err)
		}
		if got := catalog(t, db, d); strings.Contains(got, "idx_") || invalid(t, db) != "" {
			t.Fatalf("an index is left:\n%s", got)
		}
		_ = old.Rollback()
	}
}

// testControlKilled ends the server process that holds the lock.
func testControlKilled(t *testing.T, s server) {
	db, _ := s.openChat(t)
	want := ChatIndexes()[9:11]
	old, killed := holdSnapshot(t, db), false
	r := apply(t, db, diff(t, db, want), live.Options{ProgressEvery: 10 * time.Millisecond, Hooks: live.Hooks{Progress: func(p live.Progress) {
		if p.WaitingFor == 0 || killed {
			return
		}
		killed = true
		if _, err := db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); err != nil {
			t.Error(err)
		}
		_ = old.Rollback()
	}}})
	if !killed || r.Count(live.Done) != len(want) || !diff(t, db, want).Empty() || invalid(t, db) != "" {
		t.Errorf("killed = %v: %+v, invalid %q; want all done", killed, r.Steps, invalid(t, db))
	}
}

// testIdleTimeout builds for longer than the server lets a session be idle.
func testIdleTimeout(t *testing.T, s server) {
	db, _ := s.openChat(t)
	plan, old := diff(t, db, ChatIndexes()[9:10]), holdSnapshot(t, db)
	must(t, db, `DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET idle_session_timeout = ''500ms''', current_database()); END$$`)
	defer must(t, db, `DO $$BEGIN EXECUTE format('ALTER DATABASE %I RESET ALL', current_database()); END$$`)
	db.SetMaxIdleConns(0) // new connections have the limit
	time.AfterFunc(800*time.Millisecond, func() { _ = old.Rollback() })
	apply(t, db, plan, live.Options{ProgressEvery: time.Minute})
}

// testSearchPath has a table behind the current schema: its indexes would be looked
// for in the wrong place.
func testSearchPath(t *testing.T, s server) {
	u, err := url.Parse(s.createSchema(t))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	schema := q.Get("search_path")
	q.Set("search_path", schema+"_first,"+schema)
	u.RawQuery = q.Encode()
	db, err := sql.Open("pgx", u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must(t, db, `CREATE TABLE t (a int); CREATE SCHEMA `+schema+`_first`)
	defer must(t, db, `DROP SCHEMA `+schema+`_first`)
	ix := dbindex.Index{Table: "t", Keys: []dbindex.Key{dbindex.Asc("a")}}
	plan, err := dbindex.Diff(dbindex.Postgres(15), []dbindex.Index{ix}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := live.Apply(t.Context(), db, plan, live.Options{}); !errors.Is(err, dbindex.ErrIndex) || r.Count(live.NotRun) != 1 {
		t.Errorf("Apply = %+v, %v; want ErrIndex and nothing run", r, err)
	}
	if _, err := live.Diff(t.Context(), db, []dbindex.Index{ix}, live.DiffOptions{}); !errors.Is(err, dbindex.ErrIndex) {
		t.Errorf("Diff = %v; want ErrIndex", err)
	}
	ix.Schema, ix.Tablespace = schema, "pg_default" // which the catalog does not keep
	apply(t, db, diff(t, db, []dbindex.Index{ix}), live.Options{})
	if again := diff(t, db, []dbindex.Index{ix}); !again.Empty() {
		t.Errorf("Diff after Apply:\n%swant nothing", again)
	}
}

// testForeignLeftover finds an invalid index of the wanted name that is not what the
// plan wants: somebody else's, who may still repair it.
func testForeignLeftover(t *testing.T, s server) {
	db, d := s.openChat(t)
	must(t, db, `INSERT INTO "AuditLog" ("action","entity","entityId","createdAt") VALUES ('a','e','1','2025-01-01'),('a','e','1','2025-01-01')`)
	if _, err := db.ExecContext(t.Context(), `CREATE UNIQUE INDEX CONCURRENTLY "idx_AuditLog_actorId" ON "AuditLog" ("entityId")`); err == nil {
		t.Fatal("the unique build succeeded over duplicates")
	}
	want := dbindex.Index{Table: "AuditLog", Keys: []dbindex.Key{dbindex.Asc("actorId")}}
	for _, step := range []dbindex.Step{
		{Op: dbindex.Create, Index: want},
		{Op: dbindex.Drop, Index: want},
		{Op: dbindex.Replace, Index: want, Old: dbindex.Index{Name: want.DerivedName(), Table: "AuditLog", Keys: []dbindex.Key{dbindex.Asc("action")}}},
	} {
		r, err := live.Apply(t.Context(), db, dbindex.Plan{Dialect: d, Steps: []dbindex.Step{step}}, live.Options{})
		if !isConflict(err) || r.Count(live.Failed) != 1 || invalid(t, db) == "" {
			t.Errorf("%s beside a foreign invalid index = %+v, %v; want a ConflictError, and it left", step.Op, r, err)
		}
	}
	// Diff has seen it, so its plan may replace it.
	apply(t, db, diff(t, db, []dbindex.Index{want}), live.Options{})
	if invalid(t, db) != "" || !diff(t, db, []dbindex.Index{want}).Empty() {
		t.Errorf("after the plan of Diff: invalid %q", invalid(t, db))
	}
}

func testPreflight(t *testing.T, s server) {
	db, d := s.openChat(t)
	must(t, db, `INSERT INTO "User" ("id","email","createdAt","updatedAt") SELECT 'u'||i, 'e'||i, now(), now() FROM generate_series(1,3000) i; ANALYZE "User"`)
	old := holdSnapshot(t, db)
	plan := diff(t, db, ChatIndexes()[:3])
	var before live.Preflight
	o := live.Options{FreeBytes: 1000, Hooks: live.Hooks{Preflight: func(p live.Preflight) { before = p; _ = old.Rollback() }}}
	r, err := live.Apply(t.Context(), db, plan, o)
	if e, ok := errors.AsType[*live.SpaceError](err); !ok || e.Need < 3000*16 || r.Count(live.NotRun) != len(plan.Steps) {
		t.Errorf("Apply without room = %+v, %v; want a SpaceError and nothing run", r, err)
	}
	o.FreeBytes = 1 << 30
	apply(t, db, plan, o)
	if len(before.Blockers) == 0 || before.Blockers[0].PID == 0 || before.Blockers[0].State != "idle in transaction" || before.Bytes < 3000*16 || before.Server != d {
		t.Errorf("preflight %+v; want the old snapshot and the size", before)
	}
	var size int64
	if err := db.QueryRow(`SELECT sum(pg_relation_size(indexrelid)) FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace = current_schema()::regnamespace AND relname LIKE 'idx%'`).Scan(&size); err != nil || size > 2*before.Bytes {
		t.Errorf("the indexes take %d bytes, %v; the estimate was %d", size, err, before.Bytes)
	}
}
