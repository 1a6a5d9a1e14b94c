package indexes_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// TestMariaDB brings indexes about on MariaDB, there and back, under faults.
func TestMariaDB(t *testing.T) {
	db := mariadb(t, "live")
	exec(t, db, "CREATE TABLE `User` (`id` int PRIMARY KEY, `email` varchar(60) NOT NULL, `active` tinyint(1), `mood` enum('sad','it''s ok'))")
	exec(t, db, "CREATE TABLE `Message` (`id` int PRIMARY KEY AUTO_INCREMENT, `userId` int, `body` text, `createdAt` datetime(3), FOREIGN KEY (`userId`) REFERENCES `User` (`id`))")
	exec(t, db, "INSERT INTO `User` VALUES (1, 'a', 1, 'sad'), (2, 'a', 0, 'sad')")
	exec(t, db, "INSERT INTO `Message` (`userId`, `body`) SELECT 1 + seq % 2, repeat(md5(seq), 3) FROM seq_1_to_20000")
	d, err := live.Detect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	diff := func(want ...dbindex.Index) dbindex.Plan {
		t.Helper()
		plan, err := live.Diff(t.Context(), db, want, live.DiffOptions{AllTables: true})
		if err != nil {
			t.Fatal(err)
		}
		return plan
	}
	apply := func(plan dbindex.Plan) *live.Report {
		t.Helper()
		r, err := live.Apply(t.Context(), db, plan, live.Options{})
		if err != nil {
			t.Fatalf("Apply: %v\n%s", err, plan)
		}
		return r
	}
	body := dbindex.Index{Name: "body", Table: "Message", Keys: []dbindex.Key{{Column: "body", Prefix: 20}, dbindex.Desc("createdAt")}}
	email := dbindex.Index{Name: "email", Table: "User", Keys: []dbindex.Key{{Column: "email", Prefix: 60}}}
	first := []dbindex.Index{body, email}
	plan := diff(first...)
	if len(plan.Steps) != 2 { // the index that the server made for the foreign key stays
		t.Fatalf("first plan:\n%swant two creations", plan)
	}
	if r := apply(plan); r.Count(live.Done) != 2 || r.Before.Server != d {
		t.Errorf("first Apply: %+v", r)
	}
	if again := diff(first...); !again.Empty() {
		t.Errorf("Diff after Apply:\n%swant nothing", again)
	}
	if r := apply(plan); r.Count(live.Present) != 2 {
		t.Errorf("second Apply: %+v; want all present", r.Steps)
	}
	renamed, other, hidden := body, email, email
	renamed.Name, other.Keys, hidden.Ignored = "body2", []dbindex.Key{dbindex.Asc("email"), dbindex.Asc("mood")}, true
	second := diff(renamed, other)
	apply(second)
	if again := diff(renamed, other); !again.Empty() {
		t.Errorf("Diff after the second plan:\n%swant nothing", again)
	}
	apply(second.Reverse())
	if again := diff(first...); !again.Empty() {
		t.Errorf("Diff after the way back:\n%swant nothing", again)
	}
	if plan := diff(body, hidden); len(plan.Steps) != 1 || apply(plan).Count(live.Done) != 1 || !diff(body, hidden).Empty() {
		t.Errorf("hiding an index: %s, then %s", plan, diff(body, hidden))
	}
	t.Run("conflict", func(t *testing.T) {
		odd := dbindex.Index{Name: "email", Table: "User", Keys: []dbindex.Key{dbindex.Asc("active")}}
		for _, op := range []dbindex.Op{dbindex.Create, dbindex.Drop} {
			_, err := live.Apply(t.Context(), db, dbindex.Plan{Dialect: d, Steps: []dbindex.Step{{Op: op, Index: odd}}}, live.Options{})
			if _, ok := errors.AsType[*live.ConflictError](err); !ok {
				t.Errorf("%s = %v; want a ConflictError", op, err)
			}
		}
	})
	t.Run("unique", func(t *testing.T) {
		plan := diff(body, hidden, dbindex.Index{Name: "u", Table: "User", Keys: []dbindex.Key{dbindex.Asc("email")}, Unique: true})
		if _, err := live.Apply(t.Context(), db, plan, live.Options{}); !isUnique(err) || len(diff(body, hidden).Steps) != 0 {
			t.Errorf("Apply over duplicates = %v; want a UniqueError and nothing left", err)
		}
	})
	mood := dbindex.Index{Name: "mood", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("createdAt"), {Column: "body", Prefix: 200}}}
	create := dbindex.Plan{Dialect: d, Steps: []dbindex.Step{{Op: dbindex.Create, Index: mood}}}
	t.Run("lock and cancel", func(t *testing.T) { mariaFaults(t, db, create, func() bool { return diff(body, hidden).Empty() }) })
	t.Run("replicas", func(t *testing.T) {
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { _, errs[i] = live.Apply(within(t, time.Minute), db, create, live.Options{}) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil || !diff(body, hidden, mood).Empty() {
			t.Errorf("eight replicas: %v", err)
		}
	})
	t.Run("lint", func(t *testing.T) {
		exec(t, db, "CREATE INDEX act ON `User` (`active`)")
		exec(t, db, "CREATE INDEX act2 ON `User` (`active`, `id`)")
		schema, err := live.Inspect(t.Context(), db, live.InspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for _, f := range dbindex.Lint(d, schema, dbindex.LintOptions{}) {
			ids[f.ID+" "+f.Index] = true
		}
		if len(ids) != 2 || !ids["DBX007 act"] || !ids["DBX002 act"] {
			t.Errorf("Lint = %v; want DBX007 and DBX002 of act", ids)
		}
		for _, c := range schema.Columns {
			if c.Name == "mood" && (len(c.Values) != 2 || c.Values[1] != "it's ok") {
				t.Errorf("values of the enum: %q", c.Values)
			}
		}
	})
}

func isUnique(err error) bool { _, ok := errors.AsType[*live.UniqueError](err); return ok }

// mariaFaults applies a plan beside a transaction that holds the table, with a context
// that ends, and with sessions killed; each time the index is absent or whole.
func mariaFaults(t *testing.T, db *sql.DB, create dbindex.Plan, absent func() bool) {
	held, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec("SELECT count(*) FROM `Message`"); err != nil {
		t.Fatal(err)
	}
	r, err := live.Apply(t.Context(), db, create, live.Options{DDLLockTimeout: time.Second, Attempts: 2})
	if err == nil || r.Steps[0].Attempts != 2 || len(r.Before.Blockers) == 0 && r.Before.Blockers != nil || !absent() {
		t.Errorf("beside a holder: %+v, %v; want two attempts and no index", r.Steps, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	start := time.Now()
	if _, err := live.Apply(ctx, db, create, live.Options{DDLLockTimeout: time.Hour}); !errors.Is(err, context.Canceled) || !absent() || time.Since(start) > time.Minute {
		t.Errorf("cancelled = %v after %v; want the context's error and no index", err, time.Since(start))
	}
	killed := false
	o := live.Options{DDLLockTimeout: time.Hour, ProgressEvery: 20 * time.Millisecond, Hooks: live.Hooks{Progress: func(p live.Progress) {
		if killed || p.Phase != "Waiting for table metadata lock" {
			return
		}
		killed = true
		var id int64
		if err := db.QueryRow("SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = 'Waiting for table metadata lock' AND DB = DATABASE()").Scan(&id); err != nil {
			t.Error(err)
		}
		exec(t, db, "KILL ?", id)
		_ = held.Rollback()
	}}}
	if r, err := live.Apply(t.Context(), db, create, o); err != nil || !killed || r.Steps[0].Attempts != 2 || absent() {
		t.Errorf("killed %v: %+v, %v; want it done at the second attempt", killed, r.Steps, err)
	}
	if _, err := live.Apply(t.Context(), db, create.Reverse(), live.Options{}); err != nil || !absent() {
		t.Errorf("drop: %v", err)
	}
}
