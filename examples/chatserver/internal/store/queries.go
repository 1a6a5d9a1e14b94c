package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	qUser = `SELECT u."id", u."email", coalesce(u."name",''), u."planTier", u."monthlyTokenUsed", u."monthlyTokenLimit", u."isActive",
 (SELECT count(*) FROM "Notification" n WHERE n."userId" = u."id" AND n."readAt" IS NULL),
 coalesce((SELECT s."plan" FROM "Subscription" s WHERE s."userId" = u."id" AND s."status" = 'active' ORDER BY s."currentPeriodEnd" DESC LIMIT 1),'')
 FROM "User" u WHERE u."id" = $1`
	qList = `SELECT c."id", c."userId", c."title", c."model", c."isPinned", c."updatedAt",
 coalesce((SELECT substr(m."content",1,80) FROM "Message" m WHERE m."conversationId" = c."id" ORDER BY m."createdAt" DESC LIMIT 1),'')
 FROM "Conversation" c WHERE c."userId" = $1 AND c."deletedAt" IS NULL AND c."isArchived" = false ORDER BY c."updatedAt" DESC LIMIT 30`
	qConversation = `SELECT "id", "userId", "title", "model", "isPinned" FROM "Conversation" WHERE "id" = $1 AND "deletedAt" IS NULL`
	qPage         = `SELECT m."id", m."conversationId", m."role", m."content", m."createdAt" FROM "Conversation" c JOIN "Message" m ON m."conversationId" = c."id"
 WHERE c."id" = $1 AND c."deletedAt" IS NULL ORDER BY m."createdAt" DESC, m."id" DESC LIMIT $2`
	qPageBefore = `SELECT m."id", m."conversationId", m."role", m."content", m."createdAt" FROM "Conversation" c JOIN "Message" m ON m."conversationId" = c."id"
 WHERE c."id" = $1 AND c."deletedAt" IS NULL AND m."createdAt" <= $2 AND (m."createdAt" < $2 OR m."id" < $3) ORDER BY m."createdAt" DESC, m."id" DESC LIMIT $4`
	qAttachmentsPostgres = `SELECT "messageId","kind","url","bytes" FROM "Attachment" WHERE "messageId" = ANY($1) ORDER BY "createdAt", "id"`
	qAttachmentsSQLite   = `SELECT "messageId","kind","url","bytes" FROM "Attachment" WHERE "messageId" IN (SELECT value FROM json_each($1)) ORDER BY "createdAt", "id"`
	qSearch              = `SELECT m."id", m."conversationId", m."content", m."createdAt" FROM "Conversation" c JOIN "Message" m ON m."conversationId" = c."id"
 WHERE c."userId" = $1 AND c."deletedAt" IS NULL AND m."content" ILIKE $2 ESCAPE '\' ORDER BY m."createdAt" DESC LIMIT 20`
	qUsagePostgres = `SELECT to_char("createdAt" AT TIME ZONE 'UTC','YYYY-MM-DD') d, "model", sum("inputTokens"), sum("outputTokens"), sum("cost")::float8
 FROM "TokenUsage" WHERE "userId" = $1 GROUP BY 1,2 ORDER BY 1 DESC, 2 LIMIT 60`
	qUsageSQLite = `SELECT strftime('%Y-%m-%d', "createdAt"/1000, 'unixepoch') d, "model", sum("inputTokens"), sum("outputTokens"), sum("cost")
 FROM "TokenUsage" WHERE "userId" = $1 GROUP BY 1,2 ORDER BY 1 DESC, 2 LIMIT 60`
	qTouch = `UPDATE "Conversation" SET "updatedAt" = greatest($1, "updatedAt" + interval '1 millisecond')
 WHERE "id" = $2 AND "deletedAt" IS NULL RETURNING "userId", "updatedAt"`
	qAddMessage    = `INSERT INTO "Message" ("id","conversationId","role","content","tokens","createdAt") VALUES ($1,$2,$3,$4,$5,$6)`
	qAddAttachment = `INSERT INTO "Attachment" ("id","messageId","kind","url","bytes","createdAt") VALUES ($1,$2,$3,$4,$5,$6)`
	qAddUsage      = `INSERT INTO "TokenUsage" ("id","userId","model","inputTokens","outputTokens","cost","createdAt") VALUES ($1,$2,$3,$4,$5,$6,$7)`
	qBusiest       = `SELECT "userId" FROM "Conversation" WHERE "deletedAt" IS NULL GROUP BY "userId" ORDER BY count(*) DESC, "userId" LIMIT $1`
)

