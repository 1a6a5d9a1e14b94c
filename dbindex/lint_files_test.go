package dbindex_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// found lists ids and lines of the findings in a tree of files.
func found(t *testing.T, d dbindex.Dialect, files map[string]string, o dbindex.LintOptions) string {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	list, err := dbindex.LintFiles(d, tree, o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range list {
		got = append(got, fmt.Sprintf("%s:%d", f.ID, f.Line))
		if f.File == "" || f.Message == "" {
			t.Errorf("%+v lacks a file or message", f)
		}
	}
	slices.Sort(got)
	return strings.Join(got, " ")
}

func TestLintFiles(t *testing.T) {
	const table = "CREATE TABLE t (a int, b text NOT NULL);\n"
	cic := "CREATE INDEX CONCURRENTLY i ON t (a);\n"
	for _, tc := range []struct {
		name, path, text, want string
	}{
		{"alone", "1_a.up.sql", cic, ""},
		{"blocking", "1_a.up.sql", "-- why\n\nCREATE INDEX i ON t (a);", "DBX005:3"},
		{"blocking on a new table", "1_a.up.sql", table + "CREATE INDEX i ON t (a);", ""},
		{"blocking on a new view", "1_a.up.sql", "CREATE MATERIALIZED VIEW t AS SELECT 1 AS a;\nCREATE UNIQUE INDEX ON t (a);", ""},
		{"only the parent", "1_a.up.sql", "CREATE INDEX i ON ONLY t (a);", ""},
		{"drop", "1_a.up.sql", "DROP INDEX i;", "DBX005:1"},
		{"reindex", "1_a.up.sql", "REINDEX INDEX i;", "DBX005:1"},
		{"unique constraint", "1_a.up.sql", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (a);", "DBX005:1"},
		{"unique constraint from an index", "1_a.up.sql", "ALTER TABLE t ADD CONSTRAINT u UNIQUE USING INDEX u;", ""},
		{"two in golang-migrate", "1_a.up.sql", cic + "SELECT 1;", "DBX012:1"},
		{"two in golang-migrate's down", "1_a.down.sql", "DROP INDEX CONCURRENTLY i;\nDROP INDEX CONCURRENTLY j;", "DBX012:1 DBX012:2"},
		{"two in Prisma", "20260101_a/migration.sql", "SET lock_timeout = 0;\n" + cic, "DBX012:2"},
		{"two in a plain script", "index.sql", cic + cic[:25] + " j ON t (b);", ""},
		{"in a transaction", "index.sql", "BEGIN;\n" + cic + "COMMIT;", "DBX012:2"},
		{"after a transaction", "index.sql", "BEGIN;\nCOMMIT;\n" + cic, ""},
		{"goose", "1_a.sql", "-- +goose Up\n" + cic + "-- +goose Down\nDROP INDEX CONCURRENTLY i;", "DBX012:2 DBX012:4"},
		{"goose without", "1_a.sql", "-- +goose NO TRANSACTION\n-- +goose Up\n" + cic + cic[:25] + " j ON t (b);\n-- +goose Down\nDROP INDEX CONCURRENTLY i;", ""},
		{"if not exists", "1_a.up.sql", "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a);", "DBX013:1"},
		{"guarded", "index.sql", "DO $$ BEGIN IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('i') AND NOT indisvalid) THEN RAISE 'i'; END IF; END $$;\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a);", ""},
		{"short timeout", "index.sql", "SET lock_timeout = '2s';\n" + cic, "DBX014:2"},
		{"short statement timeout", "index.sql", "SET statement_timeout TO 5000;\n" + cic, "DBX014:2"},
		{"long timeout", "index.sql", "SET lock_timeout = '30min'; SET statement_timeout = 0;\n" + cic, ""},
		{"one name", "index.sql", table + "CREATE INDEX i ON t (a);\nCREATE INDEX i ON t (b);", "DBX006:3"},
		{"long names", "index.sql", table + "CREATE INDEX " + strings.Repeat("n", 70) + "1 ON t (a);\nCREATE INDEX " + strings.Repeat("n", 70) + "2 ON t (b);", "DBX006:2 DBX006:3"},
		{"duplicate", "index.sql", table + "CREATE INDEX i ON t (a);\nCREATE INDEX j ON public.t USING btree (a ASC);", "DBX001:3"},
		{"duplicate gone", "index.sql", table + "CREATE INDEX i ON t (a); CREATE INDEX j ON t (a);\nDROP INDEX i;", ""},
		{"foreign key", "index.sql", "CREATE TABLE u (id int PRIMARY KEY);\nCREATE TABLE t (a int REFERENCES u);", "DBX003:2"},
		{"foreign key of a table", "index.sql", "CREATE TABLE t (a int, b int,\nCONSTRAINT f FOREIGN KEY (a, b) REFERENCES u (x, y) ON DELETE CASCADE);\nCREATE INDEX i ON t (b, a);", ""},
		{"foreign key added", "m/migration.sql", "ALTER TABLE \"t\" ADD CONSTRAINT \"f\" FOREIGN KEY (\"a\") REFERENCES \"u\"(\"id\");", "DBX003:1"},
		{"foreign key in a key", "index.sql", "CREATE TABLE t (a int REFERENCES u, b int, PRIMARY KEY (a, b));", ""},
		{"foreign key dropped", "index.sql", "CREATE TABLE t (a int REFERENCES u);\nALTER TABLE t DROP CONSTRAINT t_a_fkey;", ""},
		{"column dropped", "index.sql", "CREATE TABLE t (a int REFERENCES u);\nALTER TABLE t DROP COLUMN a;", ""},
		{"boolean", "index.sql", "CREATE TABLE t (a boolean);\nCREATE INDEX i ON t (a);", "DBX007:2"},
		{"volatile", "index.sql", table + "CREATE INDEX i ON t (a) WHERE b > now()::text;", "DBX008:2"},
		{"enum", "index.sql", "CREATE TYPE mood AS ENUM ('sad', 'ok');\nCREATE TABLE t (m mood);\nCREATE INDEX i ON t (m) WHERE m = 'happy';", "DBX011:3"},
		{"check", "index.sql", "CREATE TABLE t (m text NOT NULL CHECK (m IN ('sad', 'ok')));\nCREATE INDEX i ON t (m) WHERE m IN ('sad', 'happy');", "DBX011:2"},
		{"enum changed", "index.sql", "CREATE TYPE mood AS ENUM ('sad', 'ok');\nALTER TYPE mood ADD VALUE 'happy';\nCREATE TABLE t (m mood);\nCREATE INDEX i ON t (m) WHERE m = 'happy';", ""},
		{"what hides semicolons", "index.sql", "/* ; /* ; */ */ INSERT INTO x VALUES ('a;b', E'\\';', $q$ ; $q$); -- ;\nCREATE INDEX i ON t (a);", "DBX005:2"},
		{"not SQL", "README.md", "CREATE INDEX i ON t (a);", ""},
	} {
		if got := found(t, dbindex.Postgres(15), map[string]string{tc.path: tc.text}, dbindex.LintOptions{}); got != tc.want {
			t.Errorf("%s: %s; want %s", tc.name, got, tc.want)
		}
	}
}

func TestLintFilesHistory(t *testing.T) {
	files := map[string]string{
		"9_table.up.sql":    "CREATE TABLE t (a int, b int);",
		"10_first.up.sql":   "CREATE INDEX i ON t (a);",
		"10_first.down.sql": "DROP INDEX i;",
		"11_second.up.sql":  "CREATE INDEX CONCURRENTLY j ON t (a);",
	}
	pg := dbindex.Postgres(15)
	if got := found(t, pg, files, dbindex.LintOptions{}); got != "DBX001:1 DBX005:1" {
		t.Errorf("all: %s; want the duplicate and the blocking statement", got)
	}
	if got := found(t, pg, files, dbindex.LintOptions{Applied: "10_first.up.sql"}); got != "DBX001:1" {
		t.Errorf("after the first: %s; want the duplicate", got)
	}
	if got := found(t, pg, files, dbindex.LintOptions{Ignore: []string{dbindex.RuleDuplicate, dbindex.RuleBlocking}}); got != "" {
		t.Errorf("ignored: %s", got)
	}
	my := map[string]string{"1_a.up.sql": "CREATE TABLE t (a int, b tinyint(1), KEY i (a), UNIQUE KEY u (b, a));\nALTER TABLE t ADD INDEX j (a);\nCREATE INDEX k ON t (b);\nDROP INDEX k ON t;"}
	if got := found(t, dbindex.MariaDB(10, 11), my, dbindex.LintOptions{}); got != "DBX001:2" {
		t.Errorf("MariaDB: %s; want the duplicate", got)
	}
	if _, err := dbindex.LintFiles(dbindex.Dialect{}, fstest.MapFS{}, dbindex.LintOptions{}); !errors.Is(err, dbindex.ErrOptions) {
		t.Errorf("zero Dialect: %v; want ErrOptions", err)
	}
}

// TestLintOwnFiles finds nothing in the files that Migration writes.
func TestLintOwnFiles(t *testing.T) {
	plan, err := dbindex.Diff(dbindex.Postgres(15), chat(), []dbindex.Index{{Name: "old", Table: "User", Keys: []dbindex.Key{dbindex.Asc("role")}}})
	if err != nil {
		t.Fatal(err)
	}
	for kind := dbindex.Plain; kind <= dbindex.Goose; kind++ {
		files, err := plan.Migration(kind, dbindex.MigrationOptions{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
		if err != nil {
			t.Fatal(err)
		}
		if list, err := dbindex.LintFiles(plan.Dialect, files, dbindex.LintOptions{}); err != nil || len(list) != 0 {
			t.Errorf("%s: %v, %v; want nothing", kind, list, err)
		}
	}
}

func FuzzLintFiles(f *testing.F) {
	for _, s := range []string{"CREATE TABLE t (a int REFERENCES u, CHECK (a IN (1))); CREATE INDEX i ON t (a)", "-- +goose Up\n$$;$$ /* ", "ALTER TABLE t ADD (", "DROP INDEX a, b;SET x", "create type t as enum ('", "E'\\'';"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, d := range []dbindex.Dialect{dbindex.Postgres(15), dbindex.MariaDB(10, 11), dbindex.SQLite()} {
			for _, name := range []string{"1.up.sql", "a/migration.sql"} {
				if _, err := dbindex.LintFiles(d, fstest.MapFS{name: {Data: []byte(s)}}, dbindex.LintOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestLintFilesSplit reads what hides statements from a careless reader.
func TestLintFilesSplit(t *testing.T) {
	pg, my := dbindex.Postgres(15), dbindex.MySQL(8, 0)
	twice := "CREATE INDEX i ON t (a);\nCREATE INDEX i ON t (b);" // the second is DBX006
	for _, tc := range []struct {
		name string
		d    dbindex.Dialect
		text string
		want string
	}{
		{"a backslash in double quotes", my, `INSERT INTO t VALUES ("a\"; b");` + "\n" + twice, "DBX006:3"},
		{"two minus signs", my, "SELECT 5--3;\n" + twice, "DBX006:3"},
		{"a comment of two minus signs", my, "-- it's\n--\tit's\n--\n" + twice, "DBX006:5"},
		{"a comment that runs", my, "/*!50003 CREATE INDEX i ON t (a) */;\nCREATE INDEX i /*!80000 USING BTREE */ ON t (b);", "DBX006:2"},
		{"a comment that MariaDB runs", dbindex.MariaDB(10, 11), "/*M!100300 CREATE INDEX i ON t (a) */;\nCREATE INDEX i ON t (b);", "DBX006:2"},
		{"data", pg, "CREATE TABLE t (a int, b int);\nCOPY t (a) FROM stdin;\nit's\n\\.\n" + twice, "DBX006:6"},
		{"data behind options", pg, "CREATE TABLE t (a int, b int);\nCOPY t FROM STDIN WITH (FORMAT csv);\n;'\n\\.\n" + twice, "DBX006:6"},
		{"a file of data", pg, "CREATE TABLE t (a int, b int);\nCOPY t FROM '/tmp/x';\n" + twice, "DBX006:4"},
	} {
		if got := found(t, tc.d, map[string]string{"1.sql": tc.text}, dbindex.LintOptions{}); got != tc.want {
			t.Errorf("%s: found %s; want %s", tc.name, got, tc.want)
		}
	}
}
