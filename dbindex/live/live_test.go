package live_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// fakeServer answers the questions that come before any change, as a PostgreSQL 15
// behind a transaction pooler would: each statement reaches another process.
type fakeServer struct {
	version string
	pid     int64
	asked   []string
	answer  func(query string) driver.Value // nil: the fake's own answers
}

func (f *fakeServer) Connect(context.Context) (driver.Conn, error) { return fakeConn{f}, nil }
func (f *fakeServer) Driver() driver.Driver                        { return nil }

type fakeConn struct{ f *fakeServer }

func (c fakeConn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not prepared") }
func (c fakeConn) Close() error                        { return nil }
func (c fakeConn) Begin() (driver.Tx, error)           { return nil, errors.New("no transaction") }

func (c fakeConn) ExecContext(_ context.Context, q string, _ []driver.NamedValue) (driver.Result, error) {
	c.f.asked = append(c.f.asked, q)
	return driver.ResultNoRows, nil
}

func (c fakeConn) QueryContext(_ context.Context, q string, _ []driver.NamedValue) (driver.Rows, error) {
	c.f.asked = append(c.f.asked, q)
	if c.f.answer != nil {
		if v := c.f.answer(q); v != nil {
			return &fakeRows{v: v}, nil
		}
	}
	switch {
	case q == `SELECT version()` && c.f.version != "":
		return &fakeRows{v: c.f.version}, nil
	case q == `SHOW server_version_num`:
		return &fakeRows{v: "150004"}, nil
	case strings.Contains(q, "pg_backend_pid"):
		c.f.pid++
		return &fakeRows{v: c.f.pid}, nil
	}
	return nil, errors.New("unknown function")
}

type fakeRows struct {
	v    driver.Value
	done bool
}

func (r *fakeRows) Columns() []string { return []string{"v"} }
func (r *fakeRows) Close() error      { return nil }

func (r *fakeRows) Next(dest []driver.Value) error {
	if r.done {
		return io.EOF
	}
	dest[0], r.done = r.v, true
	return nil
}

func plan(t *testing.T, d dbindex.Dialect) dbindex.Plan {
	t.Helper()
	p, err := dbindex.Diff(d, []dbindex.Index{{Table: "t", Keys: []dbindex.Key{dbindex.Asc("a")}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestApplyRefusesPooler(t *testing.T) {
	f := &fakeServer{version: "PostgreSQL 15.4 on x86_64"}
	db := sql.OpenDB(f)
	defer db.Close()
	r, err := live.Apply(t.Context(), db, plan(t, dbindex.Postgres(15)), live.Options{})
	if !errors.Is(err, live.ErrPooler) || r.Count(live.NotRun) != 1 {
		t.Errorf("Apply = %+v, %v; want ErrPooler and nothing run", r, err)
	}
	for _, q := range f.asked {
		if strings.Contains(q, "INDEX") {
			t.Errorf("sent %q", q)
		}
	}
}

// TestApplyConnectionFails has the second connection fail before its first step.
func TestApplyConnectionFails(t *testing.T) {
	pids := 0
	f := &fakeServer{version: "PostgreSQL 15.4 on x86_64", answer: func(q string) driver.Value {
		switch {
		case strings.Contains(q, "pg_try_advisory_lock"):
			return true
		case strings.Contains(q, "pg_backend_pid"):
			if pids++; pids <= 2 {
				return int64(7)
			}
			return "no number"
		case strings.Contains(q, "current_setting"):
			return "0"
		}
		return nil
	}}
	db := sql.OpenDB(f)
	defer db.Close()
	drop := plan(t, dbindex.Postgres(15)).Reverse()
	if r, err := live.Apply(t.Context(), db, drop, live.Options{}); err == nil || r.Count(live.NotRun) != 1 || pids != 3 {
		t.Errorf("Apply = %+v, %v after %d process ids; want an error and nothing run", r, err, pids)
	}
	if n := db.Stats().InUse; n != 0 {
		t.Errorf("%d connections left in use", n)
	}
}

// TestApplyOldServer has a plan for a newer server than the one that answers.
func TestApplyOldServer(t *testing.T) {
	f := &fakeServer{version: "PostgreSQL 14.9 on x86_64", answer: func(q string) driver.Value {
		if q == `SHOW server_version_num` {
			return "140009"
		}
		return nil
	}}
	db := sql.OpenDB(f)
	defer db.Close()
	p, err := dbindex.Diff(dbindex.Postgres(15), []dbindex.Index{{Table: "t", Keys: []dbindex.Key{dbindex.Asc("a")}, Unique: true, NullsNotDistinct: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := live.Apply(t.Context(), db, p, live.Options{}); !errors.Is(err, errors.ErrUnsupported) || r.Count(live.NotRun) != 1 {
		t.Errorf("Apply on an older server = %+v, %v; want a FeatureError and nothing run", r, err)
	}
}

func TestDetect(t *testing.T) {
	for version, want := range map[string]string{
		"PostgreSQL 15.4 (Debian)":       "postgres 15",
		"8.0.36":                         "mysql 8.0",
		"10.11.6-MariaDB-0+deb12u1":      "mariadb 10.11",
		"CockroachDB CCL v23.1 (x86_64)": "",
		"":                               "",
	} {
		db := sql.OpenDB(&fakeServer{version: version})
		d, err := live.Detect(t.Context(), db)
		if got := d.String(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("Detect(%q) = %s, %v; want %q", version, got, err, want)
		}
		db.Close()
	}
}

func TestUnsupportedServer(t *testing.T) {
	db := sql.OpenDB(&fakeServer{version: "8.0.36"})
	defer db.Close()
	if _, err := live.Inspect(t.Context(), db, live.InspectOptions{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Inspect = %v; want ErrUnsupported", err)
	}
	if _, err := live.Usage(t.Context(), db); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Usage = %v; want ErrUnsupported", err)
	}
	if _, err := live.Apply(t.Context(), db, plan(t, dbindex.MySQL(8, 0)), live.Options{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Apply = %v; want ErrUnsupported", err)
	}
	if _, err := live.Apply(t.Context(), db, plan(t, dbindex.SQLite()), live.Options{}); !errors.Is(err, live.ErrOptions) {
		t.Errorf("Apply of another product's plan = %v; want ErrOptions", err)
	}
}

func TestOptions(t *testing.T) {
	p := plan(t, dbindex.SQLite())
	_, err := live.Apply(t.Context(), nil, p, live.Options{Attempts: 101, FreeBytes: -1, DDLLockTimeout: 600 * time.Hour, CleanupTimeout: -1, ProgressEvery: -1})
	for _, field := range []string{"Attempts", "FreeBytes", "DDLLockTimeout", "CleanupTimeout", "ProgressEvery"} {
		if !errors.Is(err, live.ErrOptions) || !strings.Contains(err.Error(), field) {
			t.Errorf("Apply = %v; want ErrOptions that names %s", err, field)
		}
	}
	if r, err := live.Apply(t.Context(), nil, p, live.Options{Disabled: true}); err != nil || r.Count(live.NotRun) != 1 || r.Err() != nil {
		t.Errorf("Disabled: %+v, %v; want one step not run", r, err)
	}
	bad := dbindex.Plan{Dialect: dbindex.SQLite(), Steps: []dbindex.Step{{Index: dbindex.Index{Table: "t"}}}}
	if _, err := live.Apply(t.Context(), nil, bad, live.Options{}); !errors.Is(err, dbindex.ErrIndex) {
		t.Errorf("bad plan: %v; want ErrIndex before the database is touched", err)
	}
}

func TestOutcomeText(t *testing.T) {
	for o := live.NotRun; o <= live.Failed; o++ {
		text, err := o.MarshalText()
		var back live.Outcome
		if err != nil || back.UnmarshalText(text) != nil || back != o || string(text) != o.String() {
			t.Errorf("%v: text %q, %v, back %v", o, text, err, back)
		}
	}
	var o live.Outcome
	if err := o.UnmarshalText([]byte("x")); !errors.Is(err, live.ErrOptions) {
		t.Errorf("UnmarshalText(x) = %v; want ErrOptions", err)
	}
	if _, err := live.Outcome(9).MarshalText(); !errors.Is(err, live.ErrOptions) {
		t.Errorf("MarshalText(9) = %v; want ErrOptions", err)
	}
}

func TestUnused(t *testing.T) {
	now := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	r := live.UsageReport{At: now, Since: now.AddDate(0, 0, -30), Indexes: []live.IndexUsage{
		{Name: "used", Scans: 1}, {Name: "idle"}, {Name: "unique", Unique: true},
		{Name: "constraint", Constraint: dbindex.Exclusion}, {Name: "foreign", ForeignKey: true},
	}}
	if got := r.Unused(7 * 24 * time.Hour); len(got) != 1 || got[0].Name != "idle" {
		t.Errorf("Unused = %+v; want idle alone", got)
	}
	if got := r.Unused(31 * 24 * time.Hour); got != nil {
		t.Errorf("Unused with younger counters = %+v; want none", got)
	}
	r.Schema.Tables = []dbindex.Table{{Name: "t", Updates: 4, HotUpdates: 1}}
	if hot, none := r.HotShare(live.IndexUsage{Table: "t"}), r.HotShare(live.IndexUsage{Table: "u"}); hot != 0.25 || none != 1 {
		t.Errorf("HotShare = %v and %v; want 0.25, and 1 without updates", hot, none)
	}
	replica := live.UsageReport{At: now, Since: now.AddDate(0, 0, -3), Indexes: []live.IndexUsage{{Name: "idle", Scans: 7}}}
	both := r.Merge(replica)
	if got := both.Unused(24 * time.Hour); len(got) != 0 || both.Indexes[0].Name != "idle" || both.Indexes[0].Scans != 7 || r.Indexes[1].Scans != 0 {
		t.Errorf("Merge with a replica that uses idle: %+v; want none unused, and the report as it was", both.Indexes)
	}
	if got := both.Unused(7 * 24 * time.Hour); got != nil {
		t.Errorf("Unused beside younger counters = %+v; want none", got)
	}
	if r := (live.IndexUsage{BlocksHit: 3, BlocksRead: 1}).HitRatio(); r != 0.75 {
		t.Errorf("HitRatio = %v; want 0.75", r)
	}
}
