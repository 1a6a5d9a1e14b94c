package main

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const workload = `
-- name: inbox weight: 50
SELECT id, body FROM message WHERE room = 7 ORDER BY sent DESC LIMIT 20;
-- name: pending weight: 5
SELECT id FROM message WHERE state = 'pending' ORDER BY sent;
`

// fill makes a database file and a workload file.
func fill(t *testing.T) (database, queries string, db *sql.DB) {
	t.Helper()
	dir := t.TempDir()
	database, queries = filepath.Join(dir, "app.db"), filepath.Join(dir, "queries.sql")
	db, err := sql.Open("sqlite", "file:"+database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, s := range []string{
		`CREATE TABLE message (id INTEGER PRIMARY KEY, room INTEGER, state TEXT, sent INTEGER, body TEXT)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
		 INSERT INTO message SELECT i, i % 200, CASE WHEN i % 100 = 0 THEN 'pending' ELSE 'sent' END, i, 'text ' || i FROM n`,
	} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(queries, []byte(workload), 0o600); err != nil {
		t.Fatal(err)
	}
	return database, queries, db
}

func indexes(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow(`SELECT count(*) FROM sqlite_master WHERE type = 'index'`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDryRunWritesOnlyFiles(t *testing.T) {
	database, queries, db := fill(t)
	out := filepath.Join(t.TempDir(), "migrations")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-dsn", database, "-workload", queries, "-out", out, "-kind", "golang-migrate"}, &stdout, &stderr); code != 0 {
		t.Fatalf("code %d: %s", code, &stderr)
	}
	for _, want := range []string{"inbox", "pending", "weighted sum", "measured", "dry run", "CREATE INDEX"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, &stdout)
		}
	}
	if n := indexes(t, db); n != 0 {
		t.Errorf("a dry run made %d indexes", n)
	}
	files, err := filepath.Glob(filepath.Join(out, "*.up.sql"))
	if err != nil || len(files) == 0 {
		t.Errorf("migration files: %v, %v", files, err)
	}
}

func TestApply(t *testing.T) {
	database, queries, db := fill(t)
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-dsn", database, "-workload", queries, "-dry-run=false"}, &stdout, &stderr); code != 0 {
		t.Fatalf("code %d: %s", code, &stderr)
	}
	if n := indexes(t, db); n == 0 || !strings.Contains(stdout.String(), "applied") {
		t.Errorf("%d indexes after:\n%s", n, &stdout)
	}
}

func TestRefuses(t *testing.T) {
	database, queries, _ := fill(t)
	for name, args := range map[string][]string{
		"no dsn": {"-workload", queries}, "no workload": {"-dsn", database}, "two workloads": {"-dsn", database, "-workload", queries, "-statements", "3"},
		"no such file": {"-dsn", database + "x", "-workload", queries}, "no such workload": {"-dsn", database, "-workload", queries + "x"},
		"kind": {"-dsn", database, "-workload", queries, "-kind", "flyway"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 1 || stderr.Len() == 0 {
			t.Errorf("%s: code %d, %q; want 1 and a reason", name, code, &stderr)
		}
	}
	if _, err := os.Stat(database + "x"); err == nil {
		t.Error("a database was made")
	}
}
