package recipes_test

import (
	"fmt"

	"github.com/perfblocks/perfblocks/dbindex"
)

// A service declares its indexes in Go. A test in CI fails when one is declared that
// another already covers, or when a foreign key has none.
func Example_indexesInCI() {
	declared := []dbindex.Index{
		{Table: "message", Keys: []dbindex.Key{dbindex.Asc("conversation_id"), dbindex.Desc("created_at")}},
		{Table: "message", Keys: []dbindex.Key{dbindex.Asc("conversation_id")}}, // a prefix of the first
	}
	schema := dbindex.Schema{Indexes: declared, ForeignKeys: []dbindex.ForeignKey{
		{Table: "message", Columns: []string{"author_id"}, RefTable: "person"},
	}}
	for _, f := range dbindex.Lint(dbindex.Postgres(15), schema, dbindex.LintOptions{}) {
		fmt.Println(f.ID, f.Severity, f.Table)
	}
	// Output:
	// DBX003 warning message
	// DBX002 warning message
}
