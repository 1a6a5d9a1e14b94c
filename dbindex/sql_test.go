package dbindex_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
)

type status string

func TestIndexSQL(t *testing.T) {
	pg, my, maria, lite := dbindex.Postgres(15), dbindex.MySQL(8, 0), dbindex.MariaDB(10, 11), dbindex.SQLite()
	one := []dbindex.Key{dbindex.Asc("a")}
	for _, tc := range []struct {
		name string
		d    dbindex.Dialect
		ix   dbindex.Index
		want string
	}{
		{"plain", pg, dbindex.Index{Name: "i", Table: "t", Keys: one}, `CREATE INDEX "i" ON "t" ("a")`},
		{"schema", pg, dbindex.Index{Name: "i", Schema: "s", Table: "t", Keys: one}, `CREATE INDEX "i" ON "s"."t" ("a")`},
		{"sqlite schema", lite, dbindex.Index{Name: "i", Schema: "main", Table: "t", Keys: one}, `CREATE INDEX "main"."i" ON "t" ("a")`},
		{"hostile names", pg, dbindex.Index{Name: `a"b`, Table: `t"; DROP TABLE x; --`, Keys: []dbindex.Key{dbindex.Asc(`"`)}},
			`CREATE INDEX "a""b" ON "t""; DROP TABLE x; --" ("""")`},
		{"mysql", my, dbindex.Index{Name: "i`", Schema: "db", Table: "t", Unique: true, Keys: []dbindex.Key{{Column: "a", Prefix: 10, Desc: true}, dbindex.Expr("lower(`b`)")}},
			"CREATE UNIQUE INDEX `i``` ON `db`.`t` (`a`(10) DESC, (lower(`b`)))"},
		{"ignored", maria, dbindex.Index{Name: "i", Table: "t", Keys: one, Ignored: true}, "CREATE INDEX `i` ON `t` (`a`) IGNORED"},
		{"invisible", my, dbindex.Index{Name: "i", Table: "t", Keys: one, Ignored: true}, "CREATE INDEX `i` ON `t` (`a`) INVISIBLE"},
		{"mariadb", maria, dbindex.Index{Name: "i", Table: "t", Keys: []dbindex.Key{dbindex.Desc("a")}}, "CREATE INDEX `i` ON `t` (`a` DESC)"},
		{"everything", pg, dbindex.Index{Name: "i", Table: "t", Unique: true, NullsNotDistinct: true, Include: []string{"c"}, Tablespace: "fast",
			Keys:  []dbindex.Key{{Column: "a", Collate: "C", OpClass: "public.text_ops", Desc: true, Nulls: dbindex.NullsLast}},
			With:  map[string]string{"fillfactor": "70", "deduplicate_items": "off"},
			Where: dbindex.NotNull("a")},
			`CREATE UNIQUE INDEX "i" ON "t" ("a" COLLATE "C" "public"."text_ops" DESC NULLS LAST) INCLUDE ("c") NULLS NOT DISTINCT WITH (deduplicate_items = 'off', fillfactor = '70') TABLESPACE "fast" WHERE "a" IS NOT NULL`},
		{"default nulls", pg, dbindex.Index{Name: "i", Table: "t", Keys: []dbindex.Key{{Column: "a", Nulls: dbindex.NullsLast}}}, `CREATE INDEX "i" ON "t" ("a")`},
		{"sqlite nulls", lite, dbindex.Index{Name: "i", Table: "t", Keys: []dbindex.Key{{Column: "a", Nulls: dbindex.NullsFirst}}}, `CREATE INDEX "i" ON "t" ("a")`},
		{"gin", pg, dbindex.Index{Name: "i", Table: "t", Method: dbindex.GIN, Keys: []dbindex.Key{{Column: "a", OpClass: "gin_trgm_ops"}}}, `CREATE INDEX "i" ON "t" USING gin ("a" "gin_trgm_ops")`},
		{"raw whitespace", pg, dbindex.Index{Name: "i", Table: "t", Keys: []dbindex.Key{dbindex.Expr("lower(\n\t\"a  b\" )")}}, `CREATE INDEX "i" ON "t" ((lower( "a  b" )))`},
		{"predicates", pg, dbindex.Index{Name: "i", Table: "t", Keys: one, Where: dbindex.And(dbindex.In("s", "b", "a", "b"), dbindex.Or(dbindex.Lt("n", 3), dbindex.Ge("n", 0.5)), dbindex.Not(dbindex.Eq("f", false)))},
			`CREATE INDEX "i" ON "t" ("a") WHERE "s" IN ('a', 'b') AND ("n" < 3 OR "n" >= 0.5) AND (NOT ("f" = false))`},
		{"named type", lite, dbindex.Index{Name: "i", Table: "t", Keys: one, Where: dbindex.Eq("s", status("it's"))}, `CREATE INDEX "i" ON "t" ("a") WHERE "s" = 'it''s'`},
		{"sqlite bool", lite, dbindex.Index{Name: "i", Table: "t", Keys: one, Where: dbindex.Eq("f", true)}, `CREATE INDEX "i" ON "t" ("a") WHERE "f" = 1`},
		{"backslash", pg, dbindex.Index{Name: "i", Table: "t", Keys: one, Where: dbindex.Ne("s", `\'; --`)}, `CREATE INDEX "i" ON "t" ("a") WHERE "s" <> E'\\''; --'`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.ix.SQL(tc.d)
			if err != nil || got != tc.want {
				t.Fatalf("SQL =\n%s, %v\nwant\n%s", got, err, tc.want)
			}
			back, err := dbindex.Parse(tc.d, got)
			if err != nil || !back.Equivalent(tc.d, tc.ix) || back.Name != tc.ix.Name {
				t.Errorf("Parse(SQL) = %+v, %v; want an equivalent index", back, err)
			}
		})
	}
}

