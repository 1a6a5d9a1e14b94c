package dbindex_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
)

func TestLintChatIsClean(t *testing.T) {
	for _, d := range []dbindex.Dialect{dbindex.Postgres(15), dbindex.SQLite()} {
		if got := dbindex.Lint(d, dbindex.Schema{Indexes: chat(), ForeignKeys: chatForeignKeys()}, dbindex.LintOptions{}); len(got) != 0 {
			t.Errorf("%s: %v; want no finding", d, got)
		}
	}
}

func with(ix dbindex.Index, change func(*dbindex.Index)) dbindex.Index { change(&ix); return ix }

func TestLintRules(t *testing.T) {
	a, ab := index("a", "t", "a"), index("ab", "t", "a", "b")
	partial := func(ix dbindex.Index) dbindex.Index {
		return with(ix, func(ix *dbindex.Index) { ix.Where = dbindex.IsNull("x") })
	}
	unique := func(ix dbindex.Index) dbindex.Index {
		return with(ix, func(ix *dbindex.Index) { ix.Unique = true })
	}
	owned := func(ix dbindex.Index) dbindex.Index {
		return with(unique(ix), func(ix *dbindex.Index) { ix.Constraint = dbindex.UniqueConstraint })
	}
	key := func(ix dbindex.Index, change func(*dbindex.Key)) dbindex.Index {
		ix.Keys = slices.Clone(ix.Keys)
		change(&ix.Keys[0])
		return ix
	}
	fk := []dbindex.ForeignKey{{Table: "t", Columns: []string{"a", "b"}, RefTable: "u"}}
	for _, tc := range []struct {
		name    string
		indexes []dbindex.Index
		fks     []dbindex.ForeignKey
		want    string // ids and indexes
	}{
		{"clean", []dbindex.Index{a, index("b", "t", "b")}, nil, ""},
		{"duplicate", []dbindex.Index{a, index("a2", "t", "a")}, nil, "DBX001 a2"},
		{"three equals", []dbindex.Index{a, index("a2", "t", "a"), index("a3", "t", "a")}, nil, "DBX001 a2,DBX001 a3"},
		{"duplicate of unique", []dbindex.Index{a, unique(index("z", "t", "a"))}, nil, "DBX001 a"},
		{"duplicate of constraint", []dbindex.Index{a, owned(index("z", "t", "a"))}, nil, "DBX001 a"},
		{"two unique", []dbindex.Index{unique(a), unique(index("a2", "t", "a"))}, nil, "DBX001 a2"},
		{"two constraints", []dbindex.Index{owned(a), owned(index("a2", "t", "a"))}, nil, ""},
		{"backward twin", []dbindex.Index{a, {Name: "d", Table: "t", Keys: []dbindex.Key{dbindex.Desc("a")}}}, nil, "DBX001 d"},
		{"other table", []dbindex.Index{a, index("a2", "u", "a")}, nil, ""},
		{"prefix", []dbindex.Index{a, ab}, nil, "DBX002 a"},
		{"prefix of constraint", []dbindex.Index{a, owned(ab)}, nil, "DBX002 a"},
		{"unique prefix", []dbindex.Index{unique(a), ab}, nil, ""},
		{"constraint prefix", []dbindex.Index{owned(a), ab}, nil, ""},
		{"second column", []dbindex.Index{index("b", "t", "b"), ab}, nil, ""},
		{"partial prefix", []dbindex.Index{partial(a), ab}, nil, ""},
		{"prefix of partial", []dbindex.Index{a, partial(ab)}, nil, ""},
		{"both partial", []dbindex.Index{partial(a), partial(ab)}, nil, "DBX002 a"},
		{"partial twin", []dbindex.Index{a, partial(index("a2", "t", "a"))}, nil, ""},
		{"other class", []dbindex.Index{key(a, func(k *dbindex.Key) { k.OpClass = "text_pattern_ops" }), ab}, nil, ""},
		{"other collation", []dbindex.Index{key(a, func(k *dbindex.Key) { k.Collate = "C" }), ab}, nil, ""},
		{"other nulls", []dbindex.Index{key(a, func(k *dbindex.Key) { k.Nulls = dbindex.NullsFirst }), ab}, nil, ""},
		{"other method", []dbindex.Index{with(a, func(ix *dbindex.Index) { ix.Method = dbindex.Hash }), ab}, nil, ""},
		{"include lost", []dbindex.Index{with(a, func(ix *dbindex.Index) { ix.Include = []string{"c"} }), ab}, nil, ""},
		{"include kept", []dbindex.Index{with(a, func(ix *dbindex.Index) { ix.Include = []string{"b"} }), ab}, nil, "DBX002 a"},
		{"much wider", []dbindex.Index{a, index("w", "t", "a", "b", "c", "d")}, nil, "DBX002 a"},
		{"wide", []dbindex.Index{index("w", "t", "a", "b", "c", "d", "e", "f")}, nil, "DBX004 w"},
		{"invalid", []dbindex.Index{with(a, func(ix *dbindex.Index) { ix.Invalid = true }), ab}, nil, "DBX010 a"},
		{"same name", []dbindex.Index{a, index("a", "u", "c")}, nil, "DBX006 a"},
		{"long name", []dbindex.Index{index(strings.Repeat("n", 70), "t", "a")}, nil, "DBX006 " + strings.Repeat("n", 70)},
		{"feature", []dbindex.Index{with(unique(a), func(ix *dbindex.Index) { ix.Method = dbindex.Hash })}, nil, "DBX009 a"},
		{"raw", []dbindex.Index{with(a, func(ix *dbindex.Index) { ix.Where = dbindex.RawSQL("x;") })}, nil, "DBX015 a"},
		{"repeated", []dbindex.Index{index("r", "t", "a", "b", "a")}, nil, "DBX018 r"},
		{"fk missing", []dbindex.Index{a}, fk, "DBX003 "},
		{"fk served", []dbindex.Index{index("ba", "t", "b", "a")}, fk, ""},
		{"fk by not null", []dbindex.Index{with(ab, func(ix *dbindex.Index) { ix.Where = dbindex.NotNull("b") })}, fk, ""},
		{"fk by both not null", []dbindex.Index{with(ab, func(ix *dbindex.Index) { ix.Where = dbindex.And(dbindex.NotNull("b"), dbindex.NotNull("a")) })}, fk, ""},
		{"fk by both as printed", []dbindex.Index{with(ab, func(ix *dbindex.Index) { ix.Where = dbindex.RawSQL("((a IS NOT NULL) AND (b IS NOT NULL))") })}, fk, ""},
		{"fk by more", []dbindex.Index{with(ab, func(ix *dbindex.Index) { ix.Where = dbindex.And(dbindex.NotNull("b"), dbindex.NotNull("c")) })}, fk, "DBX003 "},
		{"fk by either", []dbindex.Index{with(ab, func(ix *dbindex.Index) { ix.Where = dbindex.Or(dbindex.NotNull("b"), dbindex.IsNull("c")) })}, fk, ""}, // it holds all rows that refer
		{"fk by either of others", []dbindex.Index{with(ab, func(ix *dbindex.Index) { ix.Where = dbindex.Or(dbindex.NotNull("d"), dbindex.IsNull("c")) })}, fk, "DBX003 "},
		{"public is the current schema", []dbindex.Index{a, with(index("a2", "t", "a"), func(ix *dbindex.Index) { ix.Schema = "public" })}, nil, "DBX001 a2"},
		{"one name in public", []dbindex.Index{a, with(index("a", "u", "c"), func(ix *dbindex.Index) { ix.Schema = "public" })}, nil, "DBX006 a"},
		{"other schema", []dbindex.Index{a, with(index("a2", "t", "a"), func(ix *dbindex.Index) { ix.Schema = "s" })}, nil, ""},
		{"fk served in public", []dbindex.Index{with(ab, func(ix *dbindex.Index) { ix.Schema = "public" })}, fk, ""},
		{"equal predicates in other words", []dbindex.Index{
			with(a, func(ix *dbindex.Index) { ix.Where = dbindex.In("s", "x", "y") }),
			with(index("a2", "t", "a"), func(ix *dbindex.Index) { ix.Where = dbindex.RawSQL("((s = 'y'::text) OR (s = 'x'::text))") })}, nil, "DBX001 a2"},
		{"one predicate implies the other", []dbindex.Index{
			with(a, func(ix *dbindex.Index) { ix.Where = dbindex.Eq("s", "x") }),
			with(ab, func(ix *dbindex.Index) { ix.Where = dbindex.In("s", "x", "y") })}, nil, ""},
		{"expression twin", []dbindex.Index{
			{Name: "e", Table: "t", Keys: []dbindex.Key{dbindex.Expr(`lower("a")`)}},
			{Name: "e2", Table: "t", Keys: []dbindex.Key{dbindex.Expr(`( LOWER(a) )`)}}}, nil, "DBX001 e2"},
		{"exclusion", []dbindex.Index{a, with(ab, func(ix *dbindex.Index) { ix.Constraint = dbindex.Exclusion })}, nil, ""},
		{"volatile key", []dbindex.Index{{Name: "v", Table: "t", Keys: []dbindex.Key{dbindex.Expr("date_trunc('day', NOW())")}}}, nil, "DBX008 v"},
		{"volatile predicate", []dbindex.Index{with(a, func(ix *dbindex.Index) {
			ix.Where = dbindex.And(dbindex.IsNull("x"), dbindex.RawSQL("a > current_date"))
		})}, nil, "DBX008 a"},
		{"one argument", []dbindex.Index{{Name: "v", Table: "t", Method: dbindex.GIN, Keys: []dbindex.Key{dbindex.Expr("to_tsvector(body)")}}}, nil, "DBX008 v"},
		{"two arguments", []dbindex.Index{{Name: "v", Table: "t", Method: dbindex.GIN, Keys: []dbindex.Key{dbindex.Expr("to_tsvector('english', body)")}}}, nil, ""},
		{"column called now", []dbindex.Index{{Name: "v", Table: "t", Keys: []dbindex.Key{dbindex.Expr("lower(now)")}}}, nil, ""},
		{"function of another schema", []dbindex.Index{{Name: "v", Table: "t", Keys: []dbindex.Key{dbindex.Expr("my.format(a)")}}}, nil, ""},
		{"fk in other collation", []dbindex.Index{key(ab, func(k *dbindex.Key) { k.Collate = "C" })}, fk, "DBX003 "},
		{"fk by partial", []dbindex.Index{partial(ab)}, fk, "DBX003 "},
		{"fk reported once", nil, append(fk, fk...), "DBX003 "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, f := range dbindex.Lint(dbindex.Postgres(15), dbindex.Schema{Indexes: tc.indexes, ForeignKeys: tc.fks}, dbindex.LintOptions{}) {
				got = append(got, f.ID+" "+f.Index)
				if f.Message == "" || f.Table == "" {
					t.Errorf("%+v lacks a message or table", f)
				}
			}
			slices.Sort(got)
			if strings.Join(got, ",") != tc.want {
				t.Errorf("Lint = %v; want %s", got, tc.want)
			}
		})
	}
}

