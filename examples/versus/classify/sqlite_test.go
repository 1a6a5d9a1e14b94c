package classify_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/perfblocks/perfblocks/resilience"
)

// The references are to sqlite.org/rescode.html.
func sqliteRows(t *testing.T) []row {
	dsn := "file:" + filepath.Join(t.TempDir(), "x.db")
	db := open(t, "sqlite", dsn)
	setup(t, db, "CREATE TABLE pair (id INTEGER PRIMARY KEY, v int NOT NULL UNIQUE CHECK (v < 100))", "INSERT INTO pair VALUES (1, 1)")
	query := func(name, ref, q string, class resilience.Class, f flags) row {
		return row{"SQLite " + name, "sqlite.org/rescode.html#" + ref, "", is(class, "", f), fails(db, q)}
	}
	return []row{
		{"SQLite busy", "sqlite.org/rescode.html#busy", "SQLITE_BUSY", is(resilience.ClassConflict, "", retry), blocked(db, "BEGIN IMMEDIATE", "BEGIN IMMEDIATE")},
		{"SQLite interrupted", "go doc context.DeadlineExceeded", "", is(resilience.ClassTimeout, "", retry|counts), ended(db, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT max(x) FROM c", false)},
		{"SQLite readonly", "sqlite.org/rescode.html#readonly", "readonly", is(resilience.ClassPermanent, "", none), fails(open(t, "sqlite", dsn+"?mode=ro"), "DELETE FROM pair")},
		query("primary key", "constraint_primarykey", "INSERT INTO pair VALUES (1, 2)", resilience.ClassInvalid, none),
		query("unique", "constraint_unique", "INSERT INTO pair VALUES (2, 1)", resilience.ClassInvalid, none),
		query("not null", "constraint_notnull", "INSERT INTO pair VALUES (2, NULL)", resilience.ClassInvalid, none),
		query("check", "constraint_check", "INSERT INTO pair VALUES (2, 101)", resilience.ClassInvalid, none),
		query("mismatch", "mismatch", "INSERT INTO pair VALUES ('x', 3)", resilience.ClassInvalid, none),
		query("no table", "error", "SELECT * FROM nothing", resilience.ClassInvalid, none),
		{"SQLite foreign key", "sqlite.org/rescode.html#constraint_foreignkey", "FOREIGN KEY", is(resilience.ClassInvalid, "", none), fails(db, "PRAGMA foreign_keys = 1;;CREATE TABLE f (p int REFERENCES pair);;INSERT INTO f VALUES (99)")},
		{"SQLite not a database", "sqlite.org/rescode.html#notadb: the file stays so", "not a database", is(resilience.ClassPermanent, "", none), func(t *testing.T) error {
			f := filepath.Join(t.TempDir(), "x.db")
			ok(t, os.WriteFile(f, bytes.Repeat([]byte("no database "), 1<<10), 0o600))
			return fails(open(t, "sqlite", "file:"+f), "CREATE TABLE x (y)")(t)
		}},
		query("too big", "toobig", "SELECT zeroblob(2000000000)", resilience.ClassInvalid, none),
		query("full", "full: a limit here; whether space will come is left open", "PRAGMA max_page_count = 3;;CREATE TABLE b AS SELECT zeroblob(100000)", resilience.ClassOverloaded, anyRetry),
	}
}