func TestFeatureErrors(t *testing.T) {
	one := []dbindex.Key{dbindex.Asc("a")}
	pg, lite := dbindex.Postgres(15), dbindex.SQLite()
	for _, tc := range []struct {
		feature string
		d       dbindex.Dialect
		ix      dbindex.Index
	}{
		{"NULLS NOT DISTINCT", dbindex.Postgres(14), dbindex.Index{Unique: true, NullsNotDistinct: true, Keys: one}},
		{"INCLUDE columns on btree", dbindex.Postgres(10), dbindex.Index{Include: []string{"b"}, Keys: one}},
		{"INCLUDE columns on gin", pg, dbindex.Index{Include: []string{"b"}, Method: dbindex.GIN, Keys: one}},
		{"unique hash index", pg, dbindex.Index{Unique: true, Method: dbindex.Hash, Keys: one}},
		{"composite hash index", pg, dbindex.Index{Method: dbindex.Hash, Keys: []dbindex.Key{dbindex.Asc("a"), dbindex.Asc("b")}}},
		{"key order on brin", pg, dbindex.Index{Method: dbindex.BRIN, Keys: []dbindex.Key{dbindex.Desc("a")}}},
		{"prefix length of a key", pg, dbindex.Index{Keys: []dbindex.Key{{Column: "a", Prefix: 3}}}},
		{"INCLUDE columns", lite, dbindex.Index{Include: []string{"b"}, Keys: one}},
		{"index method gin", lite, dbindex.Index{Method: dbindex.GIN, Keys: one}},
		{"NULLS FIRST or LAST against its own order", lite, dbindex.Index{Keys: []dbindex.Key{{Column: "a", Nulls: dbindex.NullsLast}}}},
		{"storage parameters (With)", lite, dbindex.Index{Keys: one, With: map[string]string{"fillfactor": "70"}}},
		{"partial indexes", dbindex.MySQL(8, 0), dbindex.Index{Keys: one, Where: dbindex.IsNull("b")}},
		{"expression keys", dbindex.MariaDB(11, 4), dbindex.Index{Keys: []dbindex.Key{dbindex.Expr("lower(a)")}}},
		{"descending keys", dbindex.MariaDB(10, 6), dbindex.Index{Keys: []dbindex.Key{dbindex.Desc("a")}}},
		{"descending keys", dbindex.MySQL(5, 7), dbindex.Index{Keys: []dbindex.Key{dbindex.Desc("a")}}},
		{"collation of a key", dbindex.MySQL(8, 0), dbindex.Index{Keys: []dbindex.Key{{Column: "a", Collate: "C"}}}},
		{"tablespace of an index", dbindex.MySQL(8, 0), dbindex.Index{Keys: one, Tablespace: "x"}},
		{"one column twice in an index", dbindex.MariaDB(10, 11), dbindex.Index{Keys: []dbindex.Key{dbindex.Asc("a"), {Column: "A", Prefix: 3}}}},
		{"ignored indexes", pg, dbindex.Index{Keys: one, Ignored: true}},
		{"ignored indexes", lite, dbindex.Index{Keys: one, Ignored: true}},
		{"ignored indexes", dbindex.MariaDB(10, 5), dbindex.Index{Keys: one, Ignored: true}},
		{"ignored indexes", dbindex.MySQL(5, 7), dbindex.Index{Keys: one, Ignored: true}},
		{"operator classes", lite, dbindex.Index{Keys: []dbindex.Key{{Column: "a", OpClass: "x"}}}},
	} {
		tc.ix.Name, tc.ix.Table = "i", "t"
		_, err := tc.ix.SQL(tc.d)
		f, ok := errors.AsType[*dbindex.FeatureError](err)
		if !ok || f.Feature != tc.feature || f.Alternative == "" || f.Dialect != tc.d || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s on %s: %v; want a FeatureError with an alternative", tc.feature, tc.d, err)
		}
	}
}

