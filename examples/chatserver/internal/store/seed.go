package store

import (
	"context"
	"crypto/md5"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// end is the moment that all seeded times lie before.
var end = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// UserID is the id of the i-th seeded user, from 1.
func UserID(i int) string { return seedID("u", i) }

// ConversationID is the id of the i-th seeded conversation, from 1.
func ConversationID(i int) string { return seedID("c", i) }

func seedID(kind string, i int) string {
	sum := md5.Sum([]byte(kind + strconv.Itoa(i)))
	return "c" + hex.EncodeToString(sum[:12])
}

// Seed creates the tables and fills them for the given number of users (from 1),
// the same rows each time: 4 conversations, 40 messages and 20 usage rows a user,
// with skewed owners. A database that is seeded already is left as it is, and its
// number of users is returned. Seed is one transaction.
func (s *Store) Seed(ctx context.Context, users int) (int, error) {
	have, err := s.seeded(ctx)
	if err != nil || have > 0 {
		return have, err
	}
	if s.kind == SQLite {
		if _, err := s.db.ExecContext(ctx, `PRAGMA wal_autocheckpoint=20000`); err != nil {
			return 0, fmt.Errorf("store: seed: %w", err)
		}
	}
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		for _, ddl := range schemaFor(s.kind) {
			if _, err := tx.ExecContext(ctx, ddl); err != nil {
				return fmt.Errorf("store: schema: %w", err)
			}
		}
		g := &seeder{ctx: ctx, tx: tx, s: s, n: users, rnd: rand.New(rand.NewPCG(42, uint64(users)))}
		g.people()
		g.talk()
		g.money()
		g.insert("SeedInfo", 1, func(int) []any { return []any{newID(), users} }, "id", "users")
		return g.err
	})
	if err != nil {
		return 0, err
	}
	if _, err = s.db.ExecContext(ctx, "ANALYZE"); err == nil {
		err = s.Compact(ctx)
	}
	return users, err
}

// Compact moves what a large change left in SQLite's log into the database, where
// the kernel keeps each page once. PostgreSQL does so by itself.
func (s *Store) Compact(ctx context.Context) error {
	if s.kind != SQLite {
		return nil
	}
	for _, q := range []string{`PRAGMA wal_autocheckpoint=1000`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := s.db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("store: compact: %w", err)
		}
	}
	return nil
}

// seeded tells for how many users the database is seeded; 0 when it is empty.
func (s *Store) seeded(ctx context.Context) (users int, err error) {
	q := `SELECT count(*) FROM sqlite_master WHERE name = 'SeedInfo'`
	if s.kind == Postgres {
		q = `SELECT count(*) FROM pg_tables WHERE schemaname = '` + pgSchema + `' AND tablename = 'SeedInfo'`
	}
	if err = s.db.QueryRowContext(ctx, q).Scan(&users); err != nil || users == 0 {
		return 0, err
	}
	err = s.db.QueryRowContext(ctx, `SELECT "users" FROM "SeedInfo"`).Scan(&users)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("store: table SeedInfo is empty: drop the tables to seed again")
	}
	return users, err
}

