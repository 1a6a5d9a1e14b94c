package store

import "strings"

// schema holds only what Prisma makes by itself: primary and unique keys. All other
// indexes are the business of package dbindex. The words in capitals differ between
// the databases.
const schema = `
CREATE TABLE "User" ("id" text PRIMARY KEY, "email" text NOT NULL UNIQUE, "name" text, "planTier" text NOT NULL DEFAULT 'FREE',
  "role" text NOT NULL DEFAULT 'USER', "monthlyTokenUsed" int NOT NULL DEFAULT 0, "monthlyTokenLimit" int NOT NULL DEFAULT 100000,
  "isActive" boolean NOT NULL DEFAULT true, "lastSeenAt" TIME, "createdAt" TIME NOT NULL, "updatedAt" TIME NOT NULL, "settings" JSON NOT NULL DEFAULT '{}');
CREATE TABLE "Account" ("id" text PRIMARY KEY, "userId" text NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE, "provider" text NOT NULL, "providerAccountId" text NOT NULL,
  "createdAt" TIME NOT NULL, UNIQUE ("provider","providerAccountId"));
CREATE TABLE "Session" ("id" text PRIMARY KEY, "sessionToken" text NOT NULL UNIQUE, "userId" text NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE, "expires" TIME NOT NULL);
CREATE TABLE "Conversation" ("id" text PRIMARY KEY, "userId" text NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE, "title" text NOT NULL, "model" text NOT NULL,
  "isArchived" boolean NOT NULL DEFAULT false, "isPinned" boolean NOT NULL DEFAULT false, "deletedAt" TIME, "createdAt" TIME NOT NULL, "updatedAt" TIME NOT NULL);
CREATE TABLE "Message" ("id" text PRIMARY KEY, "conversationId" text NOT NULL REFERENCES "Conversation" ("id") ON DELETE CASCADE, "role" text NOT NULL, "content" text NOT NULL,
  "status" text NOT NULL DEFAULT 'COMPLETE', "tokens" int NOT NULL DEFAULT 0, "parentId" text REFERENCES "Message" ("id") ON DELETE SET NULL, "createdAt" TIME NOT NULL);
CREATE TABLE "Attachment" ("id" text PRIMARY KEY, "messageId" text NOT NULL REFERENCES "Message" ("id") ON DELETE CASCADE, "kind" text NOT NULL, "url" text NOT NULL, "bytes" int NOT NULL, "createdAt" TIME NOT NULL);
CREATE TABLE "TokenUsage" ("id" text PRIMARY KEY, "userId" text NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE, "conversationId" text REFERENCES "Conversation" ("id") ON DELETE SET NULL,
  "model" text NOT NULL, "inputTokens" int NOT NULL, "outputTokens" int NOT NULL, "cost" MONEY NOT NULL, "createdAt" TIME NOT NULL);
CREATE TABLE "Subscription" ("id" text PRIMARY KEY, "userId" text NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE, "status" text NOT NULL, "plan" text NOT NULL, "currentPeriodEnd" TIME NOT NULL);
CREATE TABLE "ApiKey" ("id" text PRIMARY KEY, "userId" text NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE, "hash" text NOT NULL, "revokedAt" TIME, "createdAt" TIME NOT NULL);
CREATE TABLE "Feedback" ("id" text PRIMARY KEY, "messageId" text NOT NULL REFERENCES "Message" ("id") ON DELETE CASCADE, "userId" text NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE, "rating" int NOT NULL, "createdAt" TIME NOT NULL);
CREATE TABLE "Notification" ("id" text PRIMARY KEY, "userId" text NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE, "kind" text NOT NULL, "readAt" TIME, "createdAt" TIME NOT NULL);
CREATE TABLE "AuditLog" ("id" text PRIMARY KEY, "actorId" text, "action" text NOT NULL, "entity" text NOT NULL, "entityId" text NOT NULL, "createdAt" TIME NOT NULL);
CREATE TABLE "SeedInfo" ("id" text PRIMARY KEY, "users" int NOT NULL);
`

func schemaFor(kind Kind) []string {
	r := strings.NewReplacer(" TIME", " integer", " JSON", " text", " MONEY", " real")
	if kind == Postgres {
		r = strings.NewReplacer(" TIME", " timestamptz(3)", " JSON", " jsonb", " MONEY", " numeric(12,6)")
	}
	return strings.Split(strings.TrimSuffix(strings.TrimSpace(r.Replace(schema)), ";"), ";\n")
}