func TestInvalidIndex(t *testing.T) {
	one := []dbindex.Key{dbindex.Asc("a")}
	deep := dbindex.IsNull("a")
	for range 100 {
		deep = dbindex.Not(deep)
	}
	for name, ix := range map[string]dbindex.Index{
		"no keys":            {Table: "t"},
		"no table":           {Keys: one},
		"empty key":          {Table: "t", Keys: []dbindex.Key{{}}},
		"column and expr":    {Table: "t", Keys: []dbindex.Key{{Column: "a", Expr: "b"}}},
		"NUL":                {Table: "t\x00", Keys: one},
		"newline":            {Table: "t\n-- +goose Down", Keys: one},
		"invalid UTF-8":      {Table: "t\xff", Keys: one},
		"name of 64 bytes":   {Name: strings.Repeat("n", 64), Table: "t", Keys: one},
		"table of 200 bytes": {Table: strings.Repeat("é", 100), Keys: one},
		"nulls not distinct": {Table: "t", Keys: one, NullsNotDistinct: true},
		"constraint":         {Table: "t", Keys: one, Constraint: dbindex.PrimaryKey},
		"unknown method":     {Table: "t", Keys: one, Method: 99},
		"nil in And":         {Table: "t", Keys: one, Where: dbindex.And(nil)},
		"empty And":          {Table: "t", Keys: one, Where: dbindex.And()},
		"empty In":           {Table: "t", Keys: one, Where: dbindex.In[int]("a")},
		"not a number":       {Table: "t", Keys: one, Where: dbindex.Eq("a", math.NaN())},
		"control in string":  {Table: "t", Keys: one, Where: dbindex.Eq("a", "\x00")},
		"deep predicate":     {Table: "t", Keys: one, Where: deep},
		"raw semicolon":      {Table: "t", Keys: one, Where: dbindex.RawSQL("a; DROP TABLE t")},
		"raw nothing":        {Table: "t", Keys: one, Where: dbindex.RawSQL(" ")},
		"with injection":     {Table: "t", Keys: one, With: map[string]string{"fillfactor": "70) WHERE (true"}},
		"with name":          {Table: "t", Keys: one, With: map[string]string{"fill factor": "70"}},
		"33 keys":            {Table: "t", Keys: make([]dbindex.Key, 33)},
	} {
		if sql, err := ix.SQL(dbindex.Postgres(15)); !errors.Is(err, dbindex.ErrIndex) || sql != "" {
			t.Errorf("%s: SQL = %q, %v; want an error matching ErrIndex", name, sql, err)
		}
	}
	_, err := dbindex.Index{Table: "t", Keys: one}.SQL(dbindex.Dialect{})
	if !errors.Is(err, dbindex.ErrOptions) {
		t.Errorf("zero Dialect: %v; want ErrOptions", err)
	}
	_, err = dbindex.Index{Table: "𝒳", Keys: one}.SQL(dbindex.MySQL(8, 0))
	if _, ok := errors.AsType[*dbindex.IdentError](err); !ok {
		t.Errorf("MySQL name above U+FFFF: %v; want an IdentError", err)
	}
	if _, err := (dbindex.Index{Name: strings.Repeat("é", 64), Table: "t", Keys: one}).SQL(dbindex.MySQL(8, 0)); err != nil {
		t.Errorf("MySQL name of 64 characters: %v", err)
	}
}

