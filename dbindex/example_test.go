package dbindex_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"testing/fstest"
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

// Trigrams serve ILIKE '%word%', and jsonb_path_ops serves settings @> '{"theme": "dark"}'.
func ExampleIndex_methods() {
	for _, ix := range []dbindex.Index{
		{Table: "Message", Method: dbindex.GIN, Keys: []dbindex.Key{{Column: "content", OpClass: "gin_trgm_ops"}}},
		{Table: "User", Method: dbindex.GIN, Keys: []dbindex.Key{{Column: "settings", OpClass: "jsonb_path_ops"}}},
		{Table: "AuditLog", Method: dbindex.BRIN, Keys: []dbindex.Key{dbindex.Asc("createdAt")}, With: map[string]string{"pages_per_range": "32"}},
	} {
		sql, err := ix.SQL(dbindex.Postgres(15))
		fmt.Println(sql, err)
	}
	_, err := dbindex.Index{Table: "User", Method: dbindex.GIN, Keys: []dbindex.Key{dbindex.Asc("settings")}}.SQL(dbindex.SQLite())
	fmt.Println(err)
	// Output:
	// CREATE INDEX "idx_Message_content_30949785" ON "Message" USING gin ("content" "gin_trgm_ops") <nil>
	// CREATE INDEX "idx_User_settings_c4811b68" ON "User" USING gin ("settings" "jsonb_path_ops") <nil>
	// CREATE INDEX "idx_AuditLog_createdAt_fc4caf13" ON "AuditLog" USING brin ("createdAt") WITH (pages_per_range = '32') <nil>
	// dbindex: index "idx_User_settings_ab47bf44": sqlite has no index method gin; use an FTS5 table for text, or an expression key such as json_extract(column, '$.path') for one JSON path
}

func ExampleLintFiles() {
	files := fstest.MapFS{ // os.DirFS("migrations") as a rule
		"1_messages.up.sql": {Data: []byte("CREATE TABLE message (id int PRIMARY KEY, chat_id int REFERENCES chat);")},
		"2_index.up.sql":    {Data: []byte("SET lock_timeout = '1s';\nCREATE INDEX CONCURRENTLY IF NOT EXISTS message_chat ON message (chat_id);")},
	}
	findings, err := dbindex.LintFiles(dbindex.Postgres(15), files, dbindex.LintOptions{Applied: "1_messages.up.sql"})
	if err != nil {
		panic(err)
	}
	for _, f := range findings {
		fmt.Println(f.File, f.Line, f.ID, f.Severity)
	}
	// Output:
	// 2_index.up.sql 2 DBX012 error
	// 2_index.up.sql 2 DBX013 warning
	// 2_index.up.sql 2 DBX014 warning
}

func ExampleImplies() {
	pg := dbindex.Postgres(15)
	query := dbindex.RawSQL(`(status = 'PENDING'::text) AND (retries < 3)`)
	fmt.Println(dbindex.Implies(pg, query, dbindex.In("status", "PENDING", "FAILED")))
	fmt.Println(dbindex.Implies(pg, query, dbindex.Lt("retries", 2)))
	// Output:
	// true
	// false
}
