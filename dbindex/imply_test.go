package dbindex_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
)

func TestImplies(t *testing.T) {
	var (
		eq, ne = dbindex.Eq[string], dbindex.Ne[string]
		raw    = func(s string) dbindex.Pred { return dbindex.RawSQL(s) }
		and    = dbindex.And
		or     = dbindex.Or
	)
	for _, tc := range []struct {
		p, q dbindex.Pred
		want bool
	}{
		{nil, nil, true},
		{eq("a", "x"), nil, true},
		{nil, eq("a", "x"), false},
		{eq("a", "x"), eq("a", "x"), true},
		{eq("a", "x"), eq("b", "x"), false},
		{eq("a", "x"), dbindex.In("a", "y", "x"), true},
		{dbindex.In("a", "x", "y"), dbindex.In("a", "y", "x", "z"), true},
		{dbindex.In("a", "x", "y", "z"), dbindex.In("a", "y", "x"), false},
		{dbindex.In("a", "x"), eq("a", "x"), true},
		{eq("a", "x"), ne("a", "y"), false}, // a collation may take them for equal
		{dbindex.Lt("a", "x"), dbindex.Lt("a", "y"), false},
		{dbindex.Lt("a", 3), dbindex.Lt("a", 4), true},
		{dbindex.Lt("a", 3), dbindex.Le("a", 2.5), false},
		{dbindex.Eq("a", 3), dbindex.Ge("a", 2.5), true},
		{dbindex.Eq("a", int64(1)<<60), dbindex.Ge("a", 0.5), false},
		{eq("a", "x"), dbindex.NotNull("a"), true},
		{dbindex.IsNull("a"), dbindex.NotNull("a"), false},
		{and(eq("a", "x"), dbindex.IsNull("b")), eq("a", "x"), true},
		{eq("a", "x"), and(eq("a", "x"), dbindex.IsNull("b")), false},
		{or(eq("a", "x"), eq("a", "y")), dbindex.In("a", "x", "y"), true},
		{dbindex.In("a", "x", "y"), or(eq("a", "x"), eq("a", "y")), true},
		{dbindex.Not(dbindex.IsNull("a")), dbindex.NotNull("a"), true},
		{dbindex.Not(or(dbindex.IsNull("a"), dbindex.Lt("b", 3))), dbindex.Ge("b", 3), true},
		{dbindex.Not(dbindex.Eq("f", true)), dbindex.Eq("f", false), true},
		// As PostgreSQL prints them.
		{raw(`("deletedAt" IS NULL)`), dbindex.IsNull("deletedAt"), true},
		{raw(`((status = 'PENDING'::text) AND ("deletedAt" IS NULL))`), eq("status", "PENDING"), true},
		{raw(`(status = ANY (ARRAY['b'::text, 'a'::text]))`), dbindex.In("status", "a", "b"), true},
		{raw(`(state = ANY (ARRAY['cart'::order_state, 'placed'::order_state]))`), dbindex.In("state", "cart", "placed", "paid"), true},
		{raw(`is_default`), dbindex.Eq("is_default", true), true},
		{raw(`(NOT is_default)`), dbindex.Eq("is_default", false), true},
		{raw(`(n > '-1'::integer)`), dbindex.Gt("n", -2), true},
		{raw(`((speed > (33.3)::double precision))`), dbindex.NotNull("speed"), false}, // not understood
		{raw(`((kind)::text = 'a'::text)`), eq("kind", "a"), false},                    // another comparison
		{raw(`((kind)::text = 'a'::text)`), raw(`kind::text  IN ('a'::text, 'b')`), true},
		{raw(`a BETWEEN 1 AND 3`), raw(`a BETWEEN  1 AND 3`), true},
		{raw(`a BETWEEN 1 AND 3`), dbindex.Ge("a", 1), false},
		{raw(`f(a) OR b = 3`), raw(`b = 3 OR f(a) OR c = 1`), true},
		{raw(`x = 'it''s'`), eq("x", "it's"), true},
		{raw(`n = 0.10000000000000000001`), dbindex.Eq("n", 0.1), false},
		{eq("a", "x"), dbindex.Ge("a", "x"), true},
		{dbindex.Lt("a", "x"), ne("a", "x"), true},
		{raw(`CASE WHEN a AND b = 1 AND c THEN false ELSE true END`), dbindex.Eq("b", 1), false},
		{raw(`b = 1`), raw(`CASE WHEN a OR b = 1 OR c THEN false ELSE true END`), false},
		{raw(`(a < 5::text)`), raw(`(a < 10::text)`), false}, // as texts, "5" is more
		{raw(`(a = 2.6::integer)`), dbindex.Gt("a", 2.5), false},
		{raw(`(a = '0.1'::real)`), dbindex.Eq("a", 0.1), false},
		{raw(`(a = 5::bigint)`), dbindex.Gt("a", 4), true},
		{raw(`(a = 'abc'::character varying(2))`), eq("a", "abc"), false},
		{raw(`(a = '2026-01-01 10:00'::date)`), raw(`(a = '2026-01-01 10:00'::timestamp)`), false},
		{raw(`(a >= '2026-01-01'::date)`), dbindex.NotNull("a"), true},
		{raw(`(a)::text = 'x'`), eq("a::text", "x"), false}, // a column of that name
		{raw(`"É" = 1`), raw(`É = 1`), true},
		{raw(`É = 1`), raw(`é = 1`), false}, // only ASCII is folded
	} {
		if got := dbindex.Implies(dbindex.Postgres(15), tc.p, tc.q); got != tc.want {
			t.Errorf("Implies(%v, %v) = %v; want %v", tc.p, tc.q, got, tc.want)
		}
	}
	for _, tc := range []struct {
		p, q dbindex.Pred
		want bool
	}{
		{dbindex.Not(dbindex.Eq("f", true)), dbindex.Eq("f", false), false}, // any number is a boolean
		{dbindex.Lt("a", 5), dbindex.Lt("a", 10), false},                    // a column of texts compares them as texts
		{dbindex.Eq("a", 5), dbindex.Eq("a", 5.0), false},
		{dbindex.Eq("a", 5), dbindex.Ge("a", 5), true},
		{dbindex.Eq("a", 5), dbindex.NotNull("A"), true},
		{dbindex.IsNull("É"), dbindex.IsNull("é"), false},
	} {
		if got := dbindex.Implies(dbindex.SQLite(), tc.p, tc.q); got != tc.want {
			t.Errorf("SQLite: Implies(%v, %v) = %v; want %v", tc.p, tc.q, got, tc.want)
		}
	}
	if dbindex.Implies(dbindex.Dialect{}, nil, nil) {
		t.Error("the zero Dialect knows something")
	}
	hostile := dbindex.IsNull("a")
	for i := range 40 {
		hostile = or(and(hostile, dbindex.Eq(fmt.Sprint(i), i)), dbindex.Eq(fmt.Sprint(i), -i))
	}
	dbindex.Implies(dbindex.Postgres(15), hostile, dbindex.Not(hostile))
}

