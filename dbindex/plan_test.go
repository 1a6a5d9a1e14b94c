package dbindex_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

func index(name, table string, cols ...string) dbindex.Index {
	ix := dbindex.Index{Name: name, Table: table}
	for _, c := range cols {
		ix.Keys = append(ix.Keys, dbindex.Asc(c))
	}
	return ix
}

func TestDiff(t *testing.T) {
	pg := dbindex.Postgres(15)
	pk := index("t_pkey", "t", "id")
	pk.Constraint, pk.Unique = dbindex.PrimaryKey, true
	broken := index("a", "t", "a")
	broken.Invalid = true
	partial := index("a", "t", "a")
	partial.Where = dbindex.IsNull("b")
	live := partial
	live.Where = dbindex.RawSQL(`( "b" is  NULL )`)
	camel, bare := partial, partial
	camel.Where, bare.Where = dbindex.IsNull("deletedAt"), dbindex.RawSQL("deletedAt IS NULL")
	for _, tc := range []struct {
		name       string
		d          dbindex.Dialect
		want, have []dbindex.Index
		steps      string
	}{
		{"nothing", pg, nil, nil, ""},
		{"create", pg, []dbindex.Index{index("a", "t", "a")}, nil, "create a"},
		{"drop", pg, nil, []dbindex.Index{index("a", "t", "a")}, "drop a"},
		{"equal", pg, []dbindex.Index{index("a", "t", "a")}, []dbindex.Index{index("a", "t", "a")}, ""},
		{"equal text", pg, []dbindex.Index{partial}, []dbindex.Index{live}, ""},
		{"replace", pg, []dbindex.Index{partial}, []dbindex.Index{index("a", "t", "a")}, "replace a"},
		{"rename", pg, []dbindex.Index{index("b", "t", "a")}, []dbindex.Index{index("a", "t", "a")}, "rename b"},
		{"invalid", pg, []dbindex.Index{index("a", "t", "a")}, []dbindex.Index{broken}, "replace a"},
		{"invalid is not renamed", pg, []dbindex.Index{index("b", "t", "a")}, []dbindex.Index{broken}, "create b,drop a"},
		{"constraint stays", pg, nil, []dbindex.Index{pk}, ""},
		{"order", pg, []dbindex.Index{index("z", "t", "z"), index("b", "t", "b")}, []dbindex.Index{index("x", "t", "x")}, "create b,create z,drop x"},
		{"derived", pg, []dbindex.Index{index("", "t", "a")}, []dbindex.Index{index("idx_t_a", "t", "a")}, ""},
		{"sqlite folds", dbindex.SQLite(), []dbindex.Index{index("A", "T", "A")}, []dbindex.Index{index("a", "t", "a")}, ""},
		{"sqlite folds predicates", dbindex.SQLite(), []dbindex.Index{camel}, []dbindex.Index{bare}, ""},
		{"postgres does not", pg, []dbindex.Index{camel}, []dbindex.Index{bare}, "replace a"},
		{"mysql per table", dbindex.MySQL(8, 0), []dbindex.Index{index("i", "t", "a"), index("i", "u", "a")}, nil, "create i,create i"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plan, err := dbindex.Diff(tc.d, tc.want, tc.have)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range plan.Steps {
				got = append(got, s.Op.String()+" "+s.Index.Name)
			}
			if strings.Join(got, ",") != tc.steps {
				t.Errorf("Diff = %v; want %s", got, tc.steps)
			}
			if plan.Empty() != (tc.steps == "") {
				t.Errorf("Empty = %v", plan.Empty())
			}
		})
	}
}

// TestDiffFoldsASCII: SQLite takes names for one when they differ in ASCII case only.
func TestDiffFoldsASCII(t *testing.T) {
	plan, err := dbindex.Diff(dbindex.SQLite(), []dbindex.Index{index("É", "t", "a"), index("é", "t", "b")}, []dbindex.Index{index("É", "T", "A")})
	if err != nil || len(plan.Steps) != 1 || plan.Steps[0].Index.Name != "é" {
		t.Errorf("Diff = %v, %v; want to create é alone", plan, err)
	}
}

