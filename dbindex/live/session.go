package live

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// session is what a run on PostgreSQL and one on MariaDB have in common: work executes
// DDL; ctl holds the lock, watches and cancels.
type session struct {
	db        *sql.DB
	d         dbindex.Dialect
	o         Options
	plan      dbindex.Plan
	ctl, work *sql.Conn
	announced bool // Hooks.Started was called for this step
	panicked  any  // of Hooks.Progress; raised again on the caller's goroutine
}

// openSession pins the connection ctl, which the caller closes.
func openSession(ctx context.Context, db *sql.DB, plan dbindex.Plan, o Options) (session, error) {
	a := session{db: db, d: plan.Dialect, o: o, plan: plan}
	if n := db.Stats().MaxOpenConnections; n == 1 {
		return a, fmt.Errorf("%w: the pool allows one connection, Apply needs two", ErrOptions)
	}
	return a, a.open(ctx, &a.ctl)
}

// open takes a connection from the pool. Without one, conn stays as it is: a closed
// one answers with errors, where none at all would panic.
func (a *session) open(ctx context.Context, conn **sql.Conn) error {
	c, err := a.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("dbindex/live: connect: %w", err)
	}
	*conn = c
	return nil
}

// lost replaces a ctl whose session on the server is gone, and the lock with it; it
// reports whether it did. That ctx has ended says nothing about the session, which
// is kept: it may hold the lock yet.
func (a *session) lost(ctx context.Context) (bool, error) {
	if answers(ctx, a.ctl) {
		return false, nil
	}
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("dbindex/live: %w", err)
	}
	_ = a.ctl.Raw(func(any) error { return errBadConn }) // nor may the pool have it, with the lock
	_ = a.ctl.Close()
	return true, a.open(ctx, &a.ctl)
}

func answers(ctx context.Context, conn *sql.Conn) bool {
	var one int
	return conn.QueryRowContext(ctx, `SELECT 1`).Scan(&one) == nil
}

// steps brings about one step after another until ctx ends or ready fails, which is
// asked before each.
func (a *session) steps(ctx context.Context, r *Report, ready func() error, do func(i int, s *StepReport) (Outcome, error)) error {
	for i := range r.Steps {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := ready(); err != nil {
			return err
		}
		s, start := &r.Steps[i], time.Now()
		a.announced = false
		out, err := do(i, s)
		a.o.finish(ctx, s, start, out, err)
		if a.panicked != nil {
			panic(a.panicked)
		}
	}
	return nil
}

// begin counts an attempt, and announces the first of a step.
func (a *session) begin(s *StepReport) {
	if f := a.o.Hooks.Started; f != nil && !a.announced {
		a.announced = true
		f(s.Step)
	}
	s.Attempts++
}

// tell hands a reading to the hook, on the watching goroutine.
func (a *session) tell(p Progress) {
	if f := a.o.Hooks.Progress; f != nil && a.panicked == nil {
		defer func() { a.panicked = recover() }()
		f(p)
	}
}
