package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
)

// sink is where rows are written to, which may fail.
type sink struct {
	mu     sync.Mutex
	rows   []string // guarded by mu
	writes int      // guarded by mu
	err    error    // guarded by mu
}

func (s *sink) write(_ context.Context, rows []store.Usage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.err != nil {
		return s.err
	}
	for _, u := range rows {
		s.rows = append(s.rows, u.UserID)
	}
	return nil
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *sink) has() (rows []string, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows), s.writes
}

func TestSpentIsWrittenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var to sink
		s := newSpent(slog.New(slog.DiscardHandler), to.write)
		for i := range 10 {
			if err := s.add(t.Context(), store.Usage{UserID: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(spentDelay / 20)
		}
		if rows, _ := to.has(); len(rows) != 0 {
			t.Errorf("%d rows are written before it is time", len(rows))
		}
		if err := s.settle(t.Context(), "nobody"); err != nil {
			t.Error(err)
		}
		time.Sleep(spentDelay / 2)
		synctest.Wait()
		if rows, writes := to.has(); len(rows) != 10 || writes != 1 {
			t.Errorf("%d rows in %d writes after %v; want 10 in 1", len(rows), writes, spentDelay)
		}
		// Whoever looks at the rows of one of them has them written.
		_ = s.add(t.Context(), store.Usage{UserID: "a"})
		if err := s.settle(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		if rows, _ := to.has(); len(rows) != 11 {
			t.Errorf("%d rows after settle; want 11", len(rows))
		}
		_ = s.add(t.Context(), store.Usage{UserID: "last"})
		if err := s.close(t.Context()); err != nil {
			t.Error(err)
		}
		if rows, _ := to.has(); len(rows) != 12 {
			t.Errorf("%d rows after close; want 12", len(rows))
		}
	})
}

// TestSpentFails: what could not be written is tried again, each row is written once,
// and no more than the bound is held.
func TestSpentFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var to sink
		s := newSpent(slog.New(slog.DiscardHandler), to.write)
		down := errors.New("down")
		to.fail(down)
		taken := 0
		for i := range 3 * spentMost {
			switch err := s.add(t.Context(), store.Usage{UserID: fmt.Sprint(i)}); {
			case err == nil:
				taken++
			case !errors.Is(err, down):
				t.Fatal(err)
			}
		}
		if taken != spentMost {
			t.Errorf("%d rows taken while nothing can be written; want %d", taken, spentMost)
		}
		time.Sleep(3 * spentDelay)
		to.fail(nil)
		time.Sleep(spentDelay)
		synctest.Wait()
		if rows, _ := to.has(); len(rows) != taken || len(slices.Compact(slices.Sorted(slices.Values(rows)))) != taken {
			t.Errorf("%d rows are written, %d were taken", len(rows), taken)
		}
		if err := s.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestSpentRaces: rows come, are looked for and written by many at once, and each is
// written once.
func TestSpentRaces(t *testing.T) {
	var to sink
	s := newSpent(slog.New(slog.DiscardHandler), to.write)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 200 {
				id := fmt.Sprint(w, "/", i)
				if err := s.add(context.Background(), store.Usage{UserID: id}); err != nil {
					t.Error(err)
				}
				if i%20 == 0 {
					if err := s.settle(context.Background(), id); err != nil {
						t.Error(err)
					}
					if rows, _ := to.has(); !slices.Contains(rows, id) {
						t.Errorf("%s is not written after settle", id)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := s.close(t.Context()); err != nil {
		t.Error(err)
	}
	rows, _ := to.has()
	if n := len(slices.Compact(slices.Sorted(slices.Values(rows)))); n != 1600 || len(rows) != n {
		t.Errorf("%d rows, %d of them different; want 1600", len(rows), n)
	}
}
