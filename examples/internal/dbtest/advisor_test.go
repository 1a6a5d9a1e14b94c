package dbtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/advisor"
	"github.com/perfblocks/perfblocks/dbindex/live"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// ticketTables hold data in which the last tickets by date are the rare ones.
const ticketTables = `
CREATE TABLE ticket (id bigint PRIMARY KEY, owner integer NOT NULL, state text NOT NULL, opened timestamp NOT NULL, closed timestamp, title text NOT NULL, labels jsonb NOT NULL DEFAULT '{}');
CREATE TABLE person (id integer PRIMARY KEY, email text NOT NULL, active boolean NOT NULL);
INSERT INTO ticket SELECT i, i % 997, CASE WHEN i > 29500 THEN 'rare' WHEN i % 50 = 0 THEN 'open' ELSE 'done' END, timestamp '2026-01-01' + i * interval '1 second',
  CASE WHEN i % 3 > 0 THEN timestamp '2026-02-01' END, 'ticket ' || md5(i::text), jsonb_build_object('n', i % 1000) FROM generate_series(1, 30000) i;
INSERT INTO person SELECT i, 'Person' || i || '@example.com', i % 10 > 0 FROM generate_series(1, 5000) i;
CREATE INDEX ticket_owner_idx ON ticket (owner);
CREATE INDEX person_active_idx ON person (active);`

// ticketWork asks for one kind of index each.
func ticketWork() advisor.Workload {
	return advisor.Workload{
		{Name: "page", Weight: 100, SQL: `SELECT id, title FROM ticket WHERE owner = $1 ORDER BY opened DESC LIMIT 10`, Args: [][]any{{1}, {500}}},
		{Name: "open", Weight: 20, SQL: `SELECT id FROM ticket WHERE state = 'open' AND opened > '2026-01-01 10:00' ORDER BY opened LIMIT 50`},
		{Name: "state", Weight: 1, SQL: `SELECT count(*) FROM ticket WHERE state = $1 AND owner = $2`, Args: [][]any{{"open", 3}}},
		{Name: "email", Weight: 50, SQL: `SELECT id FROM person WHERE lower(email) = $1`, Args: [][]any{{"person77@example.com"}}},
		{Name: "title", Weight: 5, SQL: `SELECT id FROM ticket WHERE title ILIKE '%abc123%'`},
		{Name: "labels", Weight: 5, SQL: `SELECT id FROM ticket WHERE labels @> '{"n": 7}'`},
		{Name: "mixed", Weight: 5, SQL: `SELECT id FROM ticket ORDER BY owner, opened DESC LIMIT 5`},
		{Name: "pay", Weight: 5, SQL: `UPDATE ticket SET closed = now() WHERE owner = $1 AND closed IS NULL`, Args: [][]any{{9}}},
		{Name: "whole", Weight: 1, SQL: `SELECT count(*) FROM person`},
	}
}

// openTickets returns a database of its own, since extensions and hidden indexes are
// the database's, and its name.
func openTickets(t *testing.T, url string) (*sql.DB, string) {
	t.Helper()
	admin, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	must(t, admin, `DROP DATABASE IF EXISTS perfblocks_tickets`)
	must(t, admin, `CREATE DATABASE perfblocks_tickets`)
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Database = "perfblocks_tickets"
	db := stdlib.OpenDB(*cfg)
	t.Cleanup(func() {
		db.Close()
		admin, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close()
		must(t, admin, `DROP DATABASE perfblocks_tickets WITH (FORCE)`)
	})
	for s := range strings.SplitSeq(ticketTables, ";\n") {
		must(t, db, s)
	}
	must(t, db, `CREATE EXTENSION IF NOT EXISTS pg_trgm`)
	must(t, db, `VACUUM ANALYZE`)
	return db, "perfblocks_tickets"
}