// Identity is a name that no other seeded database has. What is kept about this one
// elsewhere, in a shared cache for example, must carry it: seeded ids are the same
// in all of them.
func (s *Store) Identity(ctx context.Context) (id string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT "id" FROM "SeedInfo"`).Scan(&id)
	return id, wrap("identity", "", err)
}

// seeder writes rows in batches. After the first error it does nothing.
type seeder struct {
	ctx context.Context
	tx  *sql.Tx
	s   *Store
	n   int // users
	rnd *rand.Rand
	err error
}

// power picks 1..n with a power law: the larger a, the more often a small number.
func (g *seeder) power(n int, a float64) int {
	return 1 + min(int(float64(n)*math.Pow(g.rnd.Float64(), a)), n-1)
}

// before is a time up to d before end.
func (g *seeder) before(d time.Duration) any {
	return g.s.stamp(end.Add(-time.Duration(g.rnd.Float64() * float64(d))).Truncate(time.Millisecond))
}

// spread is the time of the i-th of n rows, evenly over the year before end.
func (g *seeder) spread(i, n int) time.Time {
	return end.Add(-time.Duration((1 - float64(i)/float64(n)) * float64(365*day))).Truncate(time.Millisecond)
}

func (g *seeder) pick(words ...string) string {
	return words[int(float64(len(words))*g.rnd.Float64()*g.rnd.Float64())]
}

func (g *seeder) chance(p float64) bool { return g.rnd.Float64() < p }

func (g *seeder) people() {
	plans := []string{"FREE", "FREE", "FREE", "FREE", "FREE", "FREE", "FREE", "PLUS", "PLUS", "PRO"}
	g.insert("User", g.n, func(i int) []any {
		role := "USER"
		if i%500 == 0 {
			role = "ADMIN"
		}
		var seen any
		if i%7 != 0 {
			seen = g.before(200 * day)
		}
		return []any{UserID(i), fmt.Sprintf("user%d@example.com", i), fmt.Sprintf("User %d", i), plans[i*7%10], role,
			int(g.rnd.Float64() * g.rnd.Float64() * 120000), 100000, i%11 != 0, seen, g.s.stamp(g.spread(i, g.n)), g.before(30 * day), `{"theme":"dark"}`}
	}, "id", "email", "name", "planTier", "role", "monthlyTokenUsed", "monthlyTokenLimit", "isActive", "lastSeenAt", "createdAt", "updatedAt", "settings")
	g.insert("Account", g.n, func(i int) []any {
		return []any{seedID("a", i), UserID(i), []string{"google", "github", "email"}[i%3], "p" + strconv.Itoa(i), g.s.stamp(end)}
	}, "id", "userId", "provider", "providerAccountId", "createdAt")
	g.insert("Session", g.n, func(i int) []any {
		return []any{seedID("s", i), seedID("sess", i), UserID(g.power(g.n, 2)), g.before(60 * day)}
	}, "id", "sessionToken", "userId", "expires")
	g.insert("Notification", g.n*4, func(i int) []any {
		var read any
		if g.chance(0.92) {
			read = g.before(100 * day)
		}
		return []any{seedID("n", i), UserID(g.power(g.n, 2)), []string{"system", "billing", "share"}[i%3], read, g.before(365 * day)}
	}, "id", "userId", "kind", "readAt", "createdAt")
	g.insert("AuditLog", g.n*2, func(i int) []any {
		return []any{seedID("l", i), UserID(g.power(g.n, 2)), []string{"login", "update", "delete", "export"}[i%4],
			[]string{"User", "Conversation", "Message"}[i%3], ConversationID(g.power(g.n*4, 1)), g.s.stamp(g.spread(i, g.n*2))}
	}, "id", "actorId", "action", "entity", "entityId", "createdAt")
}

func (g *seeder) talk() {
	g.insert("Conversation", g.n*4, func(i int) []any {
		t := g.spread(i, g.n*4)
		var deleted any
		if g.chance(0.08) {
			deleted = g.before(90 * day)
		}
		updated := t.Add(time.Duration(g.rnd.Float64() * float64(end.Sub(t)) * 0.2)).Truncate(time.Millisecond)
		return []any{ConversationID(i), UserID(g.power(g.n, 2)), "Chat about " + topics[i%len(topics)], g.pick("gpt-4o", "gpt-4o-mini", "claude-3", "gemini"),
			g.chance(0.15), g.chance(0.02), deleted, g.s.stamp(t), g.s.stamp(updated)}
	}, "id", "userId", "title", "model", "isArchived", "isPinned", "deletedAt", "createdAt", "updatedAt")
	n := g.n * 40
	g.insert("Message", n, func(i int) []any {
		role := "USER"
		if i%2 == 0 {
			role = "ASSISTANT"
		}
		status := "COMPLETE"
		if g.chance(0.004) {
			status = "PENDING"
		} else if g.chance(0.006) {
			status = "FAILED"
		}
		var parent any
		if i > 10 && g.chance(0.5) {
			parent = seedID("m", i-1-g.rnd.IntN(9))
		}
		return []any{seedID("m", i), ConversationID(g.power(g.n*4, 1.6)), role, g.content(i), status, g.rnd.IntN(800), parent, g.s.stamp(g.spread(i, n))}
	}, "id", "conversationId", "role", "content", "status", "tokens", "parentId", "createdAt")
	g.insert("Attachment", g.n, func(i int) []any {
		return []any{seedID("at", i), seedID("m", 1+g.rnd.IntN(n)), []string{"image", "image", "pdf", "audio"}[i%4], "/files/seed/" + seedID("f", i), g.rnd.IntN(5e6), g.before(365 * day)}
	}, "id", "messageId", "kind", "url", "bytes", "createdAt")
	g.insert("Feedback", g.n, func(i int) []any {
		rating := 1
		if i%4 == 0 {
			rating = -1
		}
		return []any{seedID("f", i), seedID("m", 1+g.rnd.IntN(n)), UserID(g.power(g.n, 2)), rating, g.before(365 * day)}
	}, "id", "messageId", "userId", "rating", "createdAt")
}

func (g *seeder) money() {
	n := g.n * 20
	g.insert("TokenUsage", n, func(i int) []any {
		return []any{seedID("tu", i), UserID(g.power(g.n, 2)), ConversationID(g.power(g.n*4, 1.6)), g.pick("gpt-4o", "gpt-4o-mini", "claude-3", "gemini"),
			g.rnd.IntN(2000), g.rnd.IntN(900), math.Round(g.rnd.Float64()*0.05*1e6) / 1e6, g.s.stamp(g.spread(i, n))}
	}, "id", "userId", "conversationId", "model", "inputTokens", "outputTokens", "cost", "createdAt")
	g.insert("Subscription", max(g.n*2/5, 1), func(i int) []any {
		plan := "PLUS"
		if i%3 == 0 {
			plan = "PRO"
		}
		return []any{seedID("sub", i), UserID(1 + i*3%g.n), []string{"active", "active", "active", "canceled", "past_due"}[i%5], plan, g.before(40 * day)}
	}, "id", "userId", "status", "plan", "currentPeriodEnd")
	g.insert("ApiKey", max(g.n/2, 1), func(i int) []any {
		var revoked any
		if i%3 == 0 {
			revoked = g.s.stamp(end.Add(-30 * day))
		}
		return []any{seedID("k", i), UserID(g.power(g.n, 1.5)), seedID("key", i), revoked, g.s.stamp(end.Add(-200 * day))}
	}, "id", "userId", "hash", "revokedAt", "createdAt")
}

var topics = strings.Fields("indexes caching retries images memory deploys tests queues sharding search billing onboarding tracing latency backups")

var words = strings.Fields(`the cache answers first and the database rests while a breaker opens when upstream fails so users keep
 reading old pages until it heals then new values flow again each photo shrinks before it travels and every index earns its place or goes`)

// content is a message of 60 to 320 bytes with a word and a topic to search for.
func (g *seeder) content(i int) string {
	var b strings.Builder
	for range 10 + i%5*9 {
		b.WriteString(words[g.rnd.IntN(len(words))])
		b.WriteByte(' ')
	}
	fmt.Fprintf(&b, "word%d topic%d", i%5003, i%211)
	return b.String()
}

// batch is the number of rows in one INSERT.
const batch = 250

// insert writes n rows made by row(1..n) with multi-row statements.
func (g *seeder) insert(table string, n int, row func(i int) []any, cols ...string) {
	if g.err != nil {
		return
	}
	full, err := g.tx.PrepareContext(g.ctx, g.insertSQL(table, cols, min(batch, n)))
	if err != nil {
		g.err = fmt.Errorf("store: seed %s: %w", table, err)
		return
	}
	defer full.Close()
	args := make([]any, 0, batch*len(cols))
	for i := 1; i <= n; i++ {
		args = append(args, row(i)...)
		switch rows := len(args) / len(cols); {
		case rows == min(batch, n):
			_, err = full.ExecContext(g.ctx, args...)
			args = args[:0]
		case i == n:
			_, err = g.tx.ExecContext(g.ctx, g.insertSQL(table, cols, rows), args...)
		}
		if err != nil {
			g.err = fmt.Errorf("store: seed %s: %w", table, err)
			return
		}
	}
}

func (g *seeder) insertSQL(table string, cols []string, rows int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `INSERT INTO "%s" ("%s") VALUES `, table, strings.Join(cols, `","`))
	arg := 0
	for r := range rows {
		if r > 0 {
			b.WriteByte(',')
		}
		for c := range cols {
			arg++
			b.WriteByte(map[bool]byte{true: '(', false: ','}[c == 0])
			if g.s.kind == Postgres {
				fmt.Fprintf(&b, "$%d", arg)
			} else {
				b.WriteByte('?') // a numbered one costs the driver a search of all the others
			}
		}
		b.WriteByte(')')
	}
	return b.String()
}
