package main

import (
	"bytes"
	"database/sql"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/internal/realtest"
)

// fillPostgres makes a database and a copy of it, and returns their addresses.
func fillPostgres(t *testing.T) (app, scratch string, db *sql.DB) {
	t.Helper()
	server, err := url.Parse(realtest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	address := func(database string) string {
		u := *server
		u.Path = "/" + database
		return u.String()
	}
	admin := connect(t, server.String())
	const name, copied = "indexadvisor_app", "indexadvisor_copy"
	for _, s := range []string{`DROP DATABASE IF EXISTS ` + name, `DROP DATABASE IF EXISTS ` + copied, `CREATE DATABASE ` + name} {
		execute(t, admin, s)
	}
	db = connect(t, address(name))
	for _, s := range []string{
		`CREATE TABLE message (id integer PRIMARY KEY, room integer NOT NULL, state text NOT NULL, sent integer NOT NULL, body text)`,
		`INSERT INTO message SELECT i, i % 500, CASE WHEN i % 100 = 0 THEN 'pending' ELSE 'sent' END, i, 'text ' || i FROM generate_series(1, 50000) i`, `VACUUM ANALYZE`,
	} {
		execute(t, db, s)
	}
	if err := db.Close(); err != nil { // a template has to be left alone
		t.Fatal(err)
	}
	execute(t, admin, `CREATE DATABASE `+copied+` TEMPLATE `+name)
	return address(name), address(copied), connect(t, address(name))
}

func connect(t *testing.T, address string) *sql.DB {
	t.Helper()
	db, err := open(address, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// made lists the indexes of message beside its key, and whether they are valid.
func made(t *testing.T, db *sql.DB) (list []string) {
	t.Helper()
	rows, err := db.Query(`SELECT indexrelid::regclass::text || CASE WHEN indisvalid THEN '' ELSE ' invalid' END FROM pg_index WHERE indrelid = 'message'::regclass AND NOT indisprimary`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		list = append(list, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPostgres(t *testing.T) {
	app, scratch, db := fillPostgres(t)
	_, queries, _ := fill(t)
	out := filepath.Join(t.TempDir(), "migrations")
	var stdout, stderr bytes.Buffer
	call := func(args ...string) int {
		stdout.Reset()
		stderr.Reset()
		return run(t.Context(), append([]string{"-dsn", app, "-workload", queries}, args...), &stdout, &stderr)
	}
	if code := call("-scratch", app); code != 1 || !strings.Contains(stderr.String(), "want a copy") {
		t.Errorf("the database as its own scratch: code %d, %s", code, &stderr)
	}
	if code := call(); code != 1 || !strings.Contains(stderr.String(), "AllowPrimary") {
		t.Errorf("a server that takes writes: code %d, %s", code, &stderr)
	}
	if code := call("-scratch", scratch, "-out", out); code != 0 {
		t.Fatalf("code %d: %s", code, &stderr)
	}
	for _, want := range []string{"inbox", "pending", "weighted sum", "measured", "dry run", "CREATE INDEX"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, &stdout)
		}
	}
	if list := append(made(t, db), made(t, connect(t, scratch))...); len(list) > 0 {
		t.Errorf("a dry run left %v", list)
	}
	if files, err := filepath.Glob(filepath.Join(out, "*.sql")); err != nil || len(files) == 0 {
		t.Errorf("migration files: %v, %v", files, err)
	}
	if code := call("-scratch", scratch, "-dry-run=false"); code != 0 {
		t.Fatalf("code %d: %s", code, &stderr)
	}
	if list := made(t, db); len(list) == 0 || strings.Contains(strings.Join(list, " "), "invalid") || !strings.Contains(stdout.String(), "applied") {
		t.Errorf("after applying, %v:\n%s", list, &stdout)
	}
}

func TestPostgresHypothetical(t *testing.T) {
	app, _, db := fillPostgres(t)
	_, queries, _ := fill(t)
	if _, err := db.Exec(`CREATE EXTENSION hypopg`); err != nil {
		t.Skip("hypopg is not installed: apt-get install postgresql-15-hypopg")
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-dsn", app, "-workload", queries, "-allow-primary"}, &stdout, &stderr); code != 0 {
		t.Fatalf("code %d: %s", code, &stderr)
	}
	if !strings.Contains(stdout.String(), "estimated") || !strings.Contains(stdout.String(), "CREATE INDEX") || len(made(t, db)) > 0 {
		t.Errorf("made %v:\n%s", made(t, db), &stdout)
	}
}
