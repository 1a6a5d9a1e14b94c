package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
)

// What calls to the model cost is written in batches, since there is a row for each
// answer and nobody waits for it. A process that is killed loses the rows of the last
// second, two hundred at most; messages are never held back. Services that send bills by
// these rows write each one before the answer.
const (
	spentDelay = time.Second
	spentMost  = 200
)

// spent holds the rows that are still to be written.
type spent struct {
	write func(context.Context, []store.Usage) error // and what showed the old state is invalidated
	log   *slog.Logger
	turn  chan struct{} // holds a token while somebody writes

	mu    sync.Mutex
	rows  []store.Usage // guarded by mu; a row leaves when it is written
	timer *time.Timer   // guarded by mu; nil if no write is due
	// closed is guarded by mu. Nothing is written by itself any more.
	closed bool
}

func newSpent(log *slog.Logger, write func(context.Context, []store.Usage) error) *spent {
	return &spent{write: write, log: log, turn: make(chan struct{}, 1)}
}

// add takes a row. When there are too many already, as when the database is slow, the
// caller writes them first; if that fails the row is not taken.
func (s *spent) add(ctx context.Context, u store.Usage) error {
	s.mu.Lock()
	full := len(s.rows) >= spentMost
	s.mu.Unlock()
	if full {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = append(s.rows, u)
	s.armLocked()
	return nil
}

func (s *spent) armLocked() {
	if s.timer != nil || s.closed || len(s.rows) == 0 {
		return
	}
	s.timer = time.AfterFunc(spentDelay, func() {
		s.mu.Lock()
		s.timer = nil
		s.mu.Unlock()
		if err := s.flush(context.Background()); err != nil {
			s.log.Error("usage is not written yet", "error", err)
		}
	})
}

// settle writes what there is if something of the user is among it.
func (s *spent) settle(ctx context.Context, userID string) error {
	s.mu.Lock()
	due := false
	for _, u := range s.rows {
		due = due || u.UserID == userID
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	return s.flush(ctx)
}

// flush writes the rows that there are now. What fails stays for the next time.
func (s *spent) flush(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("usage: %w", context.Cause(ctx))
	}
	s.mu.Lock()
	rows := s.rows[:len(s.rows):len(s.rows)]
	s.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	// They are rows of others too: a client that hangs up must not stop this.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := s.write(ctx, rows)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.rows = append([]store.Usage(nil), s.rows[len(rows):]...)
	}
	s.armLocked()
	return err
}

// close writes what is left, also when ctx has ended. Nobody adds any more.
func (s *spent) close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	return s.flush(context.WithoutCancel(ctx))
}
