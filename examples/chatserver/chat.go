package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
)

// profile is a user with the newest of the user's conversations. It is put together
// of two entries, since what a message changes in one of them should not make the
// other be loaded again.
type profile struct {
	store.User
	Recent []store.Conversation `json:"recent"`
}

// The loaders below say what depends on what. Whoever changes or deletes a
// conversation deletes its entry; the conversation's pages and the owner's list go
// with it, because their loaders named it. A new message changes less, and often:
// it is written into the newest page and the list where they are cached, see
// addMessage.

func (a *app) user(ctx context.Context, id string) (store.User, error) {
	if !validID(id) {
		return store.User{}, store.ErrNotFound
	}
	return load(ctx, a, a.views.users, id, a.loadUser)
}

func (a *app) loadUser(ctx context.Context, e *cache.Entry[store.User]) (store.User, error) {
	u, err := a.store.User(ctx, e.Key())
	return u, a.missing(err)
}

func (a *app) profile(ctx context.Context, id string) (profile, error) {
	u, err := a.user(ctx, id)
	if err != nil {
		return profile{}, err
	}
	list, err := a.list(ctx, id)
	return profile{User: u, Recent: list[:min(len(list), 5)]}, err
}

func (a *app) list(ctx context.Context, userID string) ([]store.Conversation, error) {
	return load(ctx, a, a.views.lists, userID, a.loadList)
}

func (a *app) loadList(ctx context.Context, e *cache.Entry[[]store.Conversation]) ([]store.Conversation, error) {
	list, err := a.store.Conversations(ctx, e.Key())
	for _, c := range list {
		e.DependsOn(a.views.conversations.Tag(c.ID))
	}
	return list, err
}

func (a *app) conversation(ctx context.Context, id string) (store.Conversation, error) {
	if !validID(id) {
		return store.Conversation{}, store.ErrNotFound
	}
	return load(ctx, a, a.views.conversations, id, func(ctx context.Context, e *cache.Entry[store.Conversation]) (store.Conversation, error) {
		c, err := a.store.Conversation(ctx, id)
		return c, a.missing(err)
	})
}

func (a *app) usage(ctx context.Context, userID string) ([]store.UsageDay, error) {
	if err := a.spent.settle(ctx, userID); err != nil {
		return nil, err
	}
	return load(ctx, a, a.views.usage, userID, func(ctx context.Context, e *cache.Entry[[]store.UsageDay]) ([]store.UsageDay, error) {
		return a.store.UsageDaily(ctx, userID)
	})
}

// validID tells whether id can be one of ours, so that nothing else becomes a cache
// key or a parameter of a query.
func validID(id string) bool {
	return len(id) > 0 && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// missing tells the cache that a thing does not exist, so that the absence is
// cached too.
func (a *app) missing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return errors.Join(cache.ErrNotFound, err)
	}
	return err
}

func (a *app) getUser(w http.ResponseWriter, r *http.Request) error {
	p, err := a.profile(r.Context(), r.PathValue("id"))
	return reply(w, p, err)
}

func (a *app) getConversations(w http.ResponseWriter, r *http.Request) error {
	id, err := a.knownUser(r)
	if err != nil {
		return err
	}
	list, err := a.list(r.Context(), id)
	return reply(w, map[string]any{"conversations": list}, err)
}

func (a *app) getMessages(w http.ResponseWriter, r *http.Request) error {
	limit := pageSize
	if s := r.FormValue("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 200 {
			return invalid("limit must be a number from 1 to 200")
		}
		limit = n
	}
	before, err := parseCursor(r.FormValue("before"))
	if err != nil {
		return err
	}
	p, err := a.messages(r.Context(), r.PathValue("id"), before, limit)
	return replyJSON(w, p, err)
}

func (a *app) getSearch(w http.ResponseWriter, r *http.Request) error {
	id, err := a.knownUser(r)
	if err != nil {
		return err
	}
	q := strings.TrimSpace(r.FormValue("q"))
	if n := utf8.RuneCountInString(q); n < 2 || n > 100 || !utf8.ValidString(q) || strings.ContainsRune(q, 0) {
		return invalid("q must have 2 to 100 characters")
	}
	hits, err := a.store.Search(r.Context(), id, q)
	return reply(w, map[string]any{"hits": hits}, err)
}

func (a *app) getUsage(w http.ResponseWriter, r *http.Request) error {
	id, err := a.knownUser(r)
	if err != nil {
		return err
	}
	days, err := a.usage(r.Context(), id)
	return reply(w, map[string]any{"days": days}, err)
}

const maxContent = 8000 // characters in a message

func (a *app) postMessage(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Content    string            `json:"content"`
		Attachment *store.Attachment `json:"attachment"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(in.Content); n < 1 || n > maxContent || strings.ContainsRune(in.Content, 0) {
		return invalid(fmt.Sprintf("content must have 1 to %d characters", maxContent))
	}
	m := store.Message{ConversationID: r.PathValue("id"), Role: "USER", Content: in.Content}
	if !validID(m.ConversationID) {
		return store.ErrNotFound
	}
	if at := in.Attachment; at != nil {
		if at.Kind != "image" || at.Bytes < 0 || len(at.URL) > 2000 || !strings.HasPrefix(at.URL, "/") && !strings.HasPrefix(at.URL, "http") {
			return invalid("attachment must be an image with the url of an upload")
		}
		m.Attachments = []store.Attachment{*at}
	}
	m, err := a.addMessage(r.Context(), m)
	return reply(w, m, err)
}

// knownUser returns the parameter user, if there is such a user.
func (a *app) knownUser(r *http.Request) (string, error) {
	id := r.FormValue("user")
	if id == "" {
		return "", invalid("the parameter user is missing")
	}
	_, err := a.user(r.Context(), id)
	return id, err
}

// reply writes v as JSON unless err says otherwise.
func reply(w http.ResponseWriter, v any, err error) error {
	if err != nil {
		return err
	}
	b, err := json.Marshal(v)
	return replyJSON(w, b, err)
}

// replyJSON is reply for what is JSON already.
func replyJSON(w http.ResponseWriter, b []byte, err error) error {
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_, err = w.Write(b)
	return err
}

const maxJSON = 64 << 10 // bytes of a JSON body

// readJSON decodes a body that is one JSON value of known fields.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return fault(http.StatusUnsupportedMediaType, "unsupported_type", "send application/json", nil)
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxJSON))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("more than one value")
		}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body may have %d bytes", maxJSON), err)
	}
	if err != nil {
		return fault(http.StatusBadRequest, "invalid_json", "the body is not the JSON that is expected here", err)
	}
	return nil
}
