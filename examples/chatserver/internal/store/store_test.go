package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
)

func open(t *testing.T, users int) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if n, err := s.Seed(t.Context(), users); err != nil || n != users {
		t.Fatalf("Seed(%d) = %d, %v", users, n, err)
	}
	return s
}

func TestSQLite(t *testing.T) { exercise(t, open(t, 50)) }

// exercise runs each query once and checks what it must return on any database.
func exercise(t *testing.T, s *store.Store) {
	ctx := t.Context()
	ids, err := s.Busiest(ctx, 3)
	if err != nil || len(ids) != 3 {
		t.Fatalf("Busiest = %v, %v", ids, err)
	}
	u, err := s.User(ctx, ids[0])
	if err != nil || u.ID != ids[0] || !strings.HasSuffix(u.Email, "@example.com") {
		t.Errorf("User = %+v, %v", u, err)
	}
	list, err := s.Conversations(ctx, ids[0])
	if err != nil || len(list) == 0 {
		t.Fatalf("Conversations = %v, %v", list, err)
	}
	for i := 1; i < len(list); i++ {
		if list[i].UpdatedAt.After(list[i-1].UpdatedAt) {
			t.Errorf("Conversations not sorted at %d", i)
		}
	}
	pages(t, s)
	if days, err := s.UsageDaily(ctx, ids[0]); err != nil || len(days) == 0 || days[0].Cost <= 0 || len(days[0].Day) != 10 {
		t.Errorf("UsageDaily = %v, %v", days, err)
	}
	if plans, err := s.Plans(ctx); err != nil || plans["page"] == "" {
		t.Errorf("Plans = %v, %v", plans, err)
	}
	for _, c := range s.Calls() {
		if asked := c.Name != "add usage"; asked != (c.Queries > 0) || asked != (c.Spent > 0) {
			t.Errorf("Calls: %+v; asked is %t", c, asked)
		}
	}
}

func pages(t *testing.T, s *store.Store) {
	ctx, conv := t.Context(), store.ConversationID(1)
	c, err := s.Conversation(ctx, conv)
	for i := 2; errors.Is(err, store.ErrNotFound); i++ { // some are deleted
		conv = store.ConversationID(i)
		c, err = s.Conversation(ctx, conv)
	}
	if err != nil {
		t.Fatal(err)
	}
	m, owner, err := s.AddMessage(ctx, store.Message{ConversationID: conv, Role: "USER", Content: `100% "Ünïque_text"`,
		Attachments: []store.Attachment{{Kind: "image", URL: "/files/x.jpg", Bytes: 7}}})
	if err != nil || owner != c.UserID {
		t.Fatalf("AddMessage: owner %q, %v; want %q", owner, err, c.UserID)
	}
	seen := map[string]bool{}
	var before store.Cursor
	for {
		page, err := s.Messages(ctx, conv, before, 3)
		if err != nil {
			t.Fatal(err)
		}
		if before.ID == "" && (page[0].ID != m.ID || len(page[0].Attachments) != 1) {
			t.Errorf("first of Messages = %+v; want the new message with its attachment", page[0])
		}
		for _, m := range page {
			if seen[m.ID] {
				t.Fatalf("message %s twice", m.ID)
			}
			seen[m.ID] = true
			before = store.Cursor{At: m.CreatedAt, ID: m.ID}
		}
		if len(page) < 3 {
			break
		}
	}
	all, err := s.Messages(ctx, conv, store.Cursor{}, 1<<20)
	if err != nil || len(seen) != len(all) {
		t.Errorf("paged through %d messages; want %d, %v", len(seen), len(all), err)
	}
	ahead := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond) // of a node whose clock is wrong
	if _, err := s.DB().ExecContext(ctx, `UPDATE "Conversation" SET "updatedAt" = $1 WHERE "id" = $2`, stampFor(s, ahead), conv); err != nil {
		t.Fatal(err)
	}
	next, _, err := s.AddMessage(ctx, store.Message{ConversationID: conv, Role: "USER", Content: "later"})
	if err != nil || !next.CreatedAt.After(ahead) {
		t.Errorf("AddMessage behind a clock that is ahead: %v, %v; want it after %v", next.CreatedAt, err, ahead)
	}
	for text, want := range map[string]int{"0% \"": 1, "que_t": 1, "que%t": 0, "UNIQUE": 0} {
		if hits, err := s.Search(ctx, owner, text); err != nil || len(hits) != want {
			t.Errorf("Search(%q) = %d hits, %v; want %d", text, len(hits), err, want)
		}
	}
}

// stampFor is how the database of s keeps a time.
func stampFor(s *store.Store, at time.Time) any {
	if s.Kind() == store.Postgres {
		return at
	}
	return at.UnixMilli()
}

func TestNotFound(t *testing.T) {
	s := open(t, 3)
	_, err1 := s.User(t.Context(), "nobody")
	_, err2 := s.Conversation(t.Context(), "none")
	_, _, err3 := s.AddMessage(t.Context(), store.Message{ConversationID: "none", Role: "USER", Content: "x"})
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("error = %v; want ErrNotFound", err)
		}
	}
}

func TestSeedIsDeterministicAndKept(t *testing.T) {
	a, b := open(t, 20), open(t, 20)
	pageA, _ := a.Messages(t.Context(), store.ConversationID(1), store.Cursor{}, 20)
	pageB, _ := b.Messages(t.Context(), store.ConversationID(1), store.Cursor{}, 20)
	if len(pageA) == 0 || len(pageA) != len(pageB) || pageA[0].Content != pageB[0].Content {
		t.Errorf("two seeds differ: %d and %d messages", len(pageA), len(pageB))
	}
	idA, err1 := a.Identity(t.Context())
	idB, err2 := b.Identity(t.Context())
	if err1 != nil || err2 != nil || idA == idB || idA == "" {
		t.Errorf("identities %q, %q, %v, %v; want two different ones", idA, idB, err1, err2)
	}
	if n, err := a.Seed(t.Context(), 99); err != nil || n != 20 {
		t.Errorf("second Seed = %d, %v; want the 20 users that are there", n, err)
	}
}

func TestOpenErrorsNameNoSecret(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, u := range []string{"postgres://u:hunter2@127.0.0.1:1/db", "postgres://u:hunter2@[bad/db"} {
		if _, err := store.Open(ctx, u, ""); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%q) = %v; want an error without the password", u, err)
		}
	}
}
