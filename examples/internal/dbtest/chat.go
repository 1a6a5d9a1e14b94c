package dbtest

import "github.com/perfblocks/perfblocks/dbindex"

// ChatIndexes are the indexes of the chat application: lookups, composite pages,
// partial work queues, analytics.
func ChatIndexes() []dbindex.Index {
	asc, desc := dbindex.Asc, dbindex.Desc
	ix := func(table string, keys ...dbindex.Key) dbindex.Index { return dbindex.Index{Table: table, Keys: keys} }
	where := func(ix dbindex.Index, p dbindex.Pred) dbindex.Index { ix.Where = p; return ix }
	return []dbindex.Index{
		ix("User", asc("planTier"), asc("monthlyTokenUsed")),
		ix("User", dbindex.Expr(`lower("email")`)),
		where(ix("User", desc("lastSeenAt")), dbindex.Eq("isActive", true)),
		ix("Account", asc("userId")),
		ix("Session", asc("userId")),
		ix("Session", asc("expires")),
		where(ix("Conversation", asc("userId"), desc("updatedAt")), dbindex.IsNull("deletedAt")),
		where(ix("Conversation", asc("userId")), dbindex.And(dbindex.Eq("isPinned", true), dbindex.IsNull("deletedAt"))),
		ix("Conversation", asc("userId"), asc("createdAt")),
		ix("Message", asc("conversationId"), desc("createdAt")),
		where(ix("Message", asc("parentId")), dbindex.NotNull("parentId")),
		where(ix("Message", asc("createdAt")), dbindex.Eq("status", "PENDING")),
		where(ix("Message", asc("createdAt")), dbindex.Eq("status", "FAILED")),
		ix("Attachment", asc("messageId")),
		ix("TokenUsage", asc("userId"), asc("createdAt")),
		ix("TokenUsage", asc("userId"), asc("model")),
		where(ix("TokenUsage", asc("conversationId")), dbindex.NotNull("conversationId")),
		ix("TokenUsage", asc("createdAt"), asc("model")),
		ix("Subscription", asc("userId"), asc("status")),
		where(ix("Subscription", asc("currentPeriodEnd")), dbindex.In("status", "active", "past_due")),
		ix("ApiKey", asc("userId")),
		where(dbindex.Index{Table: "ApiKey", Keys: []dbindex.Key{asc("hash")}, Unique: true}, dbindex.IsNull("revokedAt")),
		ix("Feedback", asc("messageId")),
		ix("Feedback", asc("userId")),
		where(ix("Notification", asc("userId"), desc("createdAt")), dbindex.IsNull("readAt")),
		ix("Notification", asc("userId")),
		ix("AuditLog", asc("entity"), asc("entityId"), desc("createdAt")),
		ix("AuditLog", asc("actorId"), desc("createdAt")),
	}
}
