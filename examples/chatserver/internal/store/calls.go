package store

import (
	"sync/atomic"
	"time"
)

// statement is one of the methods that ask the database.
type statement int

const (
	stmtUser statement = iota
	stmtConversations
	stmtConversation
	stmtMessages
	stmtSearch
	stmtUsageDaily
	stmtBusiest
	stmtAddMessage
	stmtAddUsage
	statements // how many there are
)

func (q statement) String() string {
	return [statements]string{"user", "list", "conversation", "page", "search", "usage", "busiest", "add message", "add usage"}[q]
}

// calls counts those of one statement.
type calls struct{ queries, nanos atomic.Int64 }

// Calls are the queries of one method and the time that the database took for them,
// since Open.
type Calls struct {
	Name    string
	Queries int64
	Spent   time.Duration
}

// timed counts a query. The delay of Slow comes after it: the caller waits, but the
// database has not worked. Use: defer s.timed(stmtUser, time.Now()).
func (s *Store) timed(q statement, start time.Time) {
	s.calls[q].queries.Add(1)
	s.calls[q].nanos.Add(int64(time.Since(start)))
	if d := s.slow.Load(); d > 0 {
		time.Sleep(time.Duration(d))
	}
}

// Calls counts each method, always in the same order.
func (s *Store) Calls() []Calls {
	all := make([]Calls, statements)
	for q := range s.calls {
		all[q] = Calls{statement(q).String(), s.calls[q].queries.Load(), time.Duration(s.calls[q].nanos.Load())}
	}
	return all
}
