package dbindex_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

func ExampleIndex_SQL() {
	ix := dbindex.Index{
		Table: "Message",
		Keys:  []dbindex.Key{dbindex.Asc("conversationId"), dbindex.Desc("createdAt")},
		Where: dbindex.IsNull("deletedAt"),
	}
	for _, d := range []dbindex.Dialect{dbindex.Postgres(15), dbindex.SQLite(), dbindex.MySQL(8, 0)} {
		sql, err := ix.SQL(d)
		fmt.Println(sql, err)
	}
	// Output:
	// CREATE INDEX "idx_Message_conversationId_createdAt_desc_d565e5a7" ON "Message" ("conversationId", "createdAt" DESC) WHERE "deletedAt" IS NULL <nil>
	// CREATE INDEX "idx_Message_conversationId_createdAt_desc_d565e5a7" ON "Message" ("conversationId", "createdAt" DESC) WHERE "deletedAt" IS NULL <nil>
	//  dbindex: index "idx_Message_conversationId_createdAt_desc_d565e5a7": mysql 8.0 has no partial indexes; put the predicate's columns first in Keys, or index a generated column that is NULL outside the predicate
}

func ExampleDiff() {
	have := []dbindex.Index{
		{Name: "by_user", Table: "Session", Keys: []dbindex.Key{dbindex.Asc("userId")}},
		{Name: "by_time", Table: "Session", Keys: []dbindex.Key{dbindex.Asc("expires")}},
	}
	want := []dbindex.Index{
		{Table: "Session", Keys: []dbindex.Key{dbindex.Asc("userId")}},
		{Table: "Account", Keys: []dbindex.Key{dbindex.Asc("userId")}},
	}
	plan, err := dbindex.Diff(dbindex.Postgres(15), want, have)
	if err != nil {
		panic(err)
	}
	fmt.Print(plan)
	fmt.Print("and back:\n", plan.Reverse())
	// Output:
	// ALTER INDEX "by_user" RENAME TO "idx_Session_userId";
	// CREATE INDEX CONCURRENTLY "idx_Account_userId" ON "Account" ("userId");
	// DROP INDEX CONCURRENTLY "by_time";
	// and back:
	// CREATE INDEX CONCURRENTLY "by_time" ON "Session" ("expires");
	// DROP INDEX CONCURRENTLY "idx_Account_userId";
	// ALTER INDEX "idx_Session_userId" RENAME TO "by_user";
}

func ExamplePlan_Migration() {
	plan, err := dbindex.Diff(dbindex.Postgres(15), []dbindex.Index{
		{Table: "Session", Keys: []dbindex.Key{dbindex.Asc("userId")}},
		{Table: "Account", Keys: []dbindex.Key{dbindex.Asc("userId")}},
	}, nil)
	if err != nil {
		panic(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, kind := range []dbindex.MigrationKind{dbindex.Prisma, dbindex.GolangMigrate, dbindex.Goose} {
		files, err := plan.Migration(kind, dbindex.MigrationOptions{At: at}) // then os.CopyFS(dir, files)
		if err != nil {
			panic(err)
		}
		_ = fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
			if !e.IsDir() {
				fmt.Println(path)
			}
			return err
		})
	}
	// Output:
	// 20260102030405_indexes_01/down.sql
	// 20260102030405_indexes_01/migration.sql
	// 20260102030406_indexes_02/down.sql
	// 20260102030406_indexes_02/migration.sql
	// 20260102030405_indexes_01.down.sql
	// 20260102030405_indexes_01.up.sql
	// 20260102030406_indexes_02.down.sql
	// 20260102030406_indexes_02.up.sql
	// 20260102030405_indexes.sql
}

func ExampleLint() {
	findings := dbindex.Lint(dbindex.Postgres(15), dbindex.Schema{
		Indexes: []dbindex.Index{
			{Name: "a", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId")}},
			{Name: "b", Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId"), dbindex.Desc("createdAt")}},
		},
		ForeignKeys: []dbindex.ForeignKey{{Table: "Message", Columns: []string{"parentId"}, RefTable: "Message"}},
	}, dbindex.LintOptions{})
	for _, f := range findings {
		fmt.Println(f)
		fmt.Println("  ", f.Fix)
	}
	b, _ := json.Marshal(findings[0].Severity)
	fmt.Println(string(b))
	// Output:
	// DBX003 warning Message: the foreign key on "parentId" to "Message" has no index: each delete or key change there reads the whole table "Message"
	//    CREATE INDEX CONCURRENTLY "idx_Message_parentId" ON "Message" ("parentId");
	// DBX002 warning Message: the keys of index "a" are the first keys of "b"
	//    DROP INDEX CONCURRENTLY "a";
	// "warning"
}
