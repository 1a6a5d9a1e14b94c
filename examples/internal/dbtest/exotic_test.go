package dbtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// exotic are indexes that real databases hold; each goes through Inspect and back.
var exotic = []string{
	`CREATE INDEX "lower order" ON "select" ((lower("order") COLLATE "C") text_pattern_ops DESC NULLS LAST, "Ünï" NULLS FIRST)`,
	`CREATE INDEX ON "select" (("Group"->>'a;b'), ((n)::bigint), (tags[1]))`,
	`CREATE INDEX "it's" ON "select" ((CASE WHEN n > 0 AND n < 9 OR n = 11 THEN "order" ELSE 'x' END)) WHERE n BETWEEN 1 AND 3 AND "order" ~ '^\d+\s'`,
	`CREATE INDEX ON "select" (n) INCLUDE ("order", "Ünï") WITH (fillfactor = 70, deduplicate_items = off) WHERE (kind = ANY ('{a,b}'::"Kind"[])) IS NOT TRUE`,
	`CREATE INDEX ON "select" (n) WHERE kind IN ('a', 'it''s') AND n IS DISTINCT FROM 5 AND NOT flag`,
	`CREATE UNIQUE INDEX ON "select" (n, "order") NULLS NOT DISTINCT WHERE flag`,
	`CREATE INDEX ON "select" USING hash ("order" varchar_pattern_ops)`,
	`CREATE INDEX ON "select" USING brin (n, at) WITH (pages_per_range = 16, autosummarize = on)`,
	`CREATE INDEX ON "select" USING gin (tags, "Group" jsonb_path_ops) WITH (fastupdate = off)`,
	`CREATE INDEX ON "select" USING gin (to_tsvector('english'::regconfig, coalesce("order", '') || ' ' || "Ünï"))`,
	`CREATE INDEX ON "select" USING gist (period range_ops) WHERE upper(period) > '2026-01-01'::date`,
	`CREATE INDEX ON "select" USING spgist ("order")`,
	`CREATE INDEX ON "select" ((at AT TIME ZONE 'UTC'), EXTRACT(year FROM at AT TIME ZONE 'UTC'), ("order" || ':' || "Ünï"))`,
	`CREATE INDEX ON "select" ((ROW(n, "order") IS NULL), (n IN (1, 2)))`,
	`CREATE INDEX "` + "ｱ" + strings.Repeat("é", 30) + `" ON "select" (flag)`,
}

const exoticTable = `CREATE TYPE "Kind" AS ENUM ('a', 'b', 'it''s');
CREATE TABLE "select" (id int PRIMARY KEY, n int, "order" text COLLATE "POSIX", "Ünï" varchar(20), "Group" jsonb, tags text[], kind "Kind",
  flag boolean, at timestamptz, period daterange, UNIQUE (n, id), EXCLUDE USING gist (period WITH &&))`

