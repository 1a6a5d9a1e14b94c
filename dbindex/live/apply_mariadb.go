package live

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// mariaApply is one run. DDL is atomic there: an index is whole or absent.
type mariaApply struct {
	session
	id       int64 // of work's session
	lockName string
	old      [2]string // lock_wait_timeout, max_statement_time of work
}

func applyMariaDB(ctx context.Context, db *sql.DB, plan dbindex.Plan, o Options, r *Report) (err error) {
	a := &mariaApply{}
	if a.session, err = openSession(ctx, db, plan, o); err != nil {
		return err
	}
	defer func() { _ = a.ctl.Close() }()
	if err := a.lock(ctx, r); err != nil {
		return err
	}
	defer a.unlock(ctx)
	r.Before.Blockers = a.blockers(ctx)
	if f := o.Hooks.Preflight; f != nil {
		f(r.Before)
	}
	normal, err := a.normalize(ctx)
	if err != nil {
		return err
	}
	defer a.disconnect(ctx)
	if err := a.connect(ctx); err != nil {
		return err
	}
	locked := func() error { // whoever replaces ctl takes the lock at once, unless that failed
		if a.lockName != "" {
			return nil
		}
		return a.lock(ctx, r)
	}
	return a.steps(ctx, r, locked, func(i int, s *StepReport) (Outcome, error) { return a.step(ctx, s, normal[i]) })
}

// normalize returns the steps with the definitions as the server keeps them.
func (a *mariaApply) normalize(ctx context.Context) ([]dbindex.Step, error) {
	steps := slices.Clone(a.plan.Steps)
	for i, s := range steps {
		pair, err := mariaWhole(ctx, a.ctl, []dbindex.Index{s.Index, s.Old})
		if err != nil {
			return nil, err
		}
		steps[i].Index, steps[i].Old = pair[0], pair[1]
		if s.Index.Name == "" {
			steps[i].Index.Name = nameOf(s.Index)
		}
	}
	return steps, nil
}

// lock waits for its turn among other processes; the name is the server's, so it
// holds the database's.
func (a *mariaApply) lock(ctx context.Context, r *Report) error {
	var one, two int64
	var database sql.NullString
	for _, id := range []*int64{&one, &two} {
		if err := a.ctl.QueryRowContext(ctx, `SELECT CONNECTION_ID(), MD5(DATABASE())`).Scan(id, &database); err != nil {
			return fmt.Errorf("dbindex/live: connect: %w", err)
		}
	}
	if one != two {
		return ErrPooler
	}
	a.lockName = fmt.Sprintf("%x.%s", a.o.LockKey, database.String)
	waited, err := a.o.poll(ctx, func() (bool, error) {
		var ok sql.NullInt64
		err := a.ctl.QueryRowContext(ctx, `SELECT GET_LOCK(?, 0)`, a.lockName).Scan(&ok)
		return ok.Int64 == 1, err
	})
	r.Waited += waited
	if err != nil {
		a.lockName = ""
		return fmt.Errorf("dbindex/live: named lock: %w", err)
	}
	return nil
}

func (a *mariaApply) unlock(ctx context.Context) {
	if a.lockName == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.o.CleanupTimeout)
	defer cancel()
	if _, err := a.ctl.ExecContext(ctx, `DO RELEASE_LOCK(?)`, a.lockName); err != nil {
		_ = a.ctl.Raw(func(any) error { return errBadConn })
	}
}

// control replaces a ctl whose session is gone, and takes the lock again.
func (a *mariaApply) control(ctx context.Context) error {
	lost, err := a.lost(ctx)
	if lost {
		a.lockName = ""
	}
	if !lost || err != nil {
		return err
	}
	return a.lock(ctx, &Report{})
}

// blockers lists open transactions. Who may not see them sees none.
func (a *mariaApply) blockers(ctx context.Context) (list []Blocker) {
	_ = eachRow(ctx, a.ctl, `SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, NOW()), trx_state FROM information_schema.INNODB_TRX
		WHERE trx_mysql_thread_id <> CONNECTION_ID() ORDER BY trx_started`, nil, func(r *sql.Rows) error {
		var b Blocker
		var seconds int64
		err := r.Scan(&b.PID, &seconds, &b.State)
		b.Age = time.Duration(seconds) * time.Second
		list = append(list, b)
		return err
	})
	return list
}

// connect pins a connection for DDL. A statement that waits for its lock holds up all
// that come after it, so it gives up soon and is tried again.
func (a *mariaApply) connect(ctx context.Context) (err error) {
	if err = a.open(ctx, &a.work); err != nil {
		return err
	}
	err = a.work.QueryRowContext(ctx, `SELECT CONNECTION_ID(), @@lock_wait_timeout, @@max_statement_time`).Scan(&a.id, &a.old[0], &a.old[1])
	if err != nil {
		return fmt.Errorf("dbindex/live: connect: %w", err)
	}
	seconds := max(1, int64((a.o.DDLLockTimeout+time.Second-1)/time.Second))
	return a.set(ctx, fmt.Sprint(seconds), "0")
}