// TestAdvisor runs the advisor's backends on one PostgreSQL server.
func TestAdvisor(t *testing.T) {
	url := realtest.Postgres(t)
	db, name := openTickets(t, url)
	t.Run("Toggle", func(t *testing.T) { testToggle(t, db, name) })
	t.Run("Rejects", func(t *testing.T) { testRejects(t, db, name) })
	t.Run("HypoPG", func(t *testing.T) { testHypoPG(t, db) })
	t.Run("Statements", func(t *testing.T) { testStatements(t, db, name) })
	t.Run("FromStatements", func(t *testing.T) { testFromStatements(t, db, name) })
	t.Run("InUse", func(t *testing.T) { testInUse(t, url, name) })
	t.Run("Restores", func(t *testing.T) { testToggleRestores(t, db, name) })
	t.Run("Refuses", func(t *testing.T) { testAdvisorRefuses(t, db) })
}

func testToggle(t *testing.T, db *sql.DB, name string) {
	d := dbindex.Postgres(15)
	before := catalog(t, db, d)
	tog, err := advisor.NewToggle(t.Context(), db, name)
	if err != nil {
		t.Fatal(err)
	}
	defer tog.Close()
	// By costs, which are the same on every machine: these tables are too small for times.
	a, err := advisor.Advise(t.Context(), tog, ticketWork(), advisor.Options{DisableRuns: true})
	if err != nil {
		t.Fatal(err)
	}
	text := a.Plan().String()
	for _, want := range []string{`("owner", "opened"`, `WHERE "state" = 'open'`, `(lower("email"))`, `USING gin ("title" "gin_trgm_ops")`, `("labels" "jsonb_path_ops")`, `"opened" DESC`, `DROP INDEX CONCURRENTLY "ticket_owner_idx"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the advice has no %s:\n%s", want, text)
		}
	}
	for _, never := range []string{`"owner" =`, `person77`, `ON "ticket" ("id")`} {
		if strings.Contains(text, never) {
			t.Errorf("the advice has %s:\n%s", never, text)
		}
	}
	v, err := advisor.Verify(t.Context(), tog, a, ticketWork(), advisor.VerifyOptions{Rounds: 3})
	if err != nil {
		t.Fatal(err)
	}
	checkVerified(t, a, v)
	if err := tog.Close(); err != nil {
		t.Fatal(err)
	}
	if after := catalog(t, db, d); after != before {
		t.Errorf("Close left other indexes:\n%s\nwant\n%s", after, before)
	}
	if left := invalid(t, db); left != "" {
		t.Errorf("Close left invalid indexes: %s", left)
	}
	var closed int
	if err := db.QueryRow(`SELECT count(*) FROM ticket WHERE owner = 9 AND closed > '2026-02-02'`).Scan(&closed); err != nil || closed > 0 {
		t.Errorf("Verify left %d rows written, %v", closed, err)
	}
}

// checkVerified compares a verified advice with the one before: every proposal is
// kept and measured or rejected with a reason.
func checkVerified(t *testing.T, a, v *advisor.Advice) {
	t.Helper()
	if len(v.Create)+len(v.Rejected) != len(a.Create) || v.Verified == 0 || a.Verified != 0 {
		t.Errorf("%d verified and %d rejected of %d", len(v.Create), len(v.Rejected), len(a.Create))
	}
	for _, p := range v.Create {
		if p.Confidence != advisor.Measured || p.Bytes <= 0 || len(p.Queries) == 0 {
			t.Errorf("not measured: %+v", p)
		}
	}
	for _, q := range v.Queries {
		if q.RunBefore <= 0 || q.RunAfter <= 0 {
			t.Errorf("query %s did not run: %v, %v", q.Name, q.RunBefore, q.RunAfter)
		}
		if q.Candidates == 0 && q.Reason == "" {
			t.Errorf("query %s has neither candidates nor a reason", q.Name)
		}
	}
}

// testRejects proposes an index that the planner prefers and that reads the whole table:
// the rare tickets are the last by date.
func testRejects(t *testing.T, db *sql.DB, name string) {
	must(t, db, `CREATE INDEX ticket_state_idx ON ticket (state)`)
	defer must(t, db, `DROP INDEX ticket_state_idx`)
	work := advisor.Workload{{Name: "rare", SQL: `SELECT title FROM ticket WHERE state = 'rare' ORDER BY opened LIMIT 5`}}
	bad := dbindex.Index{Table: "ticket", Keys: []dbindex.Key{dbindex.Asc("opened")}}
	bad.Name = bad.DerivedName()
	a := &advisor.Advice{Dialect: dbindex.Postgres(15), Create: []advisor.Proposal{{Index: bad}}, Queries: make([]advisor.QueryAdvice, 1)}
	tog, err := advisor.NewToggle(t.Context(), db, name)
	if err != nil {
		t.Fatal(err)
	}
	defer tog.Close()
	v, err := advisor.Verify(t.Context(), tog, a, work, advisor.VerifyOptions{Rounds: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Create) != 0 || len(v.Rejected) != 1 || !strings.Contains(v.Rejected[0].Reason, "rare") {
		t.Errorf("kept %v, rejected %v; want the index rejected for query rare", v.Indexes(), v.Rejected)
	}
	if len(a.Create) != 1 || len(a.Rejected) != 0 {
		t.Error("Verify changed the advice that it was given")
	}
}

func testHypoPG(t *testing.T, db *sql.DB) {
	if _, err := db.Exec(`CREATE EXTENSION IF NOT EXISTS hypopg`); err != nil {
		t.Skip("hypopg is not installed: apt-get install postgresql-15-hypopg")
	}
	if _, err := advisor.NewHypoPG(t.Context(), db, advisor.HypoPGOptions{}); !errors.Is(err, advisor.ErrPrimary) {
		t.Fatalf("NewHypoPG on a primary: %v; want ErrPrimary", err)
	}
	h, err := advisor.NewHypoPG(t.Context(), db, advisor.HypoPGOptions{AllowPrimary: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	before := catalog(t, db, dbindex.Postgres(15))
	a, err := advisor.Advise(t.Context(), h, ticketWork(), advisor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text := a.Plan().String()
	for _, want := range []string{`("owner", "opened"`, `WHERE "state" = 'open'`, `(lower("email"))`} {
		if !strings.Contains(text, want) {
			t.Errorf("the advice has no %s:\n%s", want, text)
		}
	}
	if after := catalog(t, db, dbindex.Postgres(15)); after != before {
		t.Error("HypoPG made real indexes")
	}
	a, err = advisor.Advise(t.Context(), h, advisor.Workload{{SQL: `SELECT id FROM ticket WHERE owner = $1 AND opened > $2 ORDER BY opened`}}, advisor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if q := a.Queries[0]; q.After > q.Before/2 || len(a.Create) != 1 {
		t.Errorf("without arguments: %+v, %v", q, a.Indexes())
	}
}

// testStatements gives all kinds of statement: what the server accepts gives candidates
// or a reason, what is more than one statement is not sent.
func testStatements(t *testing.T, db *sql.DB, name string) {
	var work advisor.Workload
	for _, s := range []string{
		`SELECT 1`, `VALUES (1), (2)`, `TABLE ticket`, `SELECT * FROM ticket`, `SELECT relname FROM pg_class WHERE relkind = 'r'`,
		`WITH x AS (SELECT owner, count(*) n FROM ticket GROUP BY owner) SELECT p.email, n FROM x JOIN person p ON p.id = x.owner WHERE n > 3 ORDER BY n DESC`,
		`SELECT * FROM ticket t WHERE EXISTS (SELECT FROM person p WHERE p.id = t.owner AND p.active) AND (state = 'open' OR closed IS NULL) LIMIT 1`,
		`SELECT DISTINCT ON (owner) id FROM ticket ORDER BY owner, opened DESC`, `SELECT owner, state, count(*) FROM ticket GROUP BY ROLLUP (owner, state)`,
		`SELECT id, rank() OVER (PARTITION BY owner ORDER BY opened) FROM ticket WHERE opened BETWEEN '2026-01-01' AND '2026-01-02'`,
		`INSERT INTO person VALUES (-1, 'x', true)`, `INSERT INTO person SELECT -owner - 2, title, true FROM ticket WHERE owner = 3 AND state <> 'done' ON CONFLICT DO NOTHING`,
		`DELETE FROM ticket WHERE opened < '2020-01-01'`, `UPDATE person SET active = false FROM ticket WHERE ticket.owner = person.id AND ticket.state = 'x'`,
		`MERGE INTO person p USING ticket t ON p.id = t.owner WHEN MATCHED THEN DO NOTHING`,
		`SELECT * FROM ticket WHERE title LIKE 'ticket 00%' AND labels ? 'n' AND id = ANY (ARRAY[1, 2, 3])`, `SELECT * FROM ticket WHERE owner IN ($1, $2) AND title ~ $3`,
		`SELECT $1::int + count(*) FROM ticket WHERE to_tsvector('simple', title) @@ to_tsquery('simple', 'abc')`, `SELECT * FROM generate_series(1, 3) g`,
		`SELECT * FROM ticket WHERE $1`, `CREATE TABLE never (a int)`, `VACUUM`, `SELECT nothing FROM nowhere`, ``, `--`, `SELECT 1; DROP TABLE ticket`, "SELECT 1 -- \r; DROP TABLE ticket",
		`COMMIT; DROP TABLE ticket; BEGIN`, "SELECT '\x00'", `SELECT 'a\'; DROP TABLE ticket; --'`, `EXECUTE nothing`, `SELECT (((((1`,
	} {
		work = append(work, advisor.Query{Name: s, SQL: s})
	}
	tog, err := advisor.NewToggle(t.Context(), db, name)
	if err != nil {
		t.Fatal(err)
	}
	defer tog.Close()
	a, err := advisor.Advise(t.Context(), tog, work, advisor.Options{MaxIndexes: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range a.Queries {
		if q.Candidates == 0 && q.Reason == "" {
			t.Errorf("%s: neither candidates nor a reason", q.Name)
		}
	}
	if a.Queries[6].Candidates == 0 {
		t.Errorf("%s: no candidates: %s", a.Queries[6].Name, a.Queries[6].Reason)
	}
	if _, err := advisor.Verify(t.Context(), tog, a, work, advisor.VerifyOptions{Rounds: 1}); err != nil {
		t.Errorf("Verify: %v", err)
	}
	var n int
	if err := db.QueryRow(`SELECT count(*) FROM ticket`).Scan(&n); err != nil || n != 30000 {
		t.Errorf("ticket has %d rows, %v; want 30000", n, err)
	}
}

func testFromStatements(t *testing.T, db *sql.DB, name string) {
	if _, err := db.Exec(`CREATE EXTENSION IF NOT EXISTS pg_stat_statements`); err != nil {
		t.Skip("pg_stat_statements is not there: apt-get install postgresql-contrib")
	}
	for range 7 {
		must(t, db, `SELECT title FROM ticket WHERE owner = 12 AND opened > '2026-01-01' ORDER BY opened`)
	}
	must(t, db, "/* web */ -- inbox\n SELECT title FROM ticket WHERE state = 'open' AND owner = 13")
	w, err := advisor.FromStatements(t.Context(), db, 100)
	if err != nil {
		t.Skipf("pg_stat_statements is not preloaded: %v", err)
	}
	if !slices.ContainsFunc(w, func(q advisor.Query) bool { return strings.HasPrefix(q.SQL, "/* web */") }) {
		t.Errorf("a statement behind comments is not among %v", w)
	}
	i := slices.IndexFunc(w, func(q advisor.Query) bool {
		return strings.HasPrefix(q.SQL, `SELECT title FROM ticket WHERE owner = $1`)
	})
	if i < 0 || w[i].Weight != 7 {
		t.Fatalf("the statement is not among %v", w)
	}
	tog, err := advisor.NewToggle(t.Context(), db, name)
	if err != nil {
		t.Fatal(err)
	}
	defer tog.Close()
	a, err := advisor.Advise(t.Context(), tog, w[i:i+1], advisor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if q := a.Queries[0]; q.Candidates == 0 || q.Before <= q.After {
		t.Errorf("a statement without arguments: %+v", q)
	}
	if _, err := advisor.FromStatements(t.Context(), db, 0); !errors.Is(err, advisor.ErrOptions) {
		t.Errorf("limit 0: %v; want ErrOptions", err)
	}
}

func testAdvisorRefuses(t *testing.T, db *sql.DB) {
	if _, err := advisor.NewToggle(t.Context(), db, "production"); !errors.Is(err, advisor.ErrPrimary) {
		t.Errorf("NewToggle with another name: %v; want ErrPrimary", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	tog, err := advisor.NewToggle(ctx, db, "perfblocks_tickets")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	_, err = advisor.Advise(ctx, tog, ticketWork(), advisor.Options{Progress: func(p advisor.Progress) {
		if n++; p.Stage == "build" && p.Done == 3 {
			cancel(why)
		}
	}})
	if !errors.Is(err, context.Canceled) && !errors.Is(err, why) || n == 0 {
		t.Errorf("Advise of an ended context: %v", err)
	}
	if err := tog.Close(); err != nil {
		t.Errorf("Close after the end of its context: %v", err)
	}
	if left := catalog(t, db, dbindex.Postgres(15)); strings.Contains(left, "whatif") {
		t.Errorf("Close left indexes:\n%s", left)
	}
}

// testToggleRestores ends a search by a panic and a program by force: no index of the
// database changes, and none of ours is left.
func testToggleRestores(t *testing.T, db *sql.DB, name string) {
	d := dbindex.Postgres(15)
	before := catalog(t, db, d)
	must(t, db, `CREATE INDEX perfblocks_whatif_99 ON ticket (state)`) // as a program that was killed leaves it
	must(t, db, `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'perfblocks_whatif_99'::regclass`)
	func() {
		tog, err := advisor.NewToggle(t.Context(), db, name)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
			if bad := invalid(t, db); strings.Contains(bad, "ticket_owner_idx") {
				t.Errorf("others see an index hidden: %s", bad)
			}
			if err := tog.Close(); err != nil {
				t.Errorf("Close after a panic: %v", err)
			}
		}()
		_, _ = advisor.Advise(t.Context(), tog, ticketWork(), advisor.Options{Progress: func(p advisor.Progress) {
			if p.Stage == "search" && p.Done == 3 {
				panic("enough")
			}
		}})
	}()
	if after := catalog(t, db, d); after != before {
		t.Errorf("other indexes:\n%s\nwant\n%s", after, before)
	}
	if left := invalid(t, db); left != "" {
		t.Errorf("invalid indexes: %s", left)
	}
}

// testInUse has a session of another program in the database.
func testInUse(t *testing.T, url, name string) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Database = name
	db := stdlib.OpenDB(*cfg)
	defer db.Close()
	cfg = cfg.Copy()
	cfg.RuntimeParams["application_name"] = "shop"
	other, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := advisor.NewToggle(t.Context(), db, name); !errors.Is(err, advisor.ErrPrimary) || !strings.Contains(err.Error(), "shop") {
		t.Errorf("NewToggle beside another program: %v; want ErrPrimary and its name", err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestAdvisorSQLite advises on a copy in a file.
func TestAdvisorSQLite(t *testing.T) {
	db := server{name: "sqlite"}.open(t)
	for _, s := range []string{
		`CREATE TABLE "Ticket" (id INTEGER PRIMARY KEY, "ownerId" INTEGER NOT NULL, state TEXT NOT NULL, opened TEXT NOT NULL, title TEXT)`,
		`CREATE INDEX old ON "Ticket" (title)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
		 INSERT INTO "Ticket" SELECT i, i % 500, CASE WHEN i % 100 = 0 THEN 'open' ELSE 'done' END, datetime('2026-01-01', i || ' seconds'), 'title ' || i FROM n`,
	} {
		must(t, db, s)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	must(t, db, `VACUUM INTO '`+copied+`'`)
	scratch, err := sql.Open("sqlite", "file:"+copied)
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	if _, err := advisor.NewSQLite(t.Context(), scratch, "elsewhere.db"); !errors.Is(err, advisor.ErrPrimary) {
		t.Errorf("NewSQLite with another path: %v; want ErrPrimary", err)
	}
	s, err := advisor.NewSQLite(t.Context(), scratch, copied)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	work := advisor.Workload{
		{Name: "page", Weight: 10, SQL: `SELECT id, title FROM ticket WHERE ownerid = ? ORDER BY opened DESC LIMIT 10`, Args: [][]any{{7}}},
		{Name: "open", Weight: 5, SQL: `SELECT id FROM Ticket t WHERE t.state = 'open' ORDER BY opened`},
		{Name: "write", Weight: 1, SQL: `DELETE FROM Ticket WHERE ownerId = ?`, Args: [][]any{{8}}},
	}
	before := catalog(t, scratch, dbindex.SQLite())
	a, err := advisor.Advise(t.Context(), s, work, advisor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text := a.Plan().String()
	for _, want := range []string{`("ownerId", "opened"`, `"state" = 'open'`, `DROP INDEX "old"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the advice has no %s:\n%s", want, text)
		}
	}
	v, err := advisor.Verify(t.Context(), s, a, work, advisor.VerifyOptions{Rounds: 3})
	if err != nil {
		t.Fatal(err)
	}
	checkVerified(t, a, v)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if after := catalog(t, scratch, dbindex.SQLite()); after != before {
		t.Errorf("Close left other indexes:\n%s\nwant\n%s", after, before)
	}
	have, err := live.Inspect(t.Context(), scratch, live.InspectOptions{})
	if err != nil || len(have.Indexes) != 1 {
		t.Errorf("indexes after Close: %v, %v", have.Indexes, err)
	}
}

// TestRecorder records what passes through real drivers, prepared or not.
func TestRecorder(t *testing.T) {
	plain := server{name: "sqlite"}.open(t)
	r := advisor.NewRecorder(advisor.RecorderOptions{MaxQueries: 4, MaxSamples: 2})
	db := sql.OpenDB(r.Connector(connector{plain}))
	defer db.Close()
	must(t, db, `CREATE TABLE a (x INTEGER, y TEXT)`)
	st, err := db.Prepare(`INSERT INTO a VALUES (?, ?)`)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for i := range 20 {
		if _, err := st.Exec(i, "y"); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM a WHERE x > ?`, 4).Scan(&n); err != nil || n != 15 {
		t.Fatalf("through the recorder: %d, %v; want 15", n, err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		must(t, db, `DELETE FROM a WHERE x = 99`)
	}
	must(t, db, `DELETE FROM a WHERE x = 98`) // one text too many
	w := r.Workload()
	if len(w) != 4 || w[0].SQL != `INSERT INTO a VALUES (?, ?)` || w[0].Weight != 20 || len(w[0].Args) != 2 || len(w[0].Args[0]) != 2 || w[1].Weight != 3 || r.Missed() != 1 {
		t.Errorf("Workload = %v, %d missed", w, r.Missed())
	}
}

// connector makes connections of an open database's driver.
type connector struct{ db *sql.DB }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	var file string
	if err := c.db.QueryRowContext(ctx, `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&file); err != nil {
		return nil, err
	}
	return c.db.Driver().Open("file:" + file)
}

func (c connector) Driver() driver.Driver { return c.db.Driver() }
