package dbindex_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// largeSchema has so many tables, each with 8 indexes, two of them redundant, two
// foreign keys, one of them without an index, and its statistics.
func largeSchema(tables int) dbindex.Schema {
	var s dbindex.Schema
	for i := range tables {
		name := fmt.Sprintf("t%05d", i)
		s.Tables = append(s.Tables, dbindex.Table{Name: name, Rows: 1000, Updates: 20_000, HotUpdates: 15_000})
		for _, columns := range [][]string{{"a"}, {"a", "b"}, {"c", "a"}, {"d"}, {"d", "e", "f"}, {"f"}, {"g", "h"}, {"i"}} {
			s.Indexes = append(s.Indexes, index("", name, columns...))
		}
		for _, c := range []string{"g", "missing"} {
			s.ForeignKeys = append(s.ForeignKeys, dbindex.ForeignKey{Table: name, Columns: []string{c}, RefTable: "u"})
		}
	}
	return s
}

// TestLintGrowsWithTheTables lints 8 times as many tables in about 8 times the time, and
// not in 64 times. The least of some runs is taken, as a busy machine has slow ones.
func TestLintGrowsWithTheTables(t *testing.T) {
	least := func(s dbindex.Schema) time.Duration {
		best := time.Hour
		for range 5 {
			start := time.Now()
			if got, want := len(dbindex.Lint(dbindex.Postgres(15), s, dbindex.LintOptions{})), 3*len(s.Tables); got != want {
				t.Fatalf("%d findings; want %d", got, want)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	few, many := least(largeSchema(100)), least(largeSchema(800))
	if many > 24*few {
		t.Errorf("Lint takes %v for 100 tables and %v for 800", few, many)
	}
	t.Logf("Lint takes %v for 100 tables and %v for 800", few, many)
}

func BenchmarkLintLarge(b *testing.B) {
	for _, tables := range []int{125, 1250} {
		b.Run(fmt.Sprintf("indexes=%d", 8*tables), func(b *testing.B) {
			s := largeSchema(tables)
			b.ReportAllocs()
			for b.Loop() {
				dbindex.Lint(dbindex.Postgres(15), s, dbindex.LintOptions{})
			}
		})
	}
}
