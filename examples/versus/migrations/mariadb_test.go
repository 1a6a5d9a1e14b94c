package migrations_test

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// TestMariaDB sends the statements of plans to a server, there and back. The model
// of what is there is the plan's own, so that it does not hang on live.
func TestMariaDB(t *testing.T) {
	db := open(t, "mysql", realtest.MariaDB(t))
	db.SetMaxOpenConns(1)
	exec(t, db, "SET SESSION sql_mode = 'TRADITIONAL,NO_BACKSLASH_ESCAPES'")
	exec(t, db, "CREATE TABLE `Message` (`id` int PRIMARY KEY, `conversation;Id` varchar(40) NOT NULL, `body` text, `createdAt` datetime(3), `x``y` int)")
	d, err := live.Detect(t.Context(), db)
	if err != nil || d.Name() != "mariadb" {
		t.Fatalf("Detect = %v, %v; want MariaDB", d, err)
	}
	desc := dbindex.Asc("createdAt")
	if major, minor := d.Version(); major > 10 || minor >= 8 {
		desc = dbindex.Desc("createdAt")
	}
	ix := func(name string, keys ...dbindex.Key) dbindex.Index {
		return dbindex.Index{Name: name, Table: "Message", Keys: keys}
	}
	unique := ix("-- `u`", dbindex.Asc("x`y"), dbindex.Asc("id"))
	unique.Unique = true
	first := []dbindex.Index{ix("a", dbindex.Asc("conversation;Id")), ix("b", dbindex.Asc("x`y")), ix("c", dbindex.Key{Column: "body", Prefix: 20})}
	second := []dbindex.Index{ix("a", dbindex.Asc("conversation;Id"), desc), ix("b2", dbindex.Asc("x`y")), unique}
	run := func(want, have []dbindex.Index) dbindex.Plan {
		t.Helper()
		plan, err := dbindex.Diff(d, want, have)
		if err != nil {
			t.Fatal(err)
		}
		st, err := plan.Statements()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range st {
			exec(t, db, s.SQL)
		}
		return plan
	}
	shown := func() string {
		t.Helper()
		var name, text string
		if err := db.QueryRowContext(t.Context(), "SHOW CREATE TABLE `Message`").Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(text, "\n")
		keys := lines[:0]
		for _, l := range lines {
			if strings.Contains(l, "KEY") {
				keys = append(keys, strings.Trim(l, " ,"))
			}
		}
		slices.Sort(keys)
		return strings.Join(keys, "\n")
	}
	empty := shown()
	run(first, nil)
	before := shown()
	plan := run(second, first)
	after := shown()
	for _, key := range []string{"KEY `a` (`conversation;Id`,`createdAt`", "KEY `b2` (`x``y`)", "UNIQUE KEY `-- ``u``` (`x``y`,`id`)"} {
		if !strings.Contains(after, key) {
			t.Errorf("%s is not in\n%s", key, after)
		}
	}
	if len(plan.Steps) != 4 || strings.Contains(after, "`c`") {
		t.Errorf("plan:\n%sgives\n%s", plan, after)
	}
	run(first, second)
	if got := shown(); got != before {
		t.Errorf("back:\n%s\nwant\n%s", got, before)
	}
	run(nil, first)
	if got := shown(); got != empty {
		t.Errorf("at the end:\n%s\nwant\n%s", got, empty)
	}
}

// TestMariaDBTools runs the files in the tools, up, down and up, with the settings that
// their users have.
func TestMariaDBTools(t *testing.T) {
	db := open(t, "mysql", realtest.MariaDB(t))
	exec(t, db, "CREATE TABLE `Odd;Table` (`id` int PRIMARY KEY, `a;b` varchar(40), `c` int)")
	have := []dbindex.Index{
		{Name: "gone", Table: "Odd;Table", Keys: []dbindex.Key{dbindex.Asc("c")}},
		{Name: "other", Table: "Odd;Table", Keys: []dbindex.Key{dbindex.Asc("a;b")}},
	}
	want := []dbindex.Index{
		{Name: "other", Table: "Odd;Table", Keys: []dbindex.Key{dbindex.Asc("a;b"), dbindex.Asc("c")}},
		{Name: "-- new", Table: "Odd;Table", Keys: []dbindex.Key{{Column: "a;b", Prefix: 3}}},
	}
	diff := func(want []dbindex.Index) dbindex.Plan {
		t.Helper()
		plan, err := live.Diff(t.Context(), db.DB, want, live.DiffOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return plan
	}
	if _, err := live.Apply(t.Context(), db.DB, diff(have), live.Options{}); err != nil {
		t.Fatal(err)
	}
	plan := diff(want)
	for _, tool := range []tool{gooseTool, migrateTool} {
		files, err := plan.Migration(tool.kind, dbindex.MigrationOptions{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
		if err != nil {
			t.Fatal(err)
		}
		for i, run := range []func(*testing.T, database, fs.FS) error{tool.up, tool.down, tool.up, tool.down} {
			if err := run(t, db, files); err != nil {
				t.Fatalf("%s, run %d: %v", tool.kind, i, err)
			}
			if left := diff([][]dbindex.Index{want, have}[i%2]); !left.Empty() {
				t.Errorf("%s, run %d leaves\n%s", tool.kind, i, left)
			}
		}
	}
}
