package dbindex_test

import (
	"fmt"

	"github.com/perfblocks/perfblocks/dbindex"
)

// chat declares the indexes of a chat application: lookups by foreign key, composite
// pages, partial work queues, analytics.
func chat() []dbindex.Index {
	asc, desc := dbindex.Asc, dbindex.Desc
	return []dbindex.Index{
		{Table: "User", Keys: []dbindex.Key{asc("planTier"), asc("monthlyTokenUsed")}},
		{Table: "User", Keys: []dbindex.Key{dbindex.Expr(`lower("email")`)}},
		{Table: "User", Keys: []dbindex.Key{desc("lastSeenAt")}, Where: dbindex.Eq("isActive", true)},
		{Table: "Account", Keys: []dbindex.Key{asc("userId")}},
		{Table: "Session", Keys: []dbindex.Key{asc("userId")}},
		{Table: "Session", Keys: []dbindex.Key{asc("expires")}},
		{Table: "Conversation", Keys: []dbindex.Key{asc("userId"), desc("updatedAt")}, Where: dbindex.IsNull("deletedAt")},
		{Table: "Conversation", Keys: []dbindex.Key{asc("userId")}, Where: dbindex.And(dbindex.Eq("isPinned", true), dbindex.IsNull("deletedAt"))},
		{Table: "Conversation", Keys: []dbindex.Key{asc("userId"), asc("createdAt")}},
		{Table: "Message", Keys: []dbindex.Key{asc("conversationId"), desc("createdAt")}},
		{Table: "Message", Keys: []dbindex.Key{asc("parentId")}, Where: dbindex.NotNull("parentId")},
		{Table: "Message", Keys: []dbindex.Key{asc("createdAt")}, Where: dbindex.Eq("status", "PENDING")},
		{Table: "Message", Keys: []dbindex.Key{asc("createdAt")}, Where: dbindex.Eq("status", "FAILED")},
		{Table: "Attachment", Keys: []dbindex.Key{asc("messageId")}},
		{Table: "TokenUsage", Keys: []dbindex.Key{asc("userId"), asc("createdAt")}},
		{Table: "TokenUsage", Keys: []dbindex.Key{asc("userId"), asc("model")}},
		{Table: "TokenUsage", Keys: []dbindex.Key{asc("conversationId")}, Where: dbindex.NotNull("conversationId")},
		{Table: "TokenUsage", Keys: []dbindex.Key{asc("createdAt"), asc("model")}},
		{Table: "Subscription", Keys: []dbindex.Key{asc("userId"), asc("status")}},
		{Table: "ApiKey", Keys: []dbindex.Key{asc("userId")}},
		{Table: "ApiKey", Keys: []dbindex.Key{asc("hash")}, Unique: true, Where: dbindex.IsNull("revokedAt")},
		{Table: "Feedback", Keys: []dbindex.Key{asc("messageId")}},
		{Table: "Feedback", Keys: []dbindex.Key{asc("userId")}},
		{Table: "Notification", Keys: []dbindex.Key{asc("userId"), desc("createdAt")}},
		{Table: "AuditLog", Keys: []dbindex.Key{asc("entity"), asc("entityId"), desc("createdAt")}},
	}
}

func chatForeignKeys() (fks []dbindex.ForeignKey) {
	for _, r := range [][3]string{
		{"Account", "userId", "User"}, {"Session", "userId", "User"}, {"Conversation", "userId", "User"},
		{"Message", "conversationId", "Conversation"}, {"Message", "parentId", "Message"}, {"Attachment", "messageId", "Message"},
		{"TokenUsage", "userId", "User"}, {"TokenUsage", "conversationId", "Conversation"}, {"Subscription", "userId", "User"},
		{"ApiKey", "userId", "User"}, {"Feedback", "messageId", "Message"}, {"Feedback", "userId", "User"}, {"Notification", "userId", "User"},
	} {
		fks = append(fks, dbindex.ForeignKey{Table: r[0], Columns: []string{r[1]}, RefTable: r[2]})
	}
	return fks
}

// The indexes of a chat service, and what Prisma's schema can hold of them.
func Example_chat() {
	plan, err := dbindex.Diff(dbindex.Postgres(15), chat(), nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(len(plan.Steps), "indexes")
	schema, err := dbindex.PrismaSchema(plan.Dialect, chat())
	if err != nil {
		panic(err)
	}
	for _, m := range schema.Models[:2] {
		fmt.Println(m.Table, m.Lines)
	}
	for _, g := range schema.Gaps[:3] {
		fmt.Println(g.Index, "-", g.Reason)
	}
	// Output:
	// 25 indexes
	// Account [@@index([userId], map: "idx_Account_userId")]
	// ApiKey [@@index([userId], map: "idx_ApiKey_userId")]
	// uq_ApiKey_hash_a721c339 - partial (WHERE)
	// idx_Conversation_userId_a7ba1270 - partial (WHERE)
	// idx_Conversation_userId_updatedAt_desc_f1a39951 - partial (WHERE)
}
