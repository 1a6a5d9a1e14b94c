package dbindex_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
)

func TestRawSQLCheck(t *testing.T) {
	pg, my, lite := dbindex.Postgres(15), dbindex.MySQL(8, 0), dbindex.SQLite()
	for _, tc := range []struct {
		d    dbindex.Dialect
		sql  string
		good bool
	}{
		{pg, `lower("email")`, true},
		{pg, `("status")::text = 'A'::text`, true},
		{pg, `"tags" @> '{"a;b": 1}' AND "m" ->> 'k' = 'it''s'`, true},
		{pg, `"a" = ANY (ARRAY['x'::text, 'y'])`, true},
		{pg, `"a" ~ E'^\\d\'--'`, true},
		{pg, `"a" ~ '^\d'`, false},
		{pg, `'\'; DROP TABLE t; --'`, false},
		{pg, `a; b`, false},
		{pg, `a -- b`, false},
		{pg, `a --`, false},
		{pg, `a /* b */`, false},
		{pg, `a */ b`, false},
		{pg, `$$a$$`, false},
		{pg, `a = $1`, false},
		{pg, `(a`, false},
		{pg, `a)`, false},
		{pg, `(a]`, false},
		{pg, `'a`, false},
		{pg, `"a`, false},
		{pg, "a\x00", false},
		{pg, "'a\nb'", false},
		{pg, "`a`", false},
		{pg, `u'a'`, false},
		{pg, `a = U&'\0061'`, false},
		{pg, `U&"d!0061" > 0`, false},
		{pg, `a&"b" > 0`, true},
		{pg, `lower(:a)`, false},
		{pg, `a[1:2] = b[:1]`, true},
		{pg, "a\xff", false},
		{pg, strings.Repeat("a ", 10<<10), false},
		{my, "lower(`a``b`)", true},
		{my, `"a"`, false},
		{my, `a # b`, false},
		{my, `'a\'`, false},
		{my, `@x`, false},
		{my, `a = ?`, false},
		{lite, `'a\'`, true},
		{lite, `E'\'; DROP TABLE t --'`, false},
		{lite, `[a]`, false},
		{lite, `:a`, false},
		{lite, `json_extract("a", '$.b')`, true},
	} {
		err := dbindex.RawSQL(tc.sql).Check(tc.d)
		if (err == nil) != tc.good {
			t.Errorf("%s: Check(%.60q) = %v; want good = %v", tc.d, tc.sql, err, tc.good)
		}
		if _, ok := errors.AsType[*dbindex.RawSQLError](err); err != nil && (!ok || !errors.Is(err, dbindex.ErrIndex)) {
			t.Errorf("%s: Check(%.60q) = %v; want a RawSQLError that matches ErrIndex", tc.d, tc.sql, err)
		}
	}
}

func TestParse(t *testing.T) {
	pg, lite := dbindex.Postgres(15), dbindex.SQLite()
	for _, tc := range []struct {
		d    dbindex.Dialect
		sql  string
		want string // as SQL writes it; empty: an error
	}{
		{pg, `CREATE INDEX i ON public."Message" USING btree ("conversationId", "createdAt" DESC) WHERE ("deletedAt" IS NULL);`,
			`CREATE INDEX "i" ON "public"."Message" ("conversationId", "createdAt" DESC) WHERE "deletedAt" IS NULL`},
		{pg, `CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS I ON ONLY t (lower(a) text_pattern_ops NULLS FIRST, (a + b), f(a) COLLATE "C" DESC) INCLUDE (x, "Y") WITH (fillfactor='70')`,
			`CREATE UNIQUE INDEX "i" ON "t" ((lower(a)) "text_pattern_ops" NULLS FIRST, (a + b), (f(a)) COLLATE "C" DESC) INCLUDE ("x", "Y") WITH (fillfactor = '70')`},
		{pg, `CREATE INDEX i ON t USING btree (a) WHERE (b = 'x\y'::text)`, `CREATE INDEX "i" ON "t" ("a") WHERE b = E'x\\y'::text`},
		{lite, `create index I on T(a collate nocase desc, b||c)  where a > 0 and (b)`, `CREATE INDEX "I" ON "T" ("a" COLLATE "nocase" DESC, (b||c)) WHERE a > 0 and (b)`},
		{pg, `CREATE INDEX ÄB ON ÉT (A) WHERE É`, `CREATE INDEX "Äb" ON "Ét" ("a") WHERE É`}, // only ASCII is folded
		{pg, `CREATE INDEX i ON t USING bloom (a)`, ``},
		{pg, `CREATE INDEX i ON t (a) WHERE b = U&'\0061'`, ``},
		{pg, `CREATE INDEX i ON t USING gist (a gist_trgm_ops (siglen='32'))`, ``},
		{pg, `CREATE TABLE t (a int)`, ``},
		{pg, `CREATE INDEX i ON t (a) extra`, ``},
		{pg, `CREATE INDEX i ON t (a) WHERE`, ``},
		{pg, `CREATE INDEX i ON t ()`, ``},
		{pg, ``, ``},
	} {
		ix, err := dbindex.Parse(tc.d, tc.sql)
		if err == nil {
			got, err := ix.SQL(tc.d)
			if err != nil || got != tc.want {
				t.Errorf("Parse(%s).SQL =\n%s, %v; want\n%s", tc.sql, got, err, tc.want)
			}
		} else if tc.want != "" || !errors.Is(err, dbindex.ErrIndex) {
			t.Errorf("Parse(%s) = %v; want %s", tc.sql, err, tc.want)
		}
	}
}