// User returns a user's profile.
func (s *Store) User(ctx context.Context, id string) (User, error) {
	defer s.timed(stmtUser, time.Now())
	var u User
	err := s.row(ctx, qUser, id).Scan(&u.ID, &u.Email, &u.Name, &u.Plan, &u.TokensUsed, &u.TokenLimit, &u.Active, &u.Unread, &u.SubscribeTo)
	return u, wrap("user", id, err)
}

// Conversations returns the 30 conversations of a user that changed last.
func (s *Store) Conversations(ctx context.Context, userID string) ([]Conversation, error) {
	defer s.timed(stmtConversations, time.Now())
	return query(ctx, s, qList, func(r *sql.Rows) (c Conversation, err error) {
		var at moment
		err = r.Scan(&c.ID, &c.UserID, &c.Title, &c.Model, &c.Pinned, &at, &c.LastMessage)
		c.UpdatedAt = at.Time
		return c, err
	}, userID)
}

// Preview is what Conversations shows of a message: its first 80 characters.
func Preview(content string) string {
	n := 0
	for i := range content {
		if n == 80 {
			return content[:i]
		}
		n++
	}
	return content
}

// Conversation returns one conversation that is not deleted, without what a new
// message changes: UpdatedAt and LastMessage stay empty.
func (s *Store) Conversation(ctx context.Context, id string) (Conversation, error) {
	defer s.timed(stmtConversation, time.Now())
	var c Conversation
	err := s.row(ctx, qConversation, id).Scan(&c.ID, &c.UserID, &c.Title, &c.Model, &c.Pinned)
	return c, wrap("conversation", id, err)
}

// Messages returns up to limit messages of a conversation that is not deleted, before
// the cursor, newest first.
func (s *Store) Messages(ctx context.Context, conversationID string, before Cursor, limit int) ([]Message, error) {
	defer s.timed(stmtMessages, time.Now())
	q, args := qPage, []any{conversationID, limit}
	if before.ID != "" {
		q, args = qPageBefore, []any{conversationID, s.stamp(before.At), before.ID, limit}
	}
	msgs, err := query(ctx, s, q, func(r *sql.Rows) (m Message, err error) {
		var at moment
		err = r.Scan(&m.ID, &m.ConversationID, &m.Role, &m.Content, &at)
		m.CreatedAt = at.Time
		return m, err
	}, args...)
	if err == nil && len(msgs) == 0 {
		_, err = s.Conversation(ctx, conversationID) // or there is none
	}
	if err != nil || len(msgs) == 0 {
		return msgs, err
	}
	return msgs, s.attach(ctx, msgs)
}

// attach fills in the attachments of msgs.
func (s *Store) attach(ctx context.Context, msgs []Message) error {
	at, ids := make(map[string]*Message, len(msgs)), make([]string, len(msgs))
	for i := range msgs {
		at[msgs[i].ID], ids[i] = &msgs[i], msgs[i].ID
	}
	q, arg := qAttachmentsPostgres, any(ids)
	if s.kind == SQLite {
		text, err := json.Marshal(ids)
		if err != nil {
			return fmt.Errorf("store: attachments: %w", err)
		}
		q, arg = qAttachmentsSQLite, string(text)
	}
	_, err := query(ctx, s, q, func(r *sql.Rows) (a Attachment, err error) {
		var id string
		if err = r.Scan(&id, &a.Kind, &a.URL, &a.Bytes); err == nil {
			at[id].Attachments = append(at[id].Attachments, a)
		}
		return a, err
	}, arg)
	return err
}

// Search finds the newest messages of a user that contain text, in any case.
func (s *Store) Search(ctx context.Context, userID, text string) ([]Hit, error) {
	defer s.timed(stmtSearch, time.Now())
	like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
	return query(ctx, s, qSearch, func(r *sql.Rows) (h Hit, err error) {
		var at moment
		err = r.Scan(&h.MessageID, &h.ConversationID, &h.Snippet, &at)
		h.CreatedAt, h.Snippet = at.Time, snippet(h.Snippet, text)
		return h, err
	}, userID, like)
}

