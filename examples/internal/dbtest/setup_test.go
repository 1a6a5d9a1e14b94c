package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// server is a kind of database that a test can have as many of as it likes.
type server struct {
	name string
	url  string // of PostgreSQL's own first database
}

var schemas atomic.Int64

// open returns an empty database of the test's own.
func (s server) open(t testing.TB) *sql.DB {
	t.Helper()
	driver, dsn := "sqlite", "file:"+filepath.Join(t.TempDir(), "test.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)"
	if s.name == "postgres" {
		driver, dsn = "pgx", s.createSchema(t)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// createSchema makes a schema, drops it after the test, and returns a URL under which
// it is the current one.
func (s server) createSchema(t testing.TB) string {
	admin, err := sql.Open("pgx", s.url)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("dbtest_%d_%d", os.Getpid(), schemas.Add(1))
	must(t, admin, `CREATE SCHEMA `+name)
	t.Cleanup(func() {
		must(t, admin, `DROP SCHEMA `+name+` CASCADE`)
		admin.Close()
	})
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// each lists the tests that run on every server, alone those of PostgreSQL.
var (
	each = map[string]func(*testing.T, server){
		"RoundTrip": testRoundTrip, "HostileNames": testHostileNames, "Chat": testChat, "ReplaceAndRename": testReplaceAndRename,
		"Conflict": testConflict, "UniqueViolation": testUniqueViolation, "Locked": testLocked, "Refuses": testRefuses,
		"MigrationUpDownUp": testMigrationUpDownUp, "Usage": testUsage, "Lint": testLint,
		"CancelBetweenSteps": testCancelBetweenSteps, "HookPanics": testHookPanics,
	}
	alone = map[string]func(*testing.T, server){
		"InvalidLeftover": testInvalidLeftover, "Cancel": testCancel, "Replicas": testReplicas,
		"SettingsRestored": testSettingsRestored, "BackendKilled": testBackendKilled, "Schemas": testSchemas,
		"Partitioned": testPartitioned, "Plants": testPlants, "ForeignLeftover": testForeignLeftover, "Preflight": testPreflight, "Blocking": testBlocking, "SearchPath": testSearchPath,
		"CancelDuringProgress": testCancelDuringProgress, "ControlKilled": testControlKilled, "IdleTimeout": testIdleTimeout, "Exotic": testExotic, "Referenced": testReferenced, "ReadOnly": testReadOnly,
		"Qualified": testQualified,
	}
)

func TestSQLite(t *testing.T) {
	for name, fn := range each {
		t.Run(name, func(t *testing.T) { fn(t, server{name: "sqlite"}) })
	}
	t.Run("Folding", func(t *testing.T) { testFolding(t, server{name: "sqlite"}) })
}

// TestPostgres starts one server for all of its parts, each with its own schema.
func TestPostgres(t *testing.T) {
	s := server{name: "postgres", url: realtest.Postgres(t)}
	for name, fn := range each {
		t.Run(name, func(t *testing.T) { fn(t, s) })
	}
	for name, fn := range alone {
		t.Run(name, func(t *testing.T) { fn(t, s) })
	}
}

// openChat returns a database with the tables of the chat application.
func (s server) openChat(t testing.TB) (*sql.DB, dbindex.Dialect) {
	t.Helper()
	db := s.open(t)
	d, err := live.Detect(context.Background(), db)
	if err != nil || d.Name() != s.name {
		t.Fatalf("Detect = %v, %v; want %s", d, err, s.name)
	}
	must(t, db, chatSchema(t, d))
	return db, d
}

func must(t testing.TB, db *sql.DB, statements string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), statements, args...); err != nil {
		t.Fatalf("Exec(%.200s): %v", statements, err)
	}
}

// chatSchema returns the tables of the chat application for a dialect.
func chatSchema(t testing.TB, d dbindex.Dialect) string {
	t.Helper()
	b, err := os.ReadFile("testdata/chat.sql")
	if err != nil {
		t.Fatal(err)
	}
	if d.Name() == "sqlite" {
		return strings.NewReplacer("timestamptz(3)", "text", "bigserial", "integer", "jsonb", "text", `REFERENCES "User" ON`, `REFERENCES "User"("id") ON`).Replace(string(b))
	}
	return string(b)
}

// catalog returns the definitions of all indexes, one to a line.
func catalog(t testing.TB, db *sql.DB, d dbindex.Dialect) string {
	t.Helper()
	q := `SELECT coalesce(string_agg(indexdef, E'\n' ORDER BY indexname), '') FROM pg_indexes WHERE schemaname = current_schema()`
	if d.Name() == "sqlite" {
		q = `SELECT coalesce(group_concat(sql, char(10)), '') FROM (SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name)`
	}
	var s string
	if err := db.QueryRowContext(context.Background(), q).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// invalid returns the names of invalid indexes.
func invalid(t testing.TB, db *sql.DB) string {
	t.Helper()
	var s string
	q := `SELECT coalesce(string_agg(indexrelid::regclass::text, ','), '') FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace = current_schema()::regnamespace AND NOT (indisvalid AND indisready AND indislive)`
	if err := db.QueryRowContext(context.Background(), q).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}
