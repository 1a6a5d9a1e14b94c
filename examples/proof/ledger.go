package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// ledger holds what the service acknowledged, and compares answers with it. An answer
// is held only against what was acknowledged before it was asked for.
type ledger struct {
	mu      sync.Mutex
	latest  map[string]write  // guarded by mu; by conversation
	uploads map[string]upload // guarded by mu; by key
	stale   []string          // guarded by mu; what answers should have shown
	reads   int               // guarded by mu; answers that were compared
}

// write is a message whose POST was answered with success.
type write struct {
	id      string
	created time.Time
	acked   time.Time
}

// upload is a file that the service took.
type upload struct {
	url  string
	size int64
	sum  [32]byte // of the first read; zero if there was none
}

func newLedger() *ledger { return &ledger{latest: map[string]write{}, uploads: map[string]upload{}} }

func (l *ledger) wrote(conversation string, m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.latest[conversation]; m.CreatedAt.After(old.created) {
		l.latest[conversation] = write{m.ID, m.CreatedAt, time.Now()}
	}
}

// sawPage compares the newest page of a conversation, which was asked for at asked.
func (l *ledger) sawPage(conversation string, asked time.Time, p page) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, ok := l.latest[conversation]
	if !ok || !w.acked.Before(asked) {
		return true
	}
	l.reads++
	shown := slices.ContainsFunc(p.Messages, func(m message) bool { return m.ID == w.id })
	full := len(p.Messages) > 0 && p.Messages[len(p.Messages)-1].CreatedAt.After(w.created) // all of it is newer
	return l.judge(shown || full, "page of %s lacks the message %s", conversation, w.id)
}

// sawList compares a list of conversations, newest first.
func (l *ledger) sawList(asked time.Time, list []conversation) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	right := true
	for _, c := range list {
		w, ok := l.latest[c.ID]
		if !ok || !w.acked.Before(asked) {
			continue
		}
		l.reads++
		right = l.judge(!c.UpdatedAt.Before(w.created), "list shows %s as of %v", c.ID, c.UpdatedAt) && right
	}
	return right
}

func (l *ledger) judge(ok bool, format string, args ...any) bool {
	if !ok {
		l.stale = append(l.stale, fmt.Sprintf(format, args...))
	}
	return ok
}

func (l *ledger) uploaded(key string, u upload) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uploads[key] = u
}

// files are the uploads so far.
func (l *ledger) files() map[string]upload {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.uploads)
}
