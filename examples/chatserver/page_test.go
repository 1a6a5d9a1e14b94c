package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
)

// asked counts what the database was asked for, by statement.
func (s *service) asked(names ...string) (n int64) {
	for _, c := range s.app.store.Calls() {
		if slices.Contains(names, c.Name) {
			n += c.Queries
		}
	}
	return n
}

// TestWriteThrough: a new message is written into what memory holds of its conversation,
// so that the next reader, who looks for it, does not ask the database.
func TestWriteThrough(t *testing.T) {
	s := start(t, nil)
	user, conv := s.busiest()
	path := "/api/conversations/" + conv.ID + "/messages"
	s.get(path, 200, nil)
	before := s.asked("page", "list", "conversation")
	for i := range pageSize + 5 { // until the first ones leave the page
		s.post(path, map[string]any{"content": fmt.Sprintf("%d %s", i, strings.Repeat("dài ", 30))}, 200, nil)
		s.get(path, 200, nil)
		s.get("/api/conversations?user="+user, 200, nil)
	}
	if after := s.asked("page", "list", "conversation"); after != before {
		t.Errorf("%d queries for what memory knew", after-before)
	}
	s.sameAsDatabase(user, conv.ID)
}

// TestWriteThroughRaces: many post at once into conversations of one user, while the
// entries are also deleted. Whoever was told that a message is stored sees it, and in
// the end memory shows what the database has.
func TestWriteThroughRaces(t *testing.T) {
	s := start(t, nil)
	user := s.app.busiest[0]
	var list struct{ Conversations []store.Conversation }
	s.get("/api/conversations?user="+user, 200, &list)
	convs := list.Conversations[max(len(list.Conversations)-2, 0):]
	var wg sync.WaitGroup
	for w := range 8 {
		conv := convs[w%len(convs)].ID
		path := "/api/conversations/" + conv + "/messages"
		wg.Go(func() {
			for i := range 15 {
				r := s.do("POST", path, "application/json", strings.NewReader(fmt.Sprintf(`{"content":"%d of %d"}`, i, w)))
				var m store.Message
				var p page
				if err := json.Unmarshal(r.body, &m); err != nil || m.ID == "" {
					t.Errorf("POST = %s", r.body)
				}
				if w == 0 {
					_ = s.app.cache.DeleteTag(t.Context(), s.app.views.conversations.Tag(conv))
				}
				if err := json.Unmarshal(s.do("GET", path, "", nil).body, &p); err != nil ||
					!slices.ContainsFunc(p.Messages, func(x store.Message) bool { return x.ID == m.ID }) && p.Messages[len(p.Messages)-1].CreatedAt.Before(m.CreatedAt) {
					t.Errorf("page lacks %s, which is stored", m.ID)
				}
				var l struct{ Conversations []store.Conversation }
				if err := json.Unmarshal(s.do("GET", "/api/conversations?user="+user, "", nil).body, &l); err != nil ||
					!slices.ContainsFunc(l.Conversations, func(c store.Conversation) bool { return c.ID == conv && !c.UpdatedAt.Before(m.CreatedAt) }) {
					t.Errorf("list shows %s as it was before %s", conv, m.ID)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range convs {
		s.sameAsDatabase(user, c.ID)
	}
}

// sameAsDatabase compares the answers with what the database holds.
func (s *service) sameAsDatabase(user, conv string) {
	s.t.Helper()
	ctx := s.t.Context()
	msgs, err := s.app.store.Messages(ctx, conv, store.Cursor{}, pageSize)
	if err != nil {
		s.t.Fatal(err)
	}
	want, err := json.Marshal(newPage(msgs, pageSize))
	if got := s.get("/api/conversations/"+conv+"/messages", 200, nil).body; err != nil || string(got) != string(want) {
		s.t.Errorf("page = %.400s; the database has %.400s (%v)", got, want, err)
	}
	list, err := s.app.store.Conversations(ctx, user)
	if err != nil {
		s.t.Fatal(err)
	}
	want, err = json.Marshal(map[string]any{"conversations": list})
	if got := s.get("/api/conversations?user="+user, 200, nil).body; err != nil || string(got) != string(want) {
		s.t.Errorf("list = %.400s; the database has %.400s (%v)", got, want, err)
	}
}
