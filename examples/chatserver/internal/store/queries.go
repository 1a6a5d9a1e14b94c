package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
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
	qPage         = `SELECT "id","conversationId","role","content","createdAt" FROM "Message"
 WHERE "conversationId" = $1 ORDER BY "createdAt" DESC, "id" DESC LIMIT $2`
	qPageBefore = `SELECT "id","conversationId","role","content","createdAt" FROM "Message"
 WHERE "conversationId" = $1 AND "createdAt" <= $2 AND ("createdAt" < $2 OR "id" < $3) ORDER BY "createdAt" DESC, "id" DESC LIMIT $4`
	qSearch = `SELECT m."id", m."conversationId", m."content", m."createdAt" FROM "Conversation" c JOIN "Message" m ON m."conversationId" = c."id"
 WHERE c."userId" = $1 AND c."deletedAt" IS NULL AND m."content" ILIKE $2 ESCAPE '\' ORDER BY m."createdAt" DESC LIMIT 20`
	qUsagePostgres = `SELECT to_char("createdAt" AT TIME ZONE 'UTC','YYYY-MM-DD') d, "model", sum("inputTokens"), sum("outputTokens"), sum("cost")::float8
 FROM "TokenUsage" WHERE "userId" = $1 GROUP BY 1,2 ORDER BY 1 DESC, 2 LIMIT 60`
	qUsageSQLite = `SELECT strftime('%Y-%m-%d', "createdAt"/1000, 'unixepoch') d, "model", sum("inputTokens"), sum("outputTokens"), sum("cost")
 FROM "TokenUsage" WHERE "userId" = $1 GROUP BY 1,2 ORDER BY 1 DESC, 2 LIMIT 60`
	qTouch = `UPDATE "Conversation" SET "updatedAt" = greatest($1, "updatedAt" + interval '1 millisecond')
 WHERE "id" = $2 AND "deletedAt" IS NULL RETURNING "userId", "updatedAt"`
	qBusiest = `SELECT "userId" FROM "Conversation" WHERE "deletedAt" IS NULL GROUP BY "userId" ORDER BY count(*) DESC, "userId" LIMIT $1`
)

// User returns a user's profile.
func (s *Store) User(ctx context.Context, id string) (User, error) {
	defer s.timed(stmtUser, time.Now())
	var u User
	err := s.db.QueryRowContext(ctx, s.sql(qUser), id).Scan(&u.ID, &u.Email, &u.Name, &u.Plan, &u.TokensUsed, &u.TokenLimit, &u.Active, &u.Unread, &u.SubscribeTo)
	return u, wrap("user", id, err)
}

// Conversations returns the 30 conversations of a user that changed last.
func (s *Store) Conversations(ctx context.Context, userID string) ([]Conversation, error) {
	defer s.timed(stmtConversations, time.Now())
	return query(ctx, s, s.sql(qList), func(r *sql.Rows) (c Conversation, err error) {
		var at moment
		err = r.Scan(&c.ID, &c.UserID, &c.Title, &c.Model, &c.Pinned, &at, &c.LastMessage)
		c.UpdatedAt = at.Time
		return c, err
	}, userID)
}

// Conversation returns one conversation that is not deleted, without what a new
// message changes: UpdatedAt and LastMessage stay empty.
func (s *Store) Conversation(ctx context.Context, id string) (Conversation, error) {
	defer s.timed(stmtConversation, time.Now())
	var c Conversation
	err := s.db.QueryRowContext(ctx, s.sql(qConversation), id).Scan(&c.ID, &c.UserID, &c.Title, &c.Model, &c.Pinned)
	return c, wrap("conversation", id, err)
}

// Messages returns up to limit messages before the cursor, newest first.
func (s *Store) Messages(ctx context.Context, conversationID string, before Cursor, limit int) ([]Message, error) {
	defer s.timed(stmtMessages, time.Now())
	q, args := qPage, []any{conversationID, limit}
	if before.ID != "" {
		q, args = qPageBefore, []any{conversationID, s.stamp(before.At), before.ID, limit}
	}
	msgs, err := query(ctx, s, s.sql(q), func(r *sql.Rows) (m Message, err error) {
		var at moment
		err = r.Scan(&m.ID, &m.ConversationID, &m.Role, &m.Content, &at)
		m.CreatedAt = at.Time
		return m, err
	}, args...)
	if err != nil || len(msgs) == 0 {
		return msgs, err
	}
	return msgs, s.attach(ctx, msgs)
}

