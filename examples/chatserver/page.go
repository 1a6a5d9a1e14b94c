package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
)

// pageSize is the length of a page that asks for no other.
const pageSize = 50

// page is a page of messages, newest first, and the cursor of the next one, "" after
// the last.
type page struct {
	Messages []store.Message `json:"messages"`
	Next     string          `json:"next,omitempty"`
}

// newPage makes the page of up to limit messages.
func newPage(msgs []store.Message, limit int) page {
	p := page{Messages: msgs}
	if len(msgs) == limit {
		last := msgs[limit-1]
		p.Next = cursorText(store.Cursor{At: last.CreatedAt, ID: last.ID})
	}
	return p
}

// with is the newest page p after m has come, which p may show already.
func (p page) with(m store.Message) page {
	at, shown := slices.BinarySearchFunc(p.Messages, m, func(a, b store.Message) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
	})
	if shown {
		return p
	}
	msgs := slices.Insert(p.Messages, at, m)
	return newPage(msgs[:min(len(msgs), pageSize)], pageSize)
}

// messages returns a page as it is sent: pages are asked for far more often than they
// change, so that the JSON is cached rather than the messages.
func (a *app) messages(ctx context.Context, conv string, before store.Cursor, limit int) ([]byte, error) {
	if !validID(conv) {
		return nil, store.ErrNotFound // not even a cache key
	}
	return load(ctx, a, a.views.messages, pageKey(conv, before, limit), func(ctx context.Context, e *cache.Entry[[]byte]) ([]byte, error) {
		e.DependsOn(a.views.conversations.Tag(conv))
		if before.ID == "" && limit != pageSize {
			e.DependsOn(newestTag(conv)) // the pages before it stay as they are
		}
		msgs, err := a.store.Messages(ctx, conv, before, limit)
		if err != nil {
			return nil, a.missing(err)
		}
		return json.Marshal(newPage(msgs, limit))
	})
}

func pageKey(conv string, before store.Cursor, limit int) string {
	return fmt.Sprintf("%s/%d/%s", conv, limit, cursorText(before))
}

// newestTag is on the newest pages of a conversation that are not of pageSize.
func newestTag(conversationID string) string { return "newest:" + conversationID }

// addMessage stores m, and brings up to date what shows the end of its conversation,
// before anyone is told that it is stored. Writing it into the entries rather than
// deleting them spares the load of the next reader, who in a chat comes at once.
func (a *app) addMessage(ctx context.Context, m store.Message) (store.Message, error) {
	m, owner, err := a.store.AddMessage(ctx, m)
	if err != nil {
		return m, err
	}
	ctx = context.WithoutCancel(ctx) // m is stored: a client that hangs up now must not stop this
	return m, errors.Join(
		a.views.messages.Update(ctx, pageKey(m.ConversationID, store.Cursor{}, pageSize), func(old []byte) ([]byte, bool) {
			var p page
			if json.Unmarshal(old, &p) != nil {
				return nil, false
			}
			text, err := json.Marshal(p.with(m))
			return text, err == nil
		}),
		a.views.lists.Update(ctx, owner, func(old []store.Conversation) ([]store.Conversation, bool) {
			return raised(old, m)
		}),
		a.cache.DeleteTag(ctx, newestTag(m.ConversationID)),
	)
}

// raised is a user's list after m has come, which it may show already: the
// conversation of m moves up. It returns false if it is not in the list, and may have
// to come into it.
func raised(list []store.Conversation, m store.Message) ([]store.Conversation, bool) {
	at := slices.IndexFunc(list, func(c store.Conversation) bool { return c.ID == m.ConversationID })
	if at < 0 {
		return nil, false
	}
	c := list[at]
	if !c.UpdatedAt.Before(m.CreatedAt) {
		return list, true
	}
	c.UpdatedAt, c.LastMessage = m.CreatedAt, store.Preview(m.Content)
	list = slices.Delete(slices.Clone(list), at, at+1)
	at, _ = slices.BinarySearchFunc(list, c, func(a, b store.Conversation) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
	return slices.Insert(list, at, c), true
}

// cursorText is a cursor as clients see it: opaque, "" for the start.
func cursorText(c store.Cursor) string {
	if c.ID == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%s", c.At.UnixMilli(), c.ID))
}

func parseCursor(s string) (store.Cursor, error) {
	if s == "" {
		return store.Cursor{}, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(s)
	at, id, ok := strings.Cut(string(text), ".")
	ms, err2 := strconv.ParseInt(at, 10, 64)
	if err != nil || err2 != nil || !ok || id == "" || len(id) > 64 || ms < 0 || ms > 1<<45 || !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		return store.Cursor{}, invalid("before is not a cursor that this service gave")
	}
	return store.Cursor{At: time.UnixMilli(ms).UTC(), ID: id}, nil
}
