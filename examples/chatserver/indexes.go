package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// chatIndexes are the indexes that the service's queries want, beyond the primary
// and unique keys that Prisma makes by itself: composite ones for the lists and
// pages, partial ones for what is rare, and those of the analytics.
func chatIndexes() []dbindex.Index {
	asc, desc := dbindex.Asc, dbindex.Desc
	ix := func(table string, keys ...dbindex.Key) dbindex.Index { return dbindex.Index{Table: table, Keys: keys} }
	where := func(i dbindex.Index, p dbindex.Pred) dbindex.Index { i.Where = p; return i }
	live := dbindex.IsNull("deletedAt")
	return []dbindex.Index{
		// Lists and pages.
		where(ix("Conversation", asc("userId"), desc("updatedAt")), dbindex.And(live, dbindex.Eq("isArchived", false))),
		ix("Conversation", asc("userId")), // whole: deleting a user must find the deleted ones too
		where(ix("Conversation", asc("userId"), desc("createdAt")), dbindex.Eq("isPinned", true)),
		pageIndex(),
		ix("Message", asc("parentId")),
		ix("Attachment", asc("messageId"), asc("createdAt")),
		ix("Session", asc("userId"), desc("expires")),
		ix("Account", asc("userId")),
		ix("Notification", asc("userId"), desc("createdAt")),
		ix("ApiKey", asc("userId")),
		ix("Subscription", asc("userId"), asc("status"), desc("currentPeriodEnd")),
		ix("Feedback", asc("messageId")),
		ix("Feedback", asc("userId")),
		// Partial: the few rows that a query looks for among many.
		where(ix("Message", asc("createdAt")), dbindex.Eq("status", "PENDING")),
		where(ix("Message", desc("createdAt")), dbindex.Eq("status", "FAILED")),
		where(ix("Notification", asc("userId")), dbindex.IsNull("readAt")),
		where(ix("ApiKey", asc("hash")), dbindex.IsNull("revokedAt")),
		where(ix("Feedback", desc("createdAt")), dbindex.Lt("rating", 0)),
		// Analytics.
		ix("User", asc("planTier"), desc("monthlyTokenUsed")),
		ix("User", desc("lastSeenAt")),
		ix("User", dbindex.Expr(`lower("email")`)),
		ix("TokenUsage", asc("userId"), desc("createdAt")),
		ix("TokenUsage", asc("userId"), asc("model")),
		ix("TokenUsage", asc("conversationId")),
		ix("TokenUsage", asc("createdAt"), asc("model")),
		ix("AuditLog", asc("entity"), asc("entityId"), desc("createdAt")),
		ix("AuditLog", asc("actorId"), desc("createdAt")),
		ix("Session", asc("expires")),
	}
}

// pageIndex serves the most frequent query, a page of messages.
func pageIndex() dbindex.Index {
	return dbindex.Index{Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId"), dbindex.Desc("createdAt"), dbindex.Desc("id")}}
}

// migratedAt is the version of the first migration file: fixed, so that the files
// come out the same each time.
var migratedAt = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// writeMigrations writes the declared indexes as migrations for PostgreSQL: one
// folder for each tool, and the lines that go into schema.prisma.
func writeMigrations(dir string, out io.Writer) error {
	dialect := dbindex.Postgres(15)
	plan, err := dbindex.Diff(dialect, chatIndexes(), nil)
	if err != nil {
		return err
	}
	for _, tool := range []struct {
		kind dbindex.MigrationKind
		path string
	}{{dbindex.Prisma, "prisma/migrations"}, {dbindex.Goose, "goose"}, {dbindex.GolangMigrate, "golang-migrate"}} {
		files, err := plan.Migration(tool.kind, dbindex.MigrationOptions{At: migratedAt, Name: "chat_indexes"})
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(tool.path))
		if err := os.CopyFS(to, files); err != nil {
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s has migrations already; -migrations writes into a new directory: %w", to, err)
			}
			return err
		}
		fmt.Fprintln(out, "wrote", to)
	}
	report, err := dbindex.PrismaSchema(dialect, chatIndexes())
	if err != nil {
		return err
	}
	to := filepath.Join(dir, "prisma", "schema.prisma.txt")
	if err := os.WriteFile(to, []byte(prismaText(report)), 0o644); err != nil {
		return err
	}
	fmt.Fprintln(out, "wrote", to)
	return nil
}

// prismaText shows what to add to schema.prisma, and what it cannot hold.
func prismaText(r dbindex.PrismaReport) string {
	var b strings.Builder
	for _, m := range r.Models {
		fmt.Fprintf(&b, "model %s {\n", m.Table)
		for _, line := range m.Lines {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		b.WriteString("}\n\n")
	}
	for _, g := range r.Gaps {
		fmt.Fprintf(&b, "// not in schema.prisma: %s: %s\n", g.Index, g.Reason)
	}
	return b.String()
}
