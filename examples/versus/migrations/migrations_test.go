package migrations_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-migrate/migrate/v4"
	migratedb "github.com/golang-migrate/migrate/v4/database"
	migratemysql "github.com/golang-migrate/migrate/v4/database/mysql"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// tables are what the migrations find: two indexes that stay, one to drop, one to
// build anew under its name, one to rename.
const tables = `
CREATE TABLE "Message" ("id" text PRIMARY KEY, "conversationId" text NOT NULL, "status" text NOT NULL, "body" text, "createdAt" text NOT NULL, "deletedAt" text);
CREATE TABLE "Odd -- Table" ("a;b" text, "c -- d" integer, "/* e */" integer UNIQUE);
CREATE INDEX "keep" ON "Message" ("id", "status");
CREATE INDEX "gone" ON "Message" ("status") WHERE "status" <> 'it''s; -- done';
CREATE INDEX "other" ON "Message" ("createdAt");
CREATE INDEX "old_name" ON "Message" ("status");
`

// want changes all but keep, with names and constants that a tool which cuts files
// at semicolons or comments would break.
var want = []dbindex.Index{
	{Name: "keep", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("id"), dbindex.Asc("status")}},
	{Name: "other", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId"), dbindex.Desc("createdAt")}, Where: dbindex.IsNull("deletedAt")},
	{Name: "new_name", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("status")}},
	{Table: "Message", Keys: []dbindex.Key{dbindex.Expr(`lower("body")`)}, Where: dbindex.Eq("status", "a;b -- '")},
	{Table: "Odd -- Table", Keys: []dbindex.Key{dbindex.Asc("a;b"), dbindex.Desc("c -- d")}},
	{Name: "x -- y", Table: "Odd -- Table", Keys: []dbindex.Key{dbindex.Asc("c -- d")}},
	{Name: "-- +goose Down", Table: "Odd -- Table", Keys: []dbindex.Key{dbindex.Desc("c -- d")}, Unique: true},
	{Name: "$HOME ${HOME}", Table: "Odd -- Table", Keys: []dbindex.Key{dbindex.Asc("a;b")}, Unique: true},
}

// database is a connection pool that remembers how to open another one.
type database struct {
	*sql.DB
	driver, source string
}

// tool runs all files of a kind up, or all of them down.
type tool struct {
	kind     dbindex.MigrationKind
	up, down func(t *testing.T, db database, files fs.FS) error
}

var (
	gooseTool = tool{dbindex.Goose,
		func(t *testing.T, db database, files fs.FS) error {
			_, err := gooseProvider(t, db, files).Up(t.Context())
			return err
		},
		func(t *testing.T, db database, files fs.FS) error {
			_, err := gooseProvider(t, db, files).DownTo(t.Context(), 0)
			return err
		}}
	migrateTool = tool{dbindex.GolangMigrate,
		func(t *testing.T, db database, files fs.FS) error {
			return migrator(t, db, files, (*migrate.Migrate).Up)
		},
		func(t *testing.T, db database, files fs.FS) error {
			return migrator(t, db, files, (*migrate.Migrate).Down)
		}}
)

func gooseProvider(t *testing.T, db database, files fs.FS) *goose.Provider {
	t.Helper()
	d, err := live.Detect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	dialect := goose.DialectPostgres
	switch d.Name() {
	case "sqlite":
		dialect = goose.DialectSQLite3
	case "mariadb":
		dialect = goose.DialectMySQL
	}
	p, err := goose.NewProvider(dialect, db.DB, files)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// migrator makes a migrator with the settings that its users have, and runs it.
func migrator(t *testing.T, db database, files fs.FS, run func(*migrate.Migrate) error) error {
	t.Helper()
	own, err := sql.Open(db.driver, db.source) // the migrator closes it
	if err != nil {
		t.Fatal(err)
	}
	var driver migratedb.Driver
	if db.driver == "mysql" {
		driver, err = migratemysql.WithInstance(own, &migratemysql.Config{})
	} else {
		driver, err = migratepgx.WithInstance(own, &migratepgx.Config{})
	}
	if err != nil {
		t.Fatal(err)
	}
	from, err := iofs.New(files, ".")
	if err != nil {
		t.Fatal(err)
	}
	m, err := migrate.NewWithInstance("iofs", from, "pgx5", driver)
	if err != nil {
		t.Fatal(err)
	}
	err = run(m)
	if s, d := m.Close(); s != nil || d != nil {
		t.Errorf("close the migrator: %v, %v", s, d)
	}
	return err
}

func TestPostgres(t *testing.T) {
	addr := realtest.Postgres(t)
	for _, tool := range []tool{gooseTool, migrateTool} {
		for _, blocking := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/blocking=%v", tool.kind, blocking), func(t *testing.T) {
				upDownUp(t, schema(t, addr, fmt.Sprintf("%c%v", tool.kind.String()[0], blocking)), tool, blocking, false)
			})
		}
		t.Run(tool.kind.String()+"/if not exists", func(t *testing.T) {
			upDownUp(t, schema(t, addr, fmt.Sprintf("%cguarded", tool.kind.String()[0])), tool, false, true)
		})
	}
	for _, tool := range []tool{gooseTool, migrateTool} {
		t.Run(fmt.Sprintf("%s/guard", tool.kind), func(t *testing.T) { guarded(t, schema(t, addr, "guard"+tool.kind.String()[:1]), tool) })
	}
	t.Run("OneFileFails", func(t *testing.T) { oneFileFails(t, schema(t, addr, "plain")) })
}

func TestSQLite(t *testing.T) {
	upDownUp(t, open(t, "sqlite", "file:"+filepath.Join(t.TempDir(), "test.db")), gooseTool, false, false)
}

