package dbtest

import (
	"database/sql"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// run sends each file that ends in suffix as one query string, as Prisma and
// golang-migrate do, in the order of names.
func run(t *testing.T, db *sql.DB, files fs.FS, suffix string, backward, split bool) {
	t.Helper()
	var paths []string
	if err := fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, suffix) {
			paths = append(paths, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if backward {
		slices.Reverse(paths)
	}
	for _, path := range paths {
		b, err := fs.ReadFile(files, path)
		if err != nil {
			t.Fatal(err)
		}
		parts := []string{string(b)}
		if split {
			parts = strings.SplitAfter(string(b), ";\n")
		}
		for _, p := range parts {
			if strings.TrimSpace(p) != "" {
				must(t, db, p)
			}
		}
	}
}

func testMigrationUpDownUp(t *testing.T, s server) {
	db, d := s.openChat(t)
	// One index to drop, one to replace, one to rename, beside the new ones.
	must(t, db, `CREATE INDEX "gone" ON "Message" ("status") WHERE "status" <> 'it''s';
			CREATE INDEX "idx_Account_userId" ON "Account" ("provider");
			CREATE INDEX "old_name" ON "ApiKey" ("userId")`)
	want := append(ChatIndexes()[:10], dbindex.Index{Table: "ApiKey", Keys: []dbindex.Key{dbindex.Asc("userId")}})
	plan := diff(t, db, want)
	before := catalog(t, db, d)
	for _, kind := range []dbindex.MigrationKind{dbindex.Plain, dbindex.Prisma, dbindex.GolangMigrate, dbindex.Goose} {
		files, err := plan.Migration(kind, dbindex.MigrationOptions{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
		if err != nil {
			t.Fatal(err)
		}
		up, down, split := ".up.sql", ".down.sql", kind == dbindex.Plain
		switch kind {
		case dbindex.Prisma:
			up, down = "/migration.sql", "/down.sql"
		case dbindex.Goose:
			continue // one file: the versus module runs it through goose itself
		}
		run(t, db, files, up, false, split)
		first := catalog(t, db, d)
		if p := diff(t, db, want); !p.Empty() {
			t.Errorf("%s: Diff after up:\n%swant nothing", kind, p)
		}
		run(t, db, files, down, true, split)
		if got := catalog(t, db, d); got != before {
			t.Errorf("%s: after down:\n%s\nwant\n%s", kind, got, before)
		}
		run(t, db, files, up, false, split)
		if got := catalog(t, db, d); got != first {
			t.Errorf("%s: after the second up:\n%s\nwant\n%s", kind, got, first)
		}
		run(t, db, files, down, true, split)
	}
}

func testUsage(t *testing.T, s server) {
	db, _ := s.openChat(t)
	if s.name == "sqlite" {
		if _, err := live.Usage(t.Context(), db); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Usage on SQLite = %v; want a FeatureError", err)
		}
		return
	}
	apply(t, db, diff(t, db, ChatIndexes()[:6]), live.Options{})
	must(t, db, `INSERT INTO "User" ("id","email","createdAt","updatedAt") SELECT 'u'||i, 'e'||i, now(), now() FROM generate_series(1,2000) i`)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{`SET enable_seqscan = off`, `SELECT * FROM "User" WHERE lower("email") = 'e7'`, `SELECT pg_stat_force_next_flush()`, `SELECT 1`} {
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	r, err := live.Usage(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	var scans int64
	for _, u := range r.Indexes {
		if strings.HasPrefix(u.Name, "idx_User_expr_") {
			scans = u.Scans
		}
		if u.Name == "Message_pkey" && u.Constraint != dbindex.PrimaryKey || u.Name == "idx_Account_userId" && !u.ForeignKey || u.Name == "idx_Session_expires" && u.ForeignKey {
			t.Errorf("Usage(%s) = %+v", u.Name, u)
		}
	}
	if scans < 1 || r.Since.IsZero() || r.At.Before(r.Since) {
		t.Errorf("scans of the expression index = %d, since %v at %v; want at least 1", scans, r.Since, r.At)
	}
	if got := r.Unused(24 * time.Hour); len(got) != 0 {
		t.Errorf("Unused with young counters = %d indexes; want none", len(got))
	}
	unused := r.Unused(0)
	if len(unused) == 0 || slices.ContainsFunc(unused, func(u live.IndexUsage) bool { return u.Unique || u.ForeignKey }) {
		t.Errorf("Unused(0) = %+v; want indexes that neither are unique nor serve a foreign key", unused)
	}
	reviewUsage(t, db, r)
	if rows, err := db.QueryContext(t.Context(), live.UsageQuery); err != nil {
		t.Errorf("UsageQuery: %v", err)
	} else {
		rows.Close()
	}
}

// reviewUsage plants an index for each reason, and drops what may go and back.
func reviewUsage(t *testing.T, db *sql.DB, before live.UsageReport) {
	t.Helper()
	must(t, db, `CREATE INDEX zz_dup ON "Account" ("userId"); CREATE INDEX zz_pre ON "Message" ("conversationId"); CREATE INDEX zz_wide ON "Message" ("conversationId", "createdAt");
		CREATE TABLE swollen (a int); INSERT INTO swollen SELECT * FROM generate_series(1, 100000); CREATE INDEX zz_swollen ON swollen (a);
		DELETE FROM swollen WHERE a % 10 > 0; UPDATE "User" SET "name" = 'x'`)
	if _, err := db.ExecContext(t.Context(), `CREATE UNIQUE INDEX CONCURRENTLY zz_invalid ON "User" ("name")`); err == nil {
		t.Fatal("the unique build succeeded over duplicates")
	}
	for _, q := range []string{`VACUUM ANALYZE swollen`, `ANALYZE "User"`} {
		must(t, db, q)
	}
	r, err := live.Usage(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range r.Review(0) {
		got[v.Index.Name] = v.Why
		if v.Reason == "" || v.Fix == "" {
			t.Errorf("%+v lacks a reason or fix", v)
		}
	}
	for name, why := range map[string]string{"zz_dup": live.Duplicate, "zz_pre": live.Redundant, "zz_invalid": live.Invalid, "idx_Session_expires": live.Unused, "idx_Account_userId": "", "Message_pkey": ""} {
		if got[name] != why {
			t.Errorf("Review(%s) = %q; want %q", name, got[name], why)
		}
	}
	if slices.ContainsFunc(r.Review(24*time.Hour), func(v live.Review) bool { return v.Why == live.Unused }) {
		t.Error("Review with young counters tells of unused indexes")
	}
	for _, u := range r.Indexes {
		if u.Name == "zz_swollen" && (u.Bloat < 0.5 || u.Bloat > 0.95) || u.Name == "zz_dup" && u.Bloat != 0 {
			t.Errorf("Bloat(%s) = %v", u.Name, u.Bloat)
		}
	}
	plan := r.DropPlan(0)
	list := catalog(t, db, r.Dialect)
	apply(t, db, plan, live.Options{})
	if len(plan.Steps) < 3 || strings.Contains(catalog(t, db, r.Dialect), "zz_dup") {
		t.Errorf("after the drop plan\n%s\n%s", plan, catalog(t, db, r.Dialect))
	}
	apply(t, db, plan.Reverse(), live.Options{})
	if got := catalog(t, db, r.Dialect); got != list {
		t.Errorf("after its reverse:\n%s\nwant\n%s", got, list)
	}
	if both := before.Merge(r); both.Since.Before(r.Since) || len(both.Indexes) != len(before.Indexes) {
		t.Errorf("Merge: since %v with %d indexes", both.Since, len(both.Indexes))
	}
}

func testLint(t *testing.T, s server) {
	db, d := s.openChat(t)
	if s.name == "sqlite" { // a constraint in another collation serves other queries
		must(t, db, `CREATE TABLE collated ("a" text, UNIQUE ("a" COLLATE NOCASE)); CREATE INDEX plain ON collated ("a")`)
	}
	lint := func() (fk, other int) {
		schema, err := live.Inspect(t.Context(), db, live.InspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range dbindex.Lint(d, schema, dbindex.LintOptions{}) {
			if f.ID == dbindex.RuleForeignKey {
				fk++
			} else if other++; f.Severity > dbindex.Info {
				t.Logf("%v", f)
			}
		}
		return fk, other
	}
	if fk, other := lint(); fk != 13 || other != 0 {
		t.Errorf("bare tables: %d foreign keys without index, %d other findings; want 13 and 0", fk, other)
	}
	plan := diff(t, db, ChatIndexes())
	plan.Blocking = true
	apply(t, db, plan, live.Options{})
	if fk, other := lint(); fk != 0 || other != 0 {
		t.Errorf("declared indexes: %d foreign keys without index, %d other findings; want none", fk, other)
	}
}