// attach fills in the attachments of msgs.
func (s *Store) attach(ctx context.Context, msgs []Message) error {
	at := make(map[string]*Message, len(msgs))
	args := make([]any, len(msgs))
	var in strings.Builder
	for i := range msgs {
		at[msgs[i].ID] = &msgs[i]
		args[i] = msgs[i].ID
		fmt.Fprintf(&in, ",$%d", i+1)
	}
	q := `SELECT "messageId","kind","url","bytes" FROM "Attachment" WHERE "messageId" IN (` + in.String()[1:] + `) ORDER BY "createdAt", "id"`
	_, err := query(ctx, s, s.sql(q), func(r *sql.Rows) (a Attachment, err error) {
		var id string
		if err = r.Scan(&id, &a.Kind, &a.URL, &a.Bytes); err == nil {
			at[id].Attachments = append(at[id].Attachments, a)
		}
		return a, err
	}, args...)
	return err
}

// Search finds the newest messages of a user that contain text, in any case.
func (s *Store) Search(ctx context.Context, userID, text string) ([]Hit, error) {
	defer s.timed(stmtSearch, time.Now())
	like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
	return query(ctx, s, s.sql(qSearch), func(r *sql.Rows) (h Hit, err error) {
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
	return query(ctx, s, s.sql(q), func(r *sql.Rows) (d UsageDay, err error) {
		err = r.Scan(&d.Day, &d.Model, &d.InputTokens, &d.OutputTokens, &d.Cost)
		return d, err
	}, userID)
}

// Busiest returns the ids of the n users with the most conversations.
func (s *Store) Busiest(ctx context.Context, n int) ([]string, error) {
	defer s.timed(stmtBusiest, time.Now())
	return query(ctx, s, s.sql(qBusiest), func(r *sql.Rows) (id string, err error) {
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
		err := tx.QueryRowContext(ctx, s.sql(qTouch), s.stamp(m.CreatedAt), m.ConversationID).Scan(&owner, &at)
		if err != nil {
			return wrap("conversation", m.ConversationID, err)
		}
		m.CreatedAt = at.Time
		_, err = tx.ExecContext(ctx, s.sql(`INSERT INTO "Message" ("id","conversationId","role","content","tokens","createdAt") VALUES ($1,$2,$3,$4,$5,$6)`),
			m.ID, m.ConversationID, m.Role, m.Content, len(m.Content)/4, s.stamp(m.CreatedAt))
		for _, a := range m.Attachments {
			if err == nil {
				_, err = tx.ExecContext(ctx, s.sql(`INSERT INTO "Attachment" ("id","messageId","kind","url","bytes","createdAt") VALUES ($1,$2,$3,$4,$5,$6)`),
					newID(), m.ID, a.Kind, a.URL, a.Bytes, s.stamp(m.CreatedAt))
			}
		}
		return err
	})
	return m, owner, err
}

// AddUsage records what a call to a model used.
func (s *Store) AddUsage(ctx context.Context, userID, model string, in, out int, cost float64) error {
	defer s.timed(stmtAddUsage, time.Now())
	_, err := s.db.ExecContext(ctx, s.sql(`INSERT INTO "TokenUsage" ("id","userId","model","inputTokens","outputTokens","cost","createdAt") VALUES ($1,$2,$3,$4,$5,$6,$7)`),
		newID(), userID, model, in, out, cost, s.stamp(time.Now()))
	if err != nil {
		return fmt.Errorf("store: add usage: %w", err)
	}
	return nil
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
		steps, err := query(ctx, s, explain+s.sql(q.text), s.planStep, q.args...)
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

// inTx runs fn in a transaction.
func (s *Store) inTx(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// query collects the rows of q.
func query[T any](ctx context.Context, s *Store, q string, scan func(*sql.Rows) (T, error), args ...any) ([]T, error) {
	rows, err := s.db.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("store: query: %w", err)
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("store: scan: %w", err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: rows: %w", err)
	}
	return out, nil
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