func TestDiffErrors(t *testing.T) {
	pg := dbindex.Postgres(15)
	pk := index("t_pkey", "t", "id")
	pk.Constraint = dbindex.PrimaryKey
	for name, want := range map[string][]dbindex.Index{
		"collision":  {index("", "a_b", "c"), index("", "a", "b_c")},
		"constraint": {index("t_pkey", "t", "x")},
		"two bad":    {index("one", "", "x"), index("two", "t", "")},
	} {
		if _, err := dbindex.Diff(pg, want, []dbindex.Index{pk}); !errors.Is(err, dbindex.ErrIndex) {
			t.Errorf("%s: %v; want ErrIndex", name, err)
		} else if name == "two bad" && !(strings.Contains(err.Error(), "one") && strings.Contains(err.Error(), "two")) {
			t.Errorf("%s: %v; want both named", name, err)
		}
	}
	if _, err := dbindex.Diff(dbindex.Dialect{}, nil, nil); !errors.Is(err, dbindex.ErrOptions) {
		t.Errorf("zero dialect: %v; want ErrOptions", err)
	}
}

// TestDiffModel applies random plans to a set of indexes by their steps alone, and
// checks that the set becomes what was wanted, and comes back by Reverse.
func TestDiffModel(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	random := func() (list []dbindex.Index) {
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			if r.IntN(2) == 0 {
				list = append(list, index(name, "t", []string{"p", "q", "r"}[r.IntN(3)]))
			}
		}
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list
	}
	state := func(list []dbindex.Index) map[string]string {
		m := map[string]string{}
		for _, ix := range list {
			m[ix.Name] = ix.Keys[0].Column
		}
		return m
	}
	play := func(m map[string]string, p dbindex.Plan) {
		for _, s := range p.Steps {
			name, col := s.Index.Name, s.Index.Keys[0].Column
			switch s.Op {
			case dbindex.Create:
				if _, ok := m[name]; ok {
					t.Fatalf("create of %s, which exists: %v", name, p.Steps)
				}
				m[name] = col
			case dbindex.Drop:
				delete(m, name)
			case dbindex.Replace:
				m[name] = col
			case dbindex.Rename:
				if _, ok := m[name]; ok || m[s.Old.Name] != col {
					t.Fatalf("rename %s to %s in %v", s.Old.Name, name, m)
				}
				delete(m, s.Old.Name)
				m[name] = col
			}
		}
	}
	equal := func(a, b map[string]string) bool {
		for k, v := range a {
			if b[k] != v {
				return false
			}
		}
		return len(a) == len(b)
	}
	for range 2000 {
		want, have := random(), random()
		plan, err := dbindex.Diff(dbindex.Postgres(15), want, have)
		if err != nil {
			t.Fatal(err)
		}
		m := state(have)
		play(m, plan)
		if !equal(m, state(want)) {
			t.Fatalf("from %v: %v gives %v; want %v", state(have), plan, m, state(want))
		}
		play(m, plan.Reverse())
		if !equal(m, state(have)) {
			t.Fatalf("Reverse gives %v; want %v", m, state(have))
		}
		r.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
		if again, _ := dbindex.Diff(dbindex.Postgres(15), want, have); again.String() != plan.String() {
			t.Fatalf("order of want changes the plan:\n%s\n%s", plan, again)
		}
	}
}

var at = time.Date(2026, 1, 2, 3, 4, 5, 999, time.FixedZone("", 7*3600))