// truth is SQL's: 1 true, 0 false, -1 unknown.
type model struct {
	pred dbindex.Pred
	eval func(row map[string]int) int // a missing column is NULL
}

func randomModel(r *rand.Rand, depth int) model {
	col, v := string(rune('a'+r.IntN(2))), r.IntN(4)
	cmp := func(p dbindex.Pred, f func(x int) bool) model {
		return model{p, func(row map[string]int) int {
			x, ok := row[col]
			switch {
			case !ok:
				return -1
			case f(x):
				return 1
			}
			return 0
		}}
	}
	switch k := r.IntN(12); {
	case k == 0:
		return model{dbindex.IsNull(col), func(row map[string]int) int {
			if _, ok := row[col]; ok {
				return 0
			}
			return 1
		}}
	case k == 1:
		return model{dbindex.NotNull(col), func(row map[string]int) int {
			if _, ok := row[col]; ok {
				return 1
			}
			return 0
		}}
	case k == 2:
		return cmp(dbindex.Eq(col, v), func(x int) bool { return x == v })
	case k == 3:
		return cmp(dbindex.Ne(col, v), func(x int) bool { return x != v })
	case k == 4:
		return cmp(dbindex.Lt(col, v), func(x int) bool { return x < v })
	case k == 5:
		return cmp(dbindex.Le(col, v), func(x int) bool { return x <= v })
	case k == 6:
		return cmp(dbindex.Gt(col, v), func(x int) bool { return x > v })
	case k == 7:
		return cmp(dbindex.Ge(col, v), func(x int) bool { return x >= v })
	case k == 8 || depth == 0:
		w := r.IntN(4)
		return cmp(dbindex.In(col, v, w), func(x int) bool { return x == v || x == w })
	case k == 9:
		m := randomModel(r, depth-1)
		return model{dbindex.Not(m.pred), func(row map[string]int) int {
			if v := m.eval(row); v >= 0 {
				return 1 - v
			}
			return -1
		}}
	}
	m, n, and := randomModel(r, depth-1), randomModel(r, depth-1), r.IntN(2) == 0
	decisive, join := 1, dbindex.Or
	if and {
		decisive, join = 0, dbindex.And
	}
	return model{join(m.pred, n.pred), func(row map[string]int) int {
		x, y := m.eval(row), n.eval(row)
		switch {
		case x == decisive || y == decisive:
			return decisive
		case x < 0 || y < 0:
			return -1
		}
		return 1 - decisive
	}}
}

// TestImpliesModel compares with the truth over all rows of two columns. What is
// implied must hold; and of what holds, enough must be found.
func TestImpliesModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var rows []map[string]int
	for a := -1; a < 5; a++ {
		for b := -1; b < 5; b++ {
			row := map[string]int{}
			if a >= 0 {
				row["a"] = a
			}
			if b >= 0 {
				row["b"] = b
			}
			rows = append(rows, row)
		}
	}
	true1, found := 0, 0
	for range 8000 {
		p, q := randomModel(r, 2), randomModel(r, 2)
		holds := true
		for _, row := range rows {
			holds = holds && (p.eval(row) != 1 || q.eval(row) == 1)
		}
		// Half of the time by way of the text.
		left := p.pred
		if r.IntN(2) == 0 {
			sql, err := dbindex.Index{Table: "t", Keys: []dbindex.Key{dbindex.Asc("a")}, Where: left}.SQL(dbindex.Postgres(15))
			if err != nil {
				t.Fatal(err)
			}
			_, text, _ := strings.Cut(sql, " WHERE ")
			left = dbindex.RawSQL("(" + text + ")")
		}
		got := dbindex.Implies(dbindex.Postgres(15), left, q.pred)
		if got && !holds {
			t.Fatalf("Implies(%v, %v); want false", left, q.pred)
		}
		if holds {
			true1++
		}
		if got {
			found++
		}
	}
	t.Logf("%d of %d implications found", found, true1)
	if found < true1/2 {
		t.Errorf("only %d of %d implications were found", found, true1)
	}
}