func (a *mariaApply) set(ctx context.Context, lockWait, statement string) error {
	// The values are numbers that the server gave, or ours.
	if _, err := a.work.ExecContext(ctx, `SET SESSION lock_wait_timeout = `+lockWait+`, SESSION max_statement_time = `+statement); err != nil {
		return fmt.Errorf("dbindex/live: change settings: %w", err)
	}
	return nil
}

func (a *mariaApply) disconnect(ctx context.Context) {
	if a.work == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.o.CleanupTimeout)
	defer cancel()
	if a.old[0] == "" || a.set(ctx, a.old[0], a.old[1]) != nil {
		_ = a.work.Raw(func(any) error { return errBadConn })
	}
	_ = a.work.Close()
	a.work, a.old = nil, [2]string{}
}

// alive replaces a work connection whose session is gone.
func (a *mariaApply) alive(ctx context.Context) error {
	if a.work != nil && answers(ctx, a.work) {
		return nil
	}
	a.disconnect(ctx)
	return a.connect(ctx)
}

// find returns the live index called name on the table of ix, or nil.
func (a *mariaApply) find(ctx context.Context, ix dbindex.Index, name string) (*dbindex.Index, error) {
	o := InspectOptions{Tables: []string{ix.Table}}
	if ix.Schema != "" {
		o.Schemas = []string{ix.Schema}
	}
	var s dbindex.Schema
	if err := mariaIndexes(ctx, a.ctl, a.d, o, &s); err != nil {
		return nil, err
	}
	for _, h := range s.Indexes {
		if strings.EqualFold(h.Name, name) {
			return &h, nil
		}
	}
	for _, u := range s.Unknown {
		if strings.EqualFold(u.Name, name) {
			return nil, &ConflictError{Name: name, Have: u.Reason, Want: "a definition that this package can read"}
		}
	}
	return nil, nil
}

// step brings one step about.
func (a *mariaApply) step(ctx context.Context, s *StepReport, step dbindex.Step) (Outcome, error) {
	switch step.Op {
	case dbindex.Create:
		return a.reach(ctx, s, step, func(have *dbindex.Index) (bool, error) { return a.is(have, step.Index) })
	case dbindex.Drop:
		return a.drop(ctx, s, step.Index)
	case dbindex.Rename:
		return a.rename(ctx, s, step)
	}
	have, err := a.find(ctx, step.Index, nameOf(step.Index))
	if err != nil {
		return Failed, err
	}
	if have != nil && have.Equivalent(a.d, step.Index) {
		return Present, nil
	}
	if have != nil && !have.Equivalent(a.d, step.Old) {
		return Failed, conflict(a.d, *have, step.Old)
	}
	if st, err := step.Statements(a.d, true); err == nil && len(st) == 1 { // a change of the catalog alone
		return a.reach(ctx, s, step, func(have *dbindex.Index) (bool, error) {
			return have != nil && have.Equivalent(a.d, step.Index), nil
		})
	}
	tmp := step
	tmp.Op, tmp.Index.Name = dbindex.Create, step.TempName()
	if out, err := a.reach(ctx, s, tmp, func(have *dbindex.Index) (bool, error) { return a.is(have, tmp.Index) }); err != nil {
		return out, err
	}
	if have != nil {
		if out, err := a.drop(ctx, s, *have); err != nil {
			return out, err
		}
	}
	return a.rename(ctx, s, dbindex.Step{Op: dbindex.Rename, Index: step.Index, Old: tmp.Index})
}

// is reports whether the wanted index is there; another of its name is a conflict.
func (a *mariaApply) is(have *dbindex.Index, want dbindex.Index) (bool, error) {
	if have != nil && !have.Equivalent(a.d, want) {
		return false, conflict(a.d, *have, want)
	}
	return have != nil, nil
}

func (a *mariaApply) drop(ctx context.Context, s *StepReport, ix dbindex.Index) (Outcome, error) {
	return a.reach(ctx, s, dbindex.Step{Op: dbindex.Drop, Index: ix}, func(have *dbindex.Index) (bool, error) {
		if have != nil && (have.Constraint != dbindex.NoConstraint || !have.Equivalent(a.d, ix)) {
			return false, conflict(a.d, *have, ix)
		}
		return have == nil, nil
	})
}

func (a *mariaApply) rename(ctx context.Context, s *StepReport, step dbindex.Step) (Outcome, error) {
	return a.reach(ctx, s, step, func(have *dbindex.Index) (bool, error) {
		src, err := a.find(ctx, step.Old, nameOf(step.Old))
		switch {
		case err != nil:
			return false, err
		case have != nil && !have.Equivalent(a.d, step.Index):
			return false, conflict(a.d, *have, step.Index)
		case have != nil && src != nil:
			return false, fmt.Errorf("both %q and %q exist", nameOf(step.Old), nameOf(step.Index))
		case have != nil:
			return true, nil
		case src == nil:
			return false, fmt.Errorf("index %q is not there", nameOf(step.Old))
		case !src.Equivalent(a.d, step.Index):
			return false, conflict(a.d, *src, step.Index)
		}
		return false, nil
	})
}