func read(t *testing.T, files fs.FS) string {
	t.Helper()
	var b strings.Builder
	err := fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		b.WriteString("== " + path + "\n" + string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMigrationFiles(t *testing.T) {
	plan, err := dbindex.Diff(dbindex.Postgres(15), []dbindex.Index{index("new", "t", "a"), index("x;y -- z", "t", "b"), index("x -- y", "t", "b", "c"), index("same", "t", "c", "d")},
		[]dbindex.Index{index("same", "t", "c"), index("old", "t", "z")})
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[dbindex.MigrationKind]string{
		dbindex.Plain: `== indexes.down.sql
CREATE INDEX CONCURRENTLY "old" ON "t" ("z");
CREATE INDEX CONCURRENTLY "same_ec7f225a" ON "t" ("c");
DROP INDEX CONCURRENTLY "same";
ALTER INDEX "same_ec7f225a" RENAME TO "same";
DROP INDEX CONCURRENTLY "x;y -- z";
DROP INDEX CONCURRENTLY "x -- y";
DROP INDEX CONCURRENTLY "new";
== indexes.up.sql
CREATE INDEX CONCURRENTLY "new" ON "t" ("a");
CREATE INDEX CONCURRENTLY "x -- y" ON "t" ("b", "c");
CREATE INDEX CONCURRENTLY "x;y -- z" ON "t" ("b");
CREATE INDEX CONCURRENTLY "same_7c52ea7c" ON "t" ("c", "d");
DROP INDEX CONCURRENTLY "same";
ALTER INDEX "same_7c52ea7c" RENAME TO "same";
DROP INDEX CONCURRENTLY "old";
`,
		dbindex.Goose: `== 20260101200405_indexes.sql
-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY "new" ON "t" ("a");
-- +goose StatementBegin
CREATE INDEX CONCURRENTLY "x -- y" ON "t" ("b", "c");
-- +goose StatementEnd
-- +goose StatementBegin
CREATE INDEX CONCURRENTLY "x;y -- z" ON "t" ("b");
-- +goose StatementEnd
CREATE INDEX CONCURRENTLY "same_7c52ea7c" ON "t" ("c", "d");
DROP INDEX CONCURRENTLY "same";
ALTER INDEX "same_7c52ea7c" RENAME TO "same";
DROP INDEX CONCURRENTLY "old";
-- +goose Down
CREATE INDEX CONCURRENTLY "old" ON "t" ("z");
CREATE INDEX CONCURRENTLY "same_ec7f225a" ON "t" ("c");
DROP INDEX CONCURRENTLY "same";
ALTER INDEX "same_ec7f225a" RENAME TO "same";
-- +goose StatementBegin
DROP INDEX CONCURRENTLY "x;y -- z";
-- +goose StatementEnd
-- +goose StatementBegin
DROP INDEX CONCURRENTLY "x -- y";
-- +goose StatementEnd
DROP INDEX CONCURRENTLY "new";
`,
	} {
		files, err := plan.Migration(kind, dbindex.MigrationOptions{At: at})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, files); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", kind, got, want)
		}
	}
	for _, kind := range []dbindex.MigrationKind{dbindex.Prisma, dbindex.GolangMigrate} {
		files, err := plan.Migration(kind, dbindex.MigrationOptions{At: at, Name: "add"})
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq(read(t, files), "== ") {
			if n := strings.Count(part, ";\n"); strings.Contains(part, "CONCURRENTLY") && n != 1 {
				t.Errorf("%s: %d statements in one file with CONCURRENTLY:\n%s", kind, n, part)
			}
			if strings.Contains(part, "IF NOT EXISTS") {
				t.Errorf("%s: IF NOT EXISTS hides invalid leftovers:\n%s", kind, part)
			}
		}
		again, _ := plan.Migration(kind, dbindex.MigrationOptions{At: at.UTC(), Name: "add"})
		if read(t, files) != read(t, again) {
			t.Errorf("%s: two calls differ", kind)
		}
	}
}

func TestMigrationIfNotExists(t *testing.T) {
	plan, err := dbindex.Diff(dbindex.Postgres(15), []dbindex.Index{index(`it's "x"`, "t", "a"), index("j", "t", "b")}, []dbindex.Index{index("old", "t", "c")})
	if err != nil {
		t.Fatal(err)
	}
	o := dbindex.MigrationOptions{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), IfNotExists: true}
	files, err := plan.Migration(dbindex.GolangMigrate, o)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"20260102030405_indexes_01.up.sql": `SELECT ('index ' || c.relname || ' is invalid: DROP INDEX CONCURRENTLY it, then run this again')::integer ` +
			`FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE x.indexrelid = to_regclass('"it''s ""x"""') AND NOT x.indisvalid;` + "\n",
		"20260102030405_indexes_01.down.sql": "",
		"20260102030406_indexes_02.up.sql":   `CREATE INDEX CONCURRENTLY IF NOT EXISTS "it's ""x""" ON "t" ("a");` + "\n",
		"20260102030406_indexes_02.down.sql": `DROP INDEX CONCURRENTLY "it's ""x""";` + "\n",
		"20260102030409_indexes_05.up.sql":   `DROP INDEX CONCURRENTLY "old";` + "\n",
		"20260102030409_indexes_05.down.sql": `CREATE INDEX CONCURRENTLY "old" ON "t" ("c");` + "\n",
	} {
		if b, err := fs.ReadFile(files, name); err != nil || string(b) != want {
			t.Errorf("%s = %s, %v; want %s", name, b, err, want)
		}
	}
	for kind := dbindex.Plain; kind <= dbindex.Goose; kind++ {
		files, err := plan.Migration(kind, o)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := dbindex.LintFiles(plan.Dialect, files, dbindex.LintOptions{}); err != nil || len(list) != 0 {
			t.Errorf("%s: lint finds %v, %v in the guarded files", kind, list, err)
		}
	}
}

