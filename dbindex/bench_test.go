package dbindex_test

import (
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
)

func BenchmarkIndexSQL(b *testing.B) {
	list, d := chat(), dbindex.Postgres(15)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := list[i%len(list)].SQL(d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLint(b *testing.B) {
	s := dbindex.Schema{Indexes: chat(), ForeignKeys: chatForeignKeys()}
	b.ReportAllocs()
	for b.Loop() {
		if f := dbindex.Lint(dbindex.Postgres(15), s, dbindex.LintOptions{}); len(f) != 0 {
			b.Fatal(f)
		}
	}
}