func TestDerivedName(t *testing.T) {
	long := strings.Repeat("é", 40)
	ix := func(table string, keys ...dbindex.Key) dbindex.Index { return dbindex.Index{Table: table, Keys: keys} }
	partial := ix("t", dbindex.Asc("a"))
	partial.Where = dbindex.IsNull("b")
	for _, tc := range []struct {
		ix   dbindex.Index
		want string
	}{
		{ix("Message", dbindex.Asc("conversationId"), dbindex.Desc("createdAt")), "idx_Message_conversationId_createdAt_desc"},
		{dbindex.Index{Table: "User", Unique: true, Keys: []dbindex.Key{dbindex.Asc("email")}}, "uq_User_email"},
		{partial, "idx_t_a_510c7d3c"},
		{ix(long, dbindex.Asc("a")), "idx_" + strings.Repeat("é", 25) + "_11a2996f"},
	} {
		if got := tc.ix.DerivedName(); got != tc.want {
			t.Errorf("DerivedName = %q (%d bytes); want %q", got, len(got), tc.want)
		}
	}
	// Names that agree in their first 63 bytes must differ.
	a, b := ix("t", dbindex.Asc(strings.Repeat("x", 80)+"1")).DerivedName(), ix("t", dbindex.Asc(strings.Repeat("x", 80)+"2")).DerivedName()
	if a == b || len(a) > 63 || len(b) > 63 {
		t.Errorf("long names %q and %q; want two of at most 63 bytes", a, b)
	}
	if q := (dbindex.And(dbindex.IsNull("a"), dbindex.IsNull("b"))).String(); q != dbindex.And(dbindex.IsNull("b"), dbindex.IsNull("a"), dbindex.IsNull("a")).String() {
		t.Errorf("And depends on order: %s", q)
	}
}

func TestDialectText(t *testing.T) {
	for _, d := range []dbindex.Dialect{dbindex.Postgres(15), dbindex.MySQL(8, 0), dbindex.MariaDB(10, 11), dbindex.SQLite()} {
		text, err := d.MarshalText()
		var back dbindex.Dialect
		if err != nil || back.UnmarshalText(text) != nil || back != d {
			t.Errorf("%v: text %q, %v reads back as %v", d, text, err, back)
		}
	}
	for _, s := range []string{"", "postgres", "postgres x", "postgres 9", "postgres 15.1", "sqlite 3", "oracle 19", "mysql"} {
		var d dbindex.Dialect
		if err := d.UnmarshalText([]byte(s)); !errors.Is(err, dbindex.ErrOptions) || d != (dbindex.Dialect{}) {
			t.Errorf("UnmarshalText(%q) = %v, %v; want ErrOptions", s, d, err)
		}
	}
	var m dbindex.Method
	if err := m.UnmarshalText([]byte("brin")); err != nil || m != dbindex.BRIN || m.String() != "brin" {
		t.Errorf("Method brin = %v, %v", m, err)
	}
	if err := m.UnmarshalText([]byte("tree")); !errors.Is(err, dbindex.ErrOptions) || m != dbindex.BRIN {
		t.Errorf("Method tree = %v, %v; want ErrOptions and no change", m, err)
	}
}
