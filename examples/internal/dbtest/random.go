package dbtest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// randomTable is a table of the random indexes: plain, quoted, and hostile names.
type randomTable struct {
	name, json        string
	ints, texts, bool []string
}

func randomTables() []randomTable {
	return []randomTable{
		{"plain", "j", []string{"a", "c"}, []string{"b", "d"}, []string{"e"}},
		{"Quoted Table", "js on", []string{"camelCase", "order"}, []string{`with "quote"`, "Tiếng Việt"}, []string{"x;y--z"}},
	}
}

// createTables returns the statements that create the tables in the dialect.
func createTables(d dbindex.Dialect) (list []string) {
	types := map[string][4]string{
		"postgres": {"integer", "text", "boolean", "jsonb"},
		"sqlite":   {"integer", "text", "boolean", "text"},
		"mariadb":  {"integer", "varchar(90)", "boolean", "longtext"},
	}[d.Name()]
	for _, t := range randomTables() {
		var cols []string
		for i, names := range [][]string{t.ints, t.texts, t.bool, {t.json}} {
			for _, c := range names {
				cols = append(cols, quote(d, c)+" "+types[i])
			}
		}
		list = append(list, "CREATE TABLE "+quote(d, t.name)+" ("+strings.Join(cols, ", ")+")")
	}
	return list
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func quote(d dbindex.Dialect, s string) string {
	q := `"`
	if d.Name() == "mariadb" {
		q = "`"
	}
	return q + strings.ReplaceAll(s, q, q+q) + q
}

// RandomIndex draws from everything the model can say about the tables of
// [RoundTrip]; the dialect may lack it.
func RandomIndex(r *rand.Rand, d dbindex.Dialect) dbindex.Index {
	t := pick(r, randomTables()...)
	ix := dbindex.Index{Table: t.name, Unique: r.IntN(5) == 0, Ignored: r.IntN(20) == 0}
	if r.IntN(3) == 0 {
		ix.Name = pick(r, "simple", "With Space", `q"uote`, "'; DROP TABLE plain; --", "ünïcødé", "x`y", `back\slash`) + fmt.Sprint(r.IntN(1000))
	}
	if r.IntN(4) == 0 {
		ix.Method = dbindex.Method(r.IntN(6))
	}
	for range 1 + r.IntN(3) {
		ix.Keys = append(ix.Keys, randomKey(r, d, t, ix.Method))
	}
	if r.IntN(6) == 0 {
		ix.Include = []string{pick(r, append(t.ints, t.texts...)...)}
	}
	if r.IntN(3) == 0 {
		ix.Where = randomPred(r, d, t, 0)
	}
	ix.NullsNotDistinct = ix.Unique && r.IntN(4) == 0
	if r.IntN(8) == 0 {
		ix.With = map[string]string{"fillfactor": fmt.Sprint(50 + r.IntN(50))}
		switch ix.Method {
		case dbindex.BRIN:
			ix.With = map[string]string{"pages_per_range": fmt.Sprint(1 + r.IntN(100)), "autosummarize": "on"}
		case dbindex.GIN:
			ix.With = map[string]string{"fastupdate": "off"}
		}
	}
	return ix
}

func randomKey(r *rand.Rand, d dbindex.Dialect, t randomTable, m dbindex.Method) dbindex.Key {
	k := dbindex.Asc(pick(r, append(t.ints, t.texts...)...))
	text := pick(r, t.texts...)
	if d.Name() == "postgres" && m != dbindex.BTree && r.IntN(4) > 0 { // what the method is for
		switch m {
		case dbindex.GIN:
			return pick(r, dbindex.Key{Column: text, OpClass: "gin_trgm_ops"}, dbindex.Key{Column: t.json}, dbindex.Key{Column: t.json, OpClass: "jsonb_path_ops"},
				dbindex.Expr(dbindex.RawSQL("to_tsvector('simple', "+quote(d, text)+")")))
		case dbindex.GiST:
			return dbindex.Key{Column: text, OpClass: "gist_trgm_ops"}
		case dbindex.SPGiST:
			return dbindex.Asc(text)
		}
	}
	switch r.IntN(7) {
	case 0:
		k = dbindex.Expr(dbindex.RawSQL("lower(" + quote(d, text) + ")"))
	case 1:
		k = dbindex.Expr(dbindex.RawSQL(quote(d, t.ints[0]) + " +  " + quote(d, t.ints[1])))
	case 2:
		k = dbindex.Key{Column: text, Collate: pick(r, "C", "NOCASE", "POSIX")}
	case 3:
		k = dbindex.Key{Column: text, OpClass: pick(r, "text_pattern_ops", "text_ops")}
	case 4:
		k = dbindex.Key{Column: text, Prefix: 1 + r.IntN(90)}
	}
	if m == dbindex.BTree {
		k.Desc = r.IntN(3) == 0
		k.Nulls = dbindex.Nulls(max(0, r.IntN(5)-2))
	}
	return k
}

func randomPred(r *rand.Rand, d dbindex.Dialect, t randomTable, depth int) dbindex.Pred {
	n, s, b := pick(r, t.ints...), pick(r, t.texts...), t.bool[0]
	switch k := r.IntN(12); {
	case k == 0:
		return dbindex.IsNull(s)
	case k == 1:
		return dbindex.NotNull(n)
	case k == 2:
		return dbindex.Eq(s, pick(r, "it's", `back\slash`, `"`, "; --", "Việt", ""))
	case k == 3:
		return dbindex.Ne(n, r.IntN(100)-50)
	case k == 4:
		return dbindex.In(s, "b", "a", "c'"[:1+r.IntN(2)])
	case k == 5:
		return dbindex.In(n, 3, -1, 2)
	case k == 6:
		return dbindex.Eq(b, r.IntN(2) == 0)
	case k == 7:
		return dbindex.RawSQL(quote(d, n) + "  % 2 = 0")
	case k == 8:
		return dbindex.Ge(n, 0.5)
	case depth < 3 && k == 9:
		return dbindex.Not(randomPred(r, d, t, depth+1))
	case depth < 3 && k == 10:
		return dbindex.And(randomPred(r, d, t, depth+1), randomPred(r, d, t, depth+1))
	case depth < 3:
		return dbindex.Or(randomPred(r, d, t, depth+1), randomPred(r, d, t, depth+1))
	}
	return dbindex.Lt(n, 7)
}

// randomName draws a name of quotes, unicode, control characters and what ends a
// statement, up to 200 bytes.
func randomName(r *rand.Rand) string {
	parts := []string{"a", "Z", "0", `"`, `""`, "`", "'", "''", ";", "--", "/*", "*/", `\`, "$$", "$1", " ", ".", "%s", "?", "ế", "💥", "\u202e", "é́", "]", ")",
		`"; DROP TABLE canary; --`, "`; DROP TABLE canary; -- ", "select", "\x00", "\n", "\xff"}
	harmless := len(parts) - 3
	var b strings.Builder
	for range 1 + r.IntN(12) {
		n := harmless
		if r.IntN(40) == 0 {
			n = len(parts)
		}
		b.WriteString(parts[r.IntN(n)])
	}
	if r.IntN(8) == 0 {
		b.WriteString(strings.Repeat(pick(r, "x", "é", "𝒳"), 60+r.IntN(40)))
	}
	return b.String()
}