func open(t *testing.T, driver, source string) database {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return database{db, driver, source}
}

// schema returns connections to an empty schema of the test's own.
func schema(t *testing.T, addr, name string) database {
	t.Helper()
	admin := open(t, "pgx", addr)
	exec(t, admin, "CREATE SCHEMA "+name)
	t.Cleanup(func() { exec(t, admin, "DROP SCHEMA "+name+" CASCADE") })
	u, err := url.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return open(t, "pgx", u.String())
}

func exec(t *testing.T, db database, query string) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func upDownUp(t *testing.T, db database, tool tool, blocking, guard bool) {
	exec(t, db, tables)
	plan := diff(t, db)
	plan.Blocking = blocking
	files, err := plan.Migration(tool.kind, dbindex.MigrationOptions{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), IfNotExists: guard})
	if err != nil {
		t.Fatal(err)
	}
	before := catalog(t, db)
	if err := tool.up(t, db, files); err != nil {
		t.Fatalf("up: %v", err)
	}
	after := catalog(t, db)
	if p := diff(t, db); !p.Empty() || after == before {
		t.Errorf("Diff after up:\n%swant nothing", p)
	}
	if err := tool.down(t, db, files); err != nil {
		t.Fatalf("down: %v", err)
	}
	if got := catalog(t, db); got != before {
		t.Errorf("after down:\n%s\nwant\n%s", got, before)
	}
	if err := tool.up(t, db, files); err != nil {
		t.Fatalf("second up: %v", err)
	}
	if got := catalog(t, db); got != after {
		t.Errorf("after the second up:\n%s\nwant\n%s", got, after)
	}
	bench.Emit(t, bench.Row{Measure: fmt.Sprintf("up, down and up again by %s (%s, blocking %v, if not exists %v): catalog equal", tool.kind, db.driver, blocking, guard), Unit: "runs", Ours: map[bool]float64{true: 1}[!t.Failed()], Goal: "= 1", OK: !t.Failed()})
}

// diff asks for want on the two tables; the bookkeeping of the tools stays out.
func diff(t *testing.T, db database) dbindex.Plan {
	t.Helper()
	plan, err := live.Diff(t.Context(), db.DB, want, live.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// catalog returns the indexes of the two tables as the server prints them.
func catalog(t *testing.T, db database) (s string) {
	t.Helper()
	d, err := live.Detect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	query := `SELECT string_agg(indexdef, E'\n' ORDER BY indexname) FROM pg_indexes WHERE schemaname = current_schema() AND tablename IN ('Message', 'Odd -- Table')`
	if d.Name() == "sqlite" {
		query = `SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('Message', 'Odd -- Table') ORDER BY name)`
	}
	if err := db.QueryRowContext(t.Context(), query).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// guarded runs files that check for an invalid leftover: they stop at one, and once it
// is gone run to the end, also over what is there already.
func guarded(t *testing.T, db database, tool tool) {
	exec(t, db, tables)
	exec(t, db, `INSERT INTO "Message" ("id", "conversationId", "status", "createdAt") VALUES ('1', 'c', '', ''), ('2', 'c', '', '')`)
	list := []dbindex.Index{
		{Name: "first", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("body")}},
		{Name: "it's; left", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId")}},
	}
	plan, err := dbindex.Diff(dbindex.Postgres(15), list, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := plan.Migration(tool.kind, dbindex.MigrationOptions{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), IfNotExists: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `CREATE UNIQUE INDEX CONCURRENTLY "it's; left" ON "Message" ("conversationId")`); err == nil {
		t.Fatal("no invalid index was left")
	}
	if err := tool.up(t, db, files); err == nil || !strings.Contains(err.Error(), "is invalid") {
		t.Errorf("up beside an invalid index: %v; want it to stop there", err)
	}
	exec(t, db, `DROP INDEX "it's; left"`)
	if tool.kind == dbindex.GolangMigrate { // as its users do after an error
		exec(t, db, `UPDATE schema_migrations SET version = 20260102030406, dirty = false`)
	}
	if err := tool.up(t, db, files); err != nil {
		t.Errorf("up again: %v", err)
	}
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_index WHERE indexrelid IN (to_regclass('first'), to_regclass('"it''s; left"')) AND indisvalid`).Scan(&n); err != nil || n != 2 {
		t.Errorf("%d valid indexes, %v; want both", n, err)
	}
}

// oneFileFails shows why the files are cut as they are: the same statements in one
// golang-migrate file, or in a goose file that opens a transaction, are refused.
func oneFileFails(t *testing.T, db database) {
	exec(t, db, tables)
	two := []dbindex.Index{{Table: "Message", Keys: []dbindex.Key{dbindex.Asc("body")}}, {Table: "Message", Keys: []dbindex.Key{dbindex.Asc("deletedAt")}}}
	plan, err := dbindex.Diff(dbindex.Postgres(15), two, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		tool tool
		file string
		text string
	}{
		{migrateTool, "1_two.up.sql", plan.String()},
		{gooseTool, "00001_two.sql", "-- +goose Up\n" + plan.String()},
	} {
		err := tc.tool.up(t, db, fstest.MapFS{tc.file: {Data: []byte(tc.text)}})
		if err == nil || !strings.Contains(fmt.Sprint(err), "CONCURRENTLY cannot") && !hasState(err, "25001") {
			t.Errorf("%s with two statements in one file: %v; want the server's refusal", tc.tool.kind, err)
		}
	}
}

func hasState(err error, code string) bool {
	var s interface{ SQLState() string }
	return errors.As(err, &s) && s.SQLState() == code
}