// TestLintFacts runs the rules that need to know the columns, each beside its exceptions.
func TestLintFacts(t *testing.T) {
	pg := dbindex.Postgres(15)
	one := []dbindex.Index{index("i", "t", "c")}
	partial := []dbindex.Index{with(one[0], func(ix *dbindex.Index) { ix.Where = dbindex.Eq("c", "x") })}
	col := func(c dbindex.Column) []dbindex.Column { c.Table, c.Name = "t", "c"; return []dbindex.Column{c} }
	big := []dbindex.Table{{Name: "t", Rows: 1_000_000}}
	for _, tc := range []struct {
		name string
		d    dbindex.Dialect
		s    dbindex.Schema
		want string
	}{
		{"nothing known", pg, dbindex.Schema{Indexes: one}, ""},
		{"boolean", pg, dbindex.Schema{Indexes: one, Columns: col(dbindex.Column{Type: "boolean"})}, "DBX007"},
		{"boolean of another table", pg, dbindex.Schema{Indexes: one, Columns: []dbindex.Column{{Table: "u", Name: "c", Type: "boolean"}}}, ""},
		{"boolean, partial", pg, dbindex.Schema{Indexes: partial, Columns: col(dbindex.Column{Type: "boolean"})}, ""},
		{"boolean first of two", pg, dbindex.Schema{Indexes: []dbindex.Index{index("i", "t", "c", "d")}, Columns: col(dbindex.Column{Type: "boolean"})}, ""},
		{"few values", pg, dbindex.Schema{Indexes: one, Tables: big, Columns: col(dbindex.Column{Type: "text", Distinct: 2})}, "DBX007"},
		{"few values, few rows", pg, dbindex.Schema{Indexes: one, Columns: col(dbindex.Column{Type: "text", Distinct: 2})}, ""},
		{"few values of a foreign key", pg, dbindex.Schema{Indexes: one, Tables: big, Columns: col(dbindex.Column{Distinct: 2}), ForeignKeys: []dbindex.ForeignKey{{Table: "t", Columns: []string{"c"}, RefTable: "r"}}}, ""},
		{"many values", pg, dbindex.Schema{Indexes: one, Tables: big, Columns: col(dbindex.Column{Distinct: 2000})}, ""},
		{"constant outside", pg, dbindex.Schema{Indexes: partial, Columns: col(dbindex.Column{Values: []string{"a", "b"}})}, "DBX011"},
		{"constant inside", pg, dbindex.Schema{Indexes: partial, Columns: col(dbindex.Column{Values: []string{"a", "x"}})}, ""},
		{"constant as printed", pg, dbindex.Schema{Indexes: []dbindex.Index{with(one[0], func(ix *dbindex.Index) { ix.Where = dbindex.RawSQL("((c)::text = ANY (ARRAY['a'::text, 'x'::text]))") })}, Columns: col(dbindex.Column{Values: []string{"a", "b"}})}, "DBX011"},
		{"long values", pg, dbindex.Schema{Indexes: one, Columns: col(dbindex.Column{Width: 4000})}, "DBX004"},
		{"long values in a hash", pg, dbindex.Schema{Indexes: []dbindex.Index{with(one[0], func(ix *dbindex.Index) { ix.Method = dbindex.Hash })}, Columns: col(dbindex.Column{Width: 4000})}, ""},
		{"long type on MariaDB", dbindex.MariaDB(10, 11), dbindex.Schema{Indexes: one, Columns: col(dbindex.Column{Width: 4000})}, "DBX004"},
		{"prefix on MariaDB", dbindex.MariaDB(10, 11), dbindex.Schema{Indexes: []dbindex.Index{{Name: "i", Table: "t", Keys: []dbindex.Key{{Column: "c", Prefix: 20}}}}, Columns: col(dbindex.Column{Width: 4000})}, ""},
		{"updated column", pg, dbindex.Schema{Indexes: one, Columns: col(dbindex.Column{Updated: true})}, "DBX016"},
		{"updated column elsewhere", pg, dbindex.Schema{Indexes: []dbindex.Index{index("i", "t", "d")}, Columns: col(dbindex.Column{Updated: true})}, ""},
		{"updated column in a predicate", pg, dbindex.Schema{Indexes: []dbindex.Index{with(index("i", "t", "d"), func(ix *dbindex.Index) { ix.Where = dbindex.IsNull("c") })}, Columns: col(dbindex.Column{Updated: true})}, "DBX016"},
		{"updates not HOT", pg, dbindex.Schema{Indexes: one, Tables: []dbindex.Table{{Name: "t", Updates: 20_000, HotUpdates: 100}}}, "DBX016"},
		{"updates HOT", pg, dbindex.Schema{Indexes: one, Tables: []dbindex.Table{{Name: "t", Updates: 20_000, HotUpdates: 19_000}}}, ""},
		{"few updates", pg, dbindex.Schema{Indexes: one, Tables: []dbindex.Table{{Name: "t", Updates: 20}}}, ""},
	} {
		var got []string
		for _, f := range dbindex.Lint(tc.d, tc.s, dbindex.LintOptions{}) {
			got = append(got, f.ID)
			if f.Message == "" || f.Table != "t" {
				t.Errorf("%s: %+v lacks a message or table", tc.name, f)
			}
		}
		if strings.Join(got, ",") != tc.want {
			t.Errorf("%s: Lint = %v; want %s", tc.name, got, tc.want)
		}
	}
	// A prefix of a much wider index stays a hint.
	wide := dbindex.Schema{Indexes: []dbindex.Index{index("a", "t", "c"), index("b", "t", "c", "d")}, Columns: append(col(dbindex.Column{Width: 4}), dbindex.Column{Table: "t", Name: "d", Width: 200})}
	if got := dbindex.Lint(pg, wide, dbindex.LintOptions{}); len(got) != 1 || got[0].Severity != dbindex.Info {
		t.Errorf("prefix of a much wider index: %v; want one info", got)
	}
}