// testExotic reads what is there, finds no difference to itself, and builds the same
// again.
func testExotic(t *testing.T, s server) {
	db := s.open(t)
	must(t, db, exoticTable)
	for _, ddl := range exotic {
		must(t, db, ddl)
	}
	d := dbindex.Postgres(15)
	schema, err := live.Inspect(t.Context(), db, live.InspectOptions{})
	if err != nil || len(schema.Unknown) > 0 {
		t.Fatalf("Inspect: %v, unknown %+v", err, schema.Unknown)
	}
	want := slices.DeleteFunc(schema.Indexes, func(ix dbindex.Index) bool { return ix.Constraint != dbindex.NoConstraint })
	if len(want) != len(exotic) {
		t.Fatalf("Inspect gave %d plain indexes; want %d", len(want), len(exotic))
	}
	if p := diff(t, db, want); !p.Empty() {
		t.Errorf("Diff with itself:\n%s", p)
	}
	drop := dbindex.Plan{Dialect: d}
	for _, ix := range want {
		drop.Steps = append(drop.Steps, dbindex.Step{Op: dbindex.Drop, Index: ix})
	}
	apply(t, db, drop, live.Options{})
	apply(t, db, diff(t, db, want), live.Options{})
	again, err := live.Inspect(t.Context(), db, live.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := dbindex.Diff(d, want, again.Indexes); err != nil || !p.Empty() {
		t.Errorf("built again they differ: %v\n%s", err, p)
	}
}

// testReferenced: a unique index that a foreign key refers to, or by which replication
// knows rows, looks like a copy of another and must stay.
func testReferenced(t *testing.T, s server) {
	db := s.open(t)
	must(t, db, `CREATE TABLE parent (id int PRIMARY KEY, code text NOT NULL, other text NOT NULL);
		CREATE UNIQUE INDEX parent_code ON parent (code); CREATE TABLE child (code text REFERENCES parent (code));
		CREATE UNIQUE INDEX parent_code2 ON parent (code); CREATE INDEX ON child (code);
		CREATE UNIQUE INDEX parent_other ON parent (other); CREATE UNIQUE INDEX parent_other2 ON parent (other);
		ALTER TABLE parent REPLICA IDENTITY USING INDEX parent_other2`)
	r, err := live.Usage(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	var drops []string
	for _, st := range r.DropPlan(0).Steps {
		if st.Index.Schema == r.Schema.Current || strings.HasPrefix(st.Index.Name, "parent_") {
			drops = append(drops, st.Index.Name)
		}
	}
	slices.Sort(drops)
	if got := strings.Join(drops, " "); got != "parent_code2 parent_other" {
		t.Errorf("DropPlan: %s; want parent_code2 parent_other", got)
	}
	plan, err := live.Diff(t.Context(), db, []dbindex.Index{{Table: "parent", Name: "by_code", Unique: true, Keys: []dbindex.Key{dbindex.Asc("code")}}}, live.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range plan.Steps {
		if st.Op == dbindex.Drop && (st.Index.Name == "parent_other2" || st.Index.Name == "parent_code") {
			t.Errorf("Diff drops what others lean on:\n%s", plan)
		}
	}
	drop := dbindex.Plan{Dialect: plan.Dialect, Steps: []dbindex.Step{{Op: dbindex.Drop, Index: dbindex.Index{Table: "parent", Name: "parent_other2", Unique: true, Keys: []dbindex.Key{dbindex.Asc("other")}}}}}
	if _, err := live.Apply(t.Context(), db, drop, live.Options{}); err == nil || !strings.Contains(catalog(t, db, plan.Dialect), "parent_other2") {
		t.Errorf("Apply of a drop of the replica identity = %v; want an error, and the index there", err)
	}
}

// testQualified: raw SQL may name its table before a column, which the server does not
// print. One table name in two schemas, and a session that has a temporary table of the
// name already, change nothing.
func testQualified(t *testing.T, s server) {
	db, d := s.openChat(t)
	var current string
	if err := db.QueryRow(`SELECT current_schema()::text`).Scan(&current); err != nil {
		t.Fatal(err)
	}
	must(t, db, `CREATE SCHEMA `+current+`_other; CREATE TABLE `+current+`_other."AuditLog" (LIKE "AuditLog")`)
	defer must(t, db, `DROP SCHEMA `+current+`_other CASCADE`)
	where := dbindex.RawSQL(`"AuditLog"."actorId" IS NULL`)
	want := []dbindex.Index{
		{Table: "AuditLog", Name: "first", Keys: []dbindex.Key{dbindex.Asc("createdAt")}, Where: where},
		{Table: "Conversation", Name: "second", Keys: []dbindex.Key{dbindex.Expr(`lower("Conversation"."title")`)}, Where: dbindex.And(dbindex.IsNull("deletedAt"), dbindex.RawSQL(`"Conversation"."isPinned"`))},
		{Schema: current + "_other", Table: "AuditLog", Name: "third", Keys: []dbindex.Key{dbindex.Asc("entity")}, Where: where},
		{Table: "AuditLog", Name: "fourth", Keys: []dbindex.Key{dbindex.Asc("entity")}, Where: dbindex.RawSQL(`"AuditLog"."entity" <> 'x'`)},
	}
	// The server itself takes them.
	for _, ix := range want {
		text, err := ix.SQL(d)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, text)
	}
	if p := diff(t, db, want); !p.Empty() {
		t.Errorf("Diff with what is there:\n%swant nothing", p)
	}
	empty := diff(t, db, nil)
	for _, ix := range want {
		empty.Steps = append(empty.Steps, dbindex.Step{Op: dbindex.Drop, Index: ix})
	}
	if r := apply(t, db, empty, live.Options{}); r.Count(live.Done) != len(want) {
		t.Errorf("Apply of drops: %d done; want %d", r.Count(live.Done), len(want))
	}
	apply(t, db, diff(t, db, want), live.Options{})
	if p := diff(t, db, want); !p.Empty() {
		t.Errorf("Diff after Apply:\n%swant nothing", p)
	}
	want[0].Where = dbindex.RawSQL(`"AuditLog"."actorId" IS NOT NULL`)
	if p := diff(t, db, want); len(p.Steps) != 1 || p.Steps[0].Op != dbindex.Replace {
		t.Errorf("Diff with another predicate:\n%swant one Replace", p)
	}
	db.SetMaxOpenConns(1)
	must(t, db, `CREATE TEMP TABLE "Conversation" (a int)`)
	want[1].Schema = current
	must(t, db, `SET search_path = `+current+`, pg_temp`)
	want[1].Keys, want[1].Where = []dbindex.Key{dbindex.Asc("title")}, dbindex.RawSQL(`"isPinned"`)
	if p := diff(t, db, want[1:2]); len(p.Steps) != 1 || p.Steps[0].Op != dbindex.Replace {
		t.Errorf("Diff beside a temporary table of the name:\n%swant one Replace", p)
	}
}

// testReadOnly: a session that may not write is told so, and nothing is left.
func testReadOnly(t *testing.T, s server) {
	db, d := s.openChat(t)
	plan := diff(t, db, ChatIndexes()[:2])
	before := catalog(t, db, d)
	db.SetMaxIdleConns(0)
	must(t, db, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	t.Cleanup(func() {
		must(t, db, `BEGIN READ WRITE; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$; COMMIT`)
	})
	if r, err := live.Apply(t.Context(), db, plan, live.Options{}); err == nil || r.Count(live.Done) > 0 {
		t.Errorf("Apply where nobody may write = %+v, %v", r, err)
	}
	if got := catalog(t, db, d); got != before {
		t.Errorf("after: %s", got)
	}
}

// testFolding: SQLite has names that differ in the case of other letters than ASCII's.
func testFolding(t *testing.T, s server) {
	db := s.open(t)
	must(t, db, `CREATE TABLE "Täble" ("a" text, "É" text, "é" text); CREATE TABLE "TÄble" ("a" text); CREATE INDEX "Ü" ON "Täble" ("a"); CREATE INDEX "ü" ON "Täble" ("É")`)
	ix := func(name, column string) dbindex.Index {
		return dbindex.Index{Name: name, Table: "Täble", Keys: []dbindex.Key{dbindex.Asc(column)}}
	}
	want := []dbindex.Index{ix("Ü", "A"), ix("ü", "é"), ix("x", "É")}
	plan := diff(t, db, want)
	if len(plan.Steps) != 2 { // ü anew, on the other column, and x
		t.Errorf("plan:\n%swant a replacement and a creation", plan)
	}
	apply(t, db, plan, live.Options{})
	if again := diff(t, db, want); !again.Empty() {
		t.Errorf("Diff after Apply:\n%swant nothing", again)
	}
	plan.Steps = []dbindex.Step{{Op: dbindex.Create, Index: ix("y", "Á")}}
	if _, err := live.Apply(t.Context(), db, plan, live.Options{}); err == nil {
		t.Error("a column that is not there was indexed")
	}
}
