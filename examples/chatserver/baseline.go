package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/dbindex"
)

// The flag -baseline runs the service as competent hands write it without the
// blocks, for comparison: foreign keys have indexes, the pool and the clients have
// their bounds, and answers of the database are kept in a map for half a minute.

const (
	baselineTTL     = 30 * time.Second
	baselineEntries = 10_000
)

// ttlMap keeps values for baselineTTL and forgets about the oldest when it is full.
// Nothing invalidates them. A nil map keeps nothing.
type ttlMap struct {
	mu           sync.Mutex
	values       map[string]ttlValue // guarded by mu
	hits, misses uint64              // guarded by mu
}

type ttlValue struct {
	value any
	until time.Time
}

func (m *ttlMap) get(key string) (any, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	if ok = ok && time.Now().Before(v.until); ok {
		m.hits++
	} else {
		m.misses++
	}
	return v.value, ok
}

func (m *ttlMap) set(key string, value any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if len(m.values) >= baselineEntries {
		maps.DeleteFunc(m.values, func(_ string, v ttlValue) bool { return now.After(v.until) })
	}
	for k := range m.values { // any will do if all are young
		if len(m.values) < baselineEntries {
			break
		}
		delete(m.values, k)
	}
	m.values[key] = ttlValue{value, now.Add(baselineTTL)}
}

// counts are those of get since the start.
func (m *ttlMap) counts() (hits, misses uint64) {
	if m == nil {
		return 0, 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hits, m.misses
}

// load asks the view, or the baseline's map in front of it.
func load[V any](ctx context.Context, a *app, v *cache.View[V], key string, fn cache.Loader[V]) (V, error) {
	if a.ttl == nil {
		return v.Load(ctx, key, fn)
	}
	name := v.Tag(key) // a name that no other view has
	if found, ok := a.ttl.get(name); ok {
		return found.(V), nil
	}
	val, err := v.Load(ctx, key, fn)
	if err == nil {
		a.ttl.set(name, val)
	}
	return val, err
}

// foreignKeyIndexes are those that a reviewer asks for at once.
func foreignKeyIndexes() []dbindex.Index {
	var all []dbindex.Index
	for table, columns := range map[string][]string{
		"Conversation": {"userId"}, "Message": {"conversationId", "parentId"}, "Attachment": {"messageId"},
		"Session": {"userId"}, "Account": {"userId"}, "Notification": {"userId"}, "ApiKey": {"userId"},
		"Subscription": {"userId"}, "Feedback": {"messageId", "userId"}, "TokenUsage": {"userId", "conversationId"},
		"AuditLog": {"actorId"},
	} {
		for _, c := range columns {
			all = append(all, dbindex.Index{Table: table, Keys: []dbindex.Key{dbindex.Asc(c)}})
		}
	}
	return all
}
