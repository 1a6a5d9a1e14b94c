package dbtest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// The tables of the random indexes: plain, quoted, and hostile names.
const randomTables = `
CREATE TABLE plain (a integer, b text, c integer, d text, e boolean);
CREATE TABLE "Quoted Table" ("camelCase" integer, "with ""quote""" text, "order" integer, "Tiếng Việt" text, "x;y--z" boolean);
`

type randomTable struct {
	name              string
	ints, texts, bool []string
}

var randomSchema = []randomTable{
	{"plain", []string{"a", "c"}, []string{"b", "d"}, []string{"e"}},
	{"Quoted Table", []string{"camelCase", "order"}, []string{`with "quote"`, "Tiếng Việt"}, []string{"x;y--z"}},
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// randomIndex draws from everything the model can say; the dialect may refuse it.
func randomIndex(r *rand.Rand) dbindex.Index {
	t := pick(r, randomSchema...)
	ix := dbindex.Index{Table: t.name, Unique: r.IntN(5) == 0}
	if r.IntN(3) == 0 {
		ix.Name = pick(r, "simple", "With Space", `q"uote`, "'; DROP TABLE plain; --", "ünïcødé", "x`y") + fmt.Sprint(r.IntN(1000))
	}
	if r.IntN(4) == 0 {
		ix.Method = dbindex.Method(r.IntN(6))
	}
	for range 1 + r.IntN(3) {
		ix.Keys = append(ix.Keys, randomKey(r, t, ix.Method))
	}
	if r.IntN(6) == 0 {
		ix.Include = []string{pick(r, append(t.ints, t.texts...)...)}
	}
	if r.IntN(3) == 0 {
		ix.Where = randomPred(r, t, 0)
	}
	ix.NullsNotDistinct = ix.Unique && r.IntN(4) == 0
	if r.IntN(8) == 0 && ix.Method == dbindex.BTree {
		ix.With = map[string]string{"fillfactor": fmt.Sprint(50 + r.IntN(50))}
	}
	return ix
}

func randomKey(r *rand.Rand, t randomTable, m dbindex.Method) dbindex.Key {
	k := dbindex.Asc(pick(r, append(t.ints, t.texts...)...))
	switch text := pick(r, t.texts...); r.IntN(6) {
	case 0:
		k = dbindex.Expr(dbindex.RawSQL("lower(" + quote(text) + ")"))
	case 1:
		k = dbindex.Expr(dbindex.RawSQL(quote(t.ints[0]) + " +  " + quote(t.ints[1])))
	case 2:
		k = dbindex.Key{Column: text, Collate: pick(r, "C", "NOCASE", "POSIX")}
	case 3:
		k = dbindex.Key{Column: text, OpClass: pick(r, "text_pattern_ops", "text_ops")}
	}
	if m == dbindex.BTree {
		k.Desc = r.IntN(3) == 0
		k.Nulls = dbindex.Nulls(max(0, r.IntN(5)-2))
	}
	return k
}

func randomPred(r *rand.Rand, t randomTable, depth int) dbindex.Pred {
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
		return dbindex.RawSQL(quote(n) + "  % 2 = 0")
	case k == 8:
		return dbindex.Ge(n, 0.5)
	case depth < 3 && k == 9:
		return dbindex.Not(randomPred(r, t, depth+1))
	case depth < 3 && k == 10:
		return dbindex.And(randomPred(r, t, depth+1), randomPred(r, t, depth+1))
	case depth < 3:
		return dbindex.Or(randomPred(r, t, depth+1), randomPred(r, t, depth+1))
	}
	return dbindex.Lt(n, 7)
}
