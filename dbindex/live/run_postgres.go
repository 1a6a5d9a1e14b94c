package live

import (
	"context"
	"database/sql/driver"
	"errors"
	"strconv"
	"sync"
	"time"
)

// errBadConn is what database/sql understands as "throw this connection away".
var errBadConn = driver.ErrBadConn

// killGrace is how long a cancelled statement may take to end by itself before its
// connection is cut.
const killGrace = 10 * time.Second

// sqlState returns the five-character code of a server error, as pgx and lib/pq give
// it, or "".
func sqlState(err error) string {
	var s interface{ SQLState() string }
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}

// run executes one DDL statement. When ctx ends it asks the server to cancel the
// statement and waits for its end, so that the connection and the catalog are in a
// known state afterwards: cancelling through the driver would cut the connection
// while the server still works.
func (a *pgApply) run(ctx context.Context, s *StepReport, stmt string, online bool) error {
	if err := a.alive(ctx); err != nil {
		return err
	}
	if !online {
		if err := set(ctx, a.work, "lock_timeout", strconv.FormatInt(max(1, a.o.DDLLockTimeout.Milliseconds()), 10)); err != nil {
			return err
		}
		defer func() { _ = set(context.WithoutCancel(ctx), a.work, "lock_timeout", "0") }()
	}
	a.begin(s)
	execCtx, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { a.watch(ctx, s, done, kill) })
	_, err := a.work.ExecContext(execCtx, stmt)
	close(done)
	wg.Wait()
	if err != nil && ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	return err
}

// watch reports progress until done, and cancels the statement when ctx ends.
func (a *pgApply) watch(ctx context.Context, s *StepReport, done <-chan struct{}, kill func()) {
	start := time.Now()
	tick := time.NewTicker(a.o.ProgressEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			a.cancel(ctx, done, kill)
			return
		case <-tick.C:
			a.progress(ctx, s, start)
		}
	}
}

// cancel repeats the request, since one that arrives between statements is lost.
func (a *pgApply) cancel(ctx context.Context, done <-chan struct{}, kill func()) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
	defer stop()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		const stop = `SELECT pg_cancel_backend($1::bigint::int)`
		if _, err := a.ctl.ExecContext(ctx, stop, a.pid); err != nil {
			if _, err := a.db.ExecContext(ctx, stop, a.pid); err != nil {
				break
			}
		}
		select {
		case <-done:
			return
		case <-ctx.Done():
		case <-tick.C:
			continue
		}
		break
	}
	select {
	case <-done:
	default:
		kill()
	}
}

// progress asks how far the build is. It asks also when nobody wants to know, so
// that nothing between here and the server takes ctl for dead. A query that ctx
// ended would cost the connection, and with it the lock.
func (a *pgApply) progress(ctx context.Context, s *StepReport, start time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
	defer cancel()
	if major, _ := a.d.Version(); major < 12 {
		_, _ = a.ctl.ExecContext(ctx, `SELECT 1`)
		return
	}
	p := Progress{Step: s.Step}
	err := a.ctl.QueryRowContext(ctx, `SELECT coalesce(phase, ''), coalesce(blocks_done, 0), coalesce(blocks_total, 0), coalesce(current_locker_pid, 0)
		FROM pg_stat_progress_create_index WHERE pid = $1::bigint`, a.pid).Scan(&p.Phase, &p.BlocksDone, &p.BlocksTotal, &p.WaitingFor)
	if err == nil { // no row: not building now
		p.Elapsed = time.Since(start)
		a.tell(p)
	}
}