func TestLintOptions(t *testing.T) {
	s := dbindex.Schema{Indexes: []dbindex.Index{index("a", "t", "a"), index("w", "t", "a", "b", "c", "d", "e", "f"), with(index("p", "t", "z"), func(ix *dbindex.Index) { ix.Where = dbindex.IsNull("x") })}}
	pg := dbindex.Postgres(15)
	if got := dbindex.Lint(pg, s, dbindex.LintOptions{MaxColumns: -1, Ignore: []string{dbindex.RuleRedundant}}); len(got) != 0 {
		t.Errorf("all turned off: %v", got)
	}
	got := dbindex.Lint(pg, s, dbindex.LintOptions{Prisma: true})
	b, err := json.Marshal(got)
	if err != nil || len(got) != 3 || !strings.Contains(string(b), `"id":"DBX017","severity":"info","table":"t","index":"p"`) {
		t.Errorf("JSON = %s, %v; want the Prisma finding", b, err)
	}
	var back []dbindex.Finding
	if err := json.Unmarshal(b, &back); err != nil || !slices.Equal(back, got) {
		t.Errorf("JSON reads back as %v, %v", back, err)
	}
	if got := dbindex.Lint(dbindex.Dialect{}, s, dbindex.LintOptions{}); len(got) != 1 || got[0].Severity != dbindex.Error {
		t.Errorf("zero dialect: %v; want one error", got)
	}
	if got := dbindex.Lint(dbindex.MySQL(8, 0), dbindex.Schema{ForeignKeys: chatForeignKeys()}, dbindex.LintOptions{}); len(got) != 0 {
		t.Errorf("MySQL indexes foreign keys itself: %v", got)
	}
}

func TestPrismaSchema(t *testing.T) {
	list := []dbindex.Index{
		{Name: "g", Table: "T", Method: dbindex.GIN, Keys: []dbindex.Key{{Column: "body", OpClass: "gin_trgm_ops"}}},
		{Name: "u", Table: "T", Unique: true, Keys: []dbindex.Key{{Column: "a", Nulls: dbindex.NullsLast}, dbindex.Desc("b")}},
		{Name: "odd", Table: "T", Keys: []dbindex.Key{dbindex.Asc("a b")}},
	}
	r, err := dbindex.PrismaSchema(dbindex.Postgres(15), list)
	if err != nil || len(r.Models) != 1 || len(r.Gaps) != 1 || r.Gaps[0].Index != "odd" {
		t.Fatalf("PrismaSchema = %+v, %v", r, err)
	}
	want := []string{`@@index([body(ops: raw("gin_trgm_ops"))], map: "g", type: Gin)`, `@@unique([a, b(sort: Desc)], map: "u")`}
	if !slices.Equal(r.Models[0].Lines, want) {
		t.Errorf("lines = %q; want %q", r.Models[0].Lines, want)
	}
}