// TestEquivalentChains: PostgreSQL prints the brackets of a BETWEEN, and reads them away.
func TestEquivalentChains(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{`((a >= 1) AND (a <= 3)) AND (b)`, `(a >= 1) AND (a <= 3) AND (b)`, true},
		{`(((a >= 1) AND (a <= 3)) AND b) OR c`, `((a >= 1) AND (a <= 3) AND b) OR c`, true},
		{`((a < 1) OR (a > 3)) OR b`, `(a < 1) OR (a > 3) OR b`, true},
		{`f(CASE WHEN ((a >= 1) AND (a <= 3)) AND b THEN c END)`, `f(CASE WHEN (a >= 1) AND (a <= 3) AND b THEN c END)`, true},
		{`((a AND b) AND c) AND d`, `a AND b AND c AND d`, true},
		{`(a OR b) AND c`, `a OR b AND c`, false},
		{`a OR (b OR c) AND d`, `a OR b OR c AND d`, false},
		{`NOT (a AND b) AND c`, `NOT a AND b AND c`, false},
		{`(a AND b) IS NULL AND c`, `a AND b IS NULL AND c`, false},
		{`(a BETWEEN 1 AND 2) AND c`, `(a BETWEEN 1 AND 2 AND c)`, false},
		{`(CASE WHEN a THEN b AND c END) AND d`, `(CASE WHEN a THEN b AND c END AND d)`, false},
	} {
		ix := func(s string) dbindex.Index {
			return dbindex.Index{Table: "t", Keys: []dbindex.Key{dbindex.Asc("a")}, Where: dbindex.RawSQL(s)}
		}
		if got := ix(tc.a).Equivalent(dbindex.Postgres(15), ix(tc.b)); got != tc.want {
			t.Errorf("%s equivalent to %s = %v; want %v", tc.a, tc.b, got, tc.want)
		}
	}
}

// scan is an independent reading of PostgreSQL text: it reports whether the text is
// one statement, with all quotes and brackets closed, and no comment.
func scan(s string) bool {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == 0, c == ';', strings.HasPrefix(s[i:], "--"), strings.HasPrefix(s[i:], "/*"), c == '$':
			return false
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return false
			}
		case c == '\'' || c == '"':
			escape := c == '\'' && i > 0 && (s[i-1] == 'E' || s[i-1] == 'e')
			for i++; ; i++ {
				if i >= len(s) {
					return false
				}
				if s[i] == '\\' && c == '\'' && !escape {
					return false // means something else when standard_conforming_strings is off
				}
				if s[i] == '\\' && escape {
					i++
				} else if s[i] == c {
					if i+1 < len(s) && s[i+1] == c {
						i++
						continue
					}
					break
				}
			}
		}
	}
	return depth == 0
}

func FuzzRawSQL(f *testing.F) {
	for _, s := range []string{`lower("a")`, `a; b`, `E'\''`, `'a''b'`, "a\x00b", `(a) /* */`, `$1`, `"x" -- y`, `a::text`, `'\' ; --'`, `e'' '\'`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, d := range []dbindex.Dialect{dbindex.Postgres(15), dbindex.MySQL(8, 0), dbindex.SQLite()} {
			_ = dbindex.RawSQL(s).Check(d)
			_, _ = dbindex.Parse(d, s)
		}
		d := dbindex.Postgres(15)
		ix := dbindex.Index{Name: "i", Table: "t", Keys: []dbindex.Key{dbindex.Expr(dbindex.RawSQL(s))}, Where: dbindex.RawSQL(s)}
		sql, err := ix.SQL(d)
		if err != nil {
			return
		}
		if !scan(sql) {
			t.Fatalf("SQL(%q) = %q: not one clean statement", s, sql)
		}
		again, err := ix.SQL(d)
		if err != nil || again != sql || strings.ContainsAny(sql, "\n\r\t\x00") {
			t.Fatalf("SQL(%q) = %q, then %q, %v", s, sql, again, err)
		}
	})
}

func FuzzIdent(f *testing.F) {
	for _, s := range []string{"a", `a"b`, "a`b", "'", "Tiếng Việt", strings.Repeat("x", 200), "a\x00b", "a\nb", `\`, "", "𝒳", "a ", `"; DROP TABLE t; --`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		for _, d := range []dbindex.Dialect{dbindex.Postgres(15), dbindex.SQLite(), dbindex.MySQL(8, 0)} {
			ix := dbindex.Index{Name: name, Table: name, Keys: []dbindex.Key{dbindex.Asc(name)}}
			if d.Name() != "mysql" {
				ix.Where = dbindex.Eq(name, value)
			}
			sql, err := ix.SQL(d)
			if err != nil {
				if !errors.Is(err, dbindex.ErrIndex) {
					t.Fatalf("SQL(%q, %q) on %s = %v; want ErrIndex", name, value, d, err)
				}
				continue
			}
			back, err := dbindex.Parse(d, sql)
			if err != nil || back.Name != name && name != "" || back.Table != name || back.Keys[0].Column != name || !back.Equivalent(d, ix) {
				t.Fatalf("Parse(%q) = %+v, %v; want the names back", sql, back, err)
			}
		}
	})
}