// snippet is the part of content around text, at most 120 bytes of whole runes.
func snippet(content, text string) string {
	at := max(strings.Index(strings.ToLower(content), strings.ToLower(text))-40, 0)
	at = min(at, len(content))
	return strings.ToValidUTF8(content[at:min(at+120, len(content))], "")
}

// UsageDaily sums a user's token usage by day and model, newest first.
func (s *Store) UsageDaily(ctx context.Context, userID string) ([]UsageDay, error) {
	defer s.timed(stmtUsageDaily, time.Now())
	q := qUsageSQLite
	if s.kind == Postgres {
		q = qUsagePostgres
	}
	return query(ctx, s, q, func(r *sql.Rows) (d UsageDay, err error) {
		err = r.Scan(&d.Day, &d.Model, &d.InputTokens, &d.OutputTokens, &d.Cost)
		return d, err
	}, userID)
}

// Busiest returns the ids of the n users with the most conversations.
func (s *Store) Busiest(ctx context.Context, n int) ([]string, error) {
	defer s.timed(stmtBusiest, time.Now())
	return query(ctx, s, qBusiest, func(r *sql.Rows) (id string, err error) {
		err = r.Scan(&id)
		return id, err
	}, n)
}

// AddMessage stores a message with a new id and returns it with the owner of the
// conversation. Its time is now, or just after the newest message of the conversation
// where another clock is ahead: messages come at the end only, and pages before a
// cursor stay as they are.
func (s *Store) AddMessage(ctx context.Context, m Message) (_ Message, owner string, err error) {
	defer s.timed(stmtAddMessage, time.Now())
	m.ID, m.CreatedAt = newID(), time.Now().UTC().Truncate(time.Millisecond)
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		var at moment
		if err := s.rowIn(ctx, tx, qTouch, s.stamp(m.CreatedAt), m.ConversationID).Scan(&owner, &at); err != nil {
			return wrap("conversation", m.ConversationID, err)
		}
		m.CreatedAt = at.Time
		err := s.execIn(ctx, tx, qAddMessage, m.ID, m.ConversationID, m.Role, m.Content, len(m.Content)/4, s.stamp(m.CreatedAt))
		for _, a := range m.Attachments {
			if err == nil {
				err = s.execIn(ctx, tx, qAddAttachment, newID(), m.ID, a.Kind, a.URL, a.Bytes, s.stamp(m.CreatedAt))
			}
		}
		return err
	})
	return m, owner, err
}

// AddUsage records what calls to models used: all of it, or nothing if it fails.
func (s *Store) AddUsage(ctx context.Context, rows ...Usage) error {
	defer s.timed(stmtAddUsage, time.Now())
	return s.inTx(ctx, func(tx *sql.Tx) (err error) {
		for _, u := range rows {
			if err == nil {
				err = s.execIn(ctx, tx, qAddUsage, newID(), u.UserID, u.Model, u.InputTokens, u.OutputTokens, u.Cost, s.stamp(u.At))
			}
		}
		return err
	})
}

// Plans explains the service's main queries: for each its plan in one line.
func (s *Store) Plans(ctx context.Context) (map[string]string, error) {
	explain := "EXPLAIN QUERY PLAN "
	usage := qUsageSQLite
	if s.kind == Postgres {
		explain, usage = "EXPLAIN ", qUsagePostgres
	}
	plans := map[string]string{}
	for name, q := range map[string]struct {
		text string
		args []any
	}{
		"user":         {qUser, []any{"c"}},
		"conversation": {qConversation, []any{"c"}},
		"list":         {qList, []any{"c"}},
		"page":         {qPage, []any{"c", 50}},
		"search":       {qSearch, []any{"c", "%x%"}},
		"usage":        {usage, []any{"c"}},
	} {
		steps, err := query(ctx, s, explain+q.text, s.planStep, q.args...)
		if err != nil {
			return nil, err
		}
		plans[name] = strings.Join(steps, "; ")
	}
	return plans, nil
}

func (s *Store) planStep(r *sql.Rows) (step string, err error) {
	if s.kind == Postgres {
		err = r.Scan(&step)
		return strings.TrimSpace(step), err
	}
	var id, parent, unused int
	err = r.Scan(&id, &parent, &unused, &step)
	return step, err
}

func wrap(what, id string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s %.40q", ErrNotFound, what, id)
	default:
		return fmt.Errorf("store: %s: %w", what, err)
	}
}

func newID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return "c" + hex.EncodeToString(b[:])
}