// reach runs the statements of a step until done says that the catalog is as wanted.
func (a *mariaApply) reach(ctx context.Context, s *StepReport, step dbindex.Step, done func(have *dbindex.Index) (bool, error)) (Outcome, error) {
	var last error
	for try := 0; ; try++ {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.o.CleanupTimeout)
		have, err := a.find(clean, step.Index, nameOf(step.Index))
		if err != nil && try > 0 {
			if err = a.control(clean); err == nil {
				have, err = a.find(clean, step.Index, nameOf(step.Index))
			}
		}
		cancel()
		if err != nil {
			return Failed, errors.Join(last, err)
		}
		switch ok, err := done(have); {
		case err != nil:
			return Failed, err
		case ok && try == 0 && s.Attempts == 0:
			return Present, nil
		case ok:
			return Done, nil
		case ctx.Err() != nil:
			return Failed, errors.Join(ctx.Err(), last)
		case last != nil && (try >= a.o.Attempts || !mariaRetryable(last)):
			return Failed, last
		case try > a.o.Attempts:
			return Failed, fmt.Errorf("no change after %d attempts", try)
		}
		st, err := step.Statements(a.d, !a.plan.Blocking)
		if err != nil {
			return Failed, err
		}
		for _, one := range st {
			if last = a.run(ctx, s, one.SQL); last != nil {
				break
			}
		}
		if mariaCode(last) == 1062 {
			return Failed, &UniqueError{Name: nameOf(step.Index), Cause: last}
		}
		if last != nil && ctx.Err() == nil && mariaRetryable(last) {
			_ = pause(ctx, retryPause)
		}
	}
}

// run executes one statement, and kills it on the server when ctx ends; afterwards it
// is over, and rolled back if it had not finished.
func (a *mariaApply) run(ctx context.Context, s *StepReport, stmt string) error {
	if err := a.alive(ctx); err != nil {
		return err
	}
	a.begin(s)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { a.watch(ctx, s, done) })
	_, err := a.work.ExecContext(context.WithoutCancel(ctx), stmt)
	close(done)
	wg.Wait()
	if err != nil && mariaCode(err) == 0 {
		a.settle(ctx)
	}
	return err
}

// settle waits until a session that lost its client has ended.
func (a *mariaApply) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.o.CleanupTimeout)
	defer cancel()
	for a.control(ctx) == nil {
		var n int
		err := a.ctl.QueryRowContext(ctx, `SELECT count(*) FROM information_schema.PROCESSLIST WHERE ID = ?`, a.id).Scan(&n)
		if err != nil || n == 0 || pause(ctx, retryPause) != nil {
			return
		}
	}
}

// watch reports progress until done, and kills the statement when ctx ends.
func (a *mariaApply) watch(ctx context.Context, s *StepReport, done <-chan struct{}) {
	start := time.Now()
	tick := time.NewTicker(a.o.ProgressEvery)
	defer tick.Stop()
	for over := ctx.Done(); ; {
		select {
		case <-done:
			return
		case <-over:
			a.kill(ctx)
			tick.Reset(500 * time.Millisecond) // a request between statements is lost
			over = nil
		case <-tick.C:
			if over == nil {
				a.kill(ctx)
				continue
			}
			a.progress(ctx, s, start)
		}
	}
}

func (a *mariaApply) kill(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
	defer cancel()
	if _, err := a.ctl.ExecContext(ctx, fmt.Sprintf(`KILL QUERY %d`, a.id)); err != nil {
		_, _ = a.db.ExecContext(ctx, fmt.Sprintf(`KILL QUERY %d`, a.id))
	}
}

// progress asks how far the statement is; of a table it gives hundredths.
func (a *mariaApply) progress(ctx context.Context, s *StepReport, start time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
	defer cancel()
	p := Progress{Step: s.Step, BlocksTotal: 100}
	var percent float64
	err := a.ctl.QueryRowContext(ctx, `SELECT coalesce(STATE, ''), coalesce(PROGRESS, 0) FROM information_schema.PROCESSLIST WHERE ID = ?`, a.id).Scan(&p.Phase, &percent)
	if err == nil {
		p.BlocksDone, p.Elapsed = int64(percent), time.Since(start)
		a.tell(p)
	}
}

// mariaCode returns the number of a server error by its text, "Error 1062 (23000): …",
// or 0 for an error of the connection.
func mariaCode(err error) (code int) {
	for ; err != nil; err = errors.Unwrap(err) {
		if n, _ := fmt.Sscanf(err.Error(), "Error %d", &code); n == 1 {
			return code
		}
	}
	return 0
}

// mariaRetryable reports whether trying again can help: lock wait, deadlock, killed or
// lost session.
func mariaRetryable(err error) bool {
	return slices.Contains([]int{0, 1205, 1213, 1317, 1927, 2006, 2013}, mariaCode(err))
}