func TestMigrationBlockingSharesOneFile(t *testing.T) {
	plan, err := dbindex.Diff(dbindex.Postgres(15), []dbindex.Index{index("a", "t", "a"), index("b", "t", "b")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plan.Blocking = true
	files, err := plan.Migration(dbindex.Prisma, dbindex.MigrationOptions{At: at})
	if err != nil {
		t.Fatal(err)
	}
	want := "== 20260101200405_indexes/down.sql\nDROP INDEX \"b\";\nDROP INDEX \"a\";\n" +
		"== 20260101200405_indexes/migration.sql\nCREATE INDEX \"a\" ON \"t\" (\"a\");\nCREATE INDEX \"b\" ON \"t\" (\"b\");\n"
	if got := read(t, files); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "20260101200405_indexes", "down.sql")); err != nil || !strings.Contains(want, string(b)) {
		t.Errorf("CopyFS wrote %q, %v", b, err)
	}
	mysql := dbindex.Plan{Dialect: dbindex.MySQL(8, 0), Steps: plan.Steps[:1]}
	if got := mysql.Reverse().String(); got != "ALTER TABLE `t` DROP INDEX `a`, ALGORITHM=INPLACE, LOCK=NONE;\n" {
		t.Errorf("MySQL plan in reverse = %s", got)
	}
	if got := mysql.String(); got != "CREATE INDEX `a` ON `t` (`a`) ALGORITHM=INPLACE LOCK=NONE;\n" {
		t.Errorf("MySQL plan = %s", got)
	}
}

// TestMigrationMySQLFiles: the drivers of golang-migrate send a file as one statement,
// and an old MariaDB cannot rename.
func TestMigrationMySQLFiles(t *testing.T) {
	old, now := index("i", "t", "a"), index("i", "t", "a", "b")
	for _, d := range []dbindex.Dialect{dbindex.MySQL(8, 0), dbindex.MariaDB(10, 11), dbindex.MariaDB(10, 5)} {
		plan, err := dbindex.Diff(d, []dbindex.Index{now, index("j", "t", "c")}, []dbindex.Index{old})
		if err != nil {
			t.Fatal(err)
		}
		files, err := plan.Migration(dbindex.GolangMigrate, dbindex.MigrationOptions{At: time.Unix(0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.SplitSeq(read(t, files), "== ") {
			if strings.Count(text, ";") > 1 {
				t.Errorf("%s: a file of two statements:\n%s", d, text)
			}
		}
	}
}

func TestMigrationErrors(t *testing.T) {
	plan := dbindex.Plan{Dialect: dbindex.Postgres(15), Steps: []dbindex.Step{{Index: index("a", "t", "a")}}}
	for name, f := range map[string]func() (fs.FS, error){
		"no time":   func() (fs.FS, error) { return plan.Migration(dbindex.Goose, dbindex.MigrationOptions{}) },
		"bad name":  func() (fs.FS, error) { return plan.Migration(dbindex.Plain, dbindex.MigrationOptions{Name: "../x"}) },
		"bad kind":  func() (fs.FS, error) { return plan.Migration(99, dbindex.MigrationOptions{At: at}) },
		"zero plan": func() (fs.FS, error) { return dbindex.Plan{}.Migration(dbindex.Plain, dbindex.MigrationOptions{}) },
	} {
		if _, err := f(); !errors.Is(err, dbindex.ErrOptions) {
			t.Errorf("%s: %v; want ErrOptions", name, err)
		}
	}
	_, err := plan.Migration(99, dbindex.MigrationOptions{Name: "A"})
	if err == nil || !strings.Contains(err.Error(), "Name") || !strings.Contains(err.Error(), "At") || !strings.Contains(err.Error(), "kind") {
		t.Errorf("three bad fields: %v; want all named", err)
	}
	files, err := dbindex.Plan{Dialect: dbindex.SQLite()}.Migration(dbindex.Goose, dbindex.MigrationOptions{At: at})
	if err != nil || read(t, files) != "" {
		t.Errorf("empty plan: %v; want no files", err)
	}
	full, err := plan.Migration(dbindex.Prisma, dbindex.MigrationOptions{At: at})
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(full, "20260101200405_indexes/migration.sql", "20260101200405_indexes/down.sql"); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"nosuch", "../x", ""} {
		if _, err := files.Open(path); err == nil {
			t.Errorf("Open(%q) succeeded", path)
		}
	}
}
