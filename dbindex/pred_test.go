package dbindex_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
)

// TestPredKeepsRawBesideTyped looks at texts that read alike and mean two things: a
// constant and a column.
func TestPredKeepsRawBesideTyped(t *testing.T) {
	pg := dbindex.Postgres(15)
	with := func(p dbindex.Pred) dbindex.Index {
		return dbindex.Index{Table: "t", Keys: []dbindex.Key{dbindex.Asc("k")}, Where: p}
	}
	typed, raw := dbindex.Eq("a", "b"), dbindex.RawSQL(`"a" = "b"`)
	for _, p := range []dbindex.Pred{dbindex.And(typed, raw), dbindex.And(raw, typed, raw), dbindex.And(raw, dbindex.And(typed))} {
		if sql, err := with(p).SQL(pg); err != nil || !strings.HasSuffix(sql, ` WHERE "a" = 'b' AND ("a" = "b")`) {
			t.Errorf("SQL = %s, %v; want both predicates, once each", sql, err)
		}
	}
	names := map[string]bool{}
	for _, p := range []dbindex.Pred{typed, raw, dbindex.Not(raw), dbindex.Not(typed), dbindex.Eq("a", 1), dbindex.Eq("a", 1.0), dbindex.Eq("a", true)} {
		names[with(p).DerivedName()] = true
	}
	if len(names) != 7 {
		t.Errorf("%d names for 7 definitions: %v", len(names), names)
	}
}

// TestPredDeep would run for minutes if a predicate's text were built without bound.
func TestPredDeep(t *testing.T) {
	p, q := dbindex.IsNull("a"), dbindex.IsNull("a")
	for i := range 5000 {
		p = dbindex.Not(p)
		if q = dbindex.And(q, dbindex.IsNull("b")); i%2 == 0 {
			q = dbindex.Or(q, dbindex.IsNull("c"))
		}
	}
	for _, p := range []dbindex.Pred{p, q} {
		ix := dbindex.Index{Table: "t", Keys: []dbindex.Key{dbindex.Asc("k")}, Where: p}
		if err := ix.Check(dbindex.Postgres(15)); !errors.Is(err, dbindex.ErrIndex) || !ix.Equivalent(dbindex.Postgres(15), ix) {
			t.Errorf("Check of a deep predicate = %.200v; want ErrIndex", err)
		}
	}
}
