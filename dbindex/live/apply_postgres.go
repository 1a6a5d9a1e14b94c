package live

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/perfblocks/perfblocks/dbindex"
)

// pgApply is one run. Between queries ctl is idle, so it holds no snapshot that a build
// would wait for.
type pgApply struct {
	session
	pid            int64             // server process of work
	locked         bool              // ctl holds the advisory lock
	oldCtl, oldWrk map[string]string // settings to restore

	// normal and normalOld are how the server prints the Index and Old of each step.
	normal, normalOld []dbindex.Index
}

func applyPostgres(ctx context.Context, db *sql.DB, plan dbindex.Plan, o Options, r *Report) (err error) {
	a := &pgApply{}
	if a.session, err = openSession(ctx, db, plan, o); err != nil {
		return err
	}
	defer func() { _ = a.ctl.Close() }()
	defer a.unlock(ctx) // lock may fail with the lock taken
	if err := a.lock(ctx, r); err != nil {
		return err
	}
	if err := a.normalize(ctx); err != nil {
		return err
	}
	if err := a.preflight(ctx, &r.Before); err != nil {
		return err
	}
	if f := o.Hooks.Preflight; f != nil {
		f(r.Before)
	}
	defer a.disconnect(ctx)
	if err := a.connect(ctx); err != nil {
		return err
	}
	locked := func() error {
		if a.locked {
			return nil
		}
		return a.lock(ctx, r)
	}
	return a.steps(ctx, r, locked, func(i int, s *StepReport) (Outcome, error) { return a.step(ctx, i, s) })
}

// lock waits for its turn among other processes.
func (a *pgApply) lock(ctx context.Context, r *Report) error {
	if err := checkPooler(ctx, a.ctl); err != nil {
		return err
	}
	waited, err := a.o.poll(ctx, func() (ok bool, err error) {
		err = a.ctl.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, a.o.LockKey).Scan(&ok)
		return ok, err
	})
	r.Waited += waited
	if err != nil {
		return fmt.Errorf("dbindex/live: advisory lock: %w", err)
	}
	a.locked = true
	// ctl is idle while an index is built.
	a.oldCtl, err = lift(ctx, a.ctl, "idle_session_timeout")
	return err
}

// control replaces a ctl whose server process is gone, and the lock with it.
func (a *pgApply) control(ctx context.Context) error {
	lost, err := a.lost(ctx)
	if lost {
		a.locked, a.oldCtl = false, nil
	}
	return err
}

func checkPooler(ctx context.Context, conn *sql.Conn) error {
	var first, second int64
	for _, pid := range []*int64{&first, &second} {
		if err := conn.QueryRowContext(ctx, `SELECT pg_backend_pid()`).Scan(pid); err != nil {
			return fmt.Errorf("dbindex/live: connect: %w", err)
		}
	}
	if first != second {
		return ErrPooler
	}
	return nil
}

func (a *pgApply) unlock(ctx context.Context) {
	if !a.locked {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.o.CleanupTimeout)
	defer cancel()
	restore(ctx, a.ctl, a.oldCtl)
	if _, err := a.ctl.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, a.o.LockKey); err != nil {
		// A broken connection has lost the lock; a living one must not go back to
		// the pool with it.
		_ = a.ctl.Raw(func(any) error { return errBadConn })
	}
}

// normalize asks the server how it prints what the steps mention, on ctl before any
// build. A dropped definition that the server refuses by now stays as it is.
func (a *pgApply) normalize(ctx context.Context) error {
	a.normal = make([]dbindex.Index, len(a.plan.Steps))
	a.normalOld = make([]dbindex.Index, len(a.plan.Steps))
	var wanted []dbindex.Index
	for _, s := range a.plan.Steps {
		if s.Op != dbindex.Drop {
			wanted = append(wanted, s.Index)
		}
	}
	normal, err := normalize(ctx, a.ctl, a.d, wanted)
	if err != nil {
		return err
	}
	for i, s := range a.plan.Steps {
		if s.Op != dbindex.Drop {
			a.normal[i], normal = normal[0], normal[1:]
		} else {
			a.normal[i] = a.normalizeGone(ctx, s.Index)
		}
		if s.Op == dbindex.Replace || s.Op == dbindex.Rename {
			a.normalOld[i] = a.normalizeGone(ctx, s.Old)
		}
	}
	return nil
}

func (a *pgApply) normalizeGone(ctx context.Context, ix dbindex.Index) dbindex.Index {
	if n, err := normalize(ctx, a.ctl, a.d, []dbindex.Index{ix}); err == nil {
		return n[0]
	}
	return ix
}

// connect pins a connection for DDL. Builds wait for locks and old snapshots as long
// as it takes, since a timeout there leaves an invalid index; ctx bounds them.
func (a *pgApply) connect(ctx context.Context) error {
	err := a.open(ctx, &a.work)
	if err != nil {
		return err
	}
	if err := a.work.QueryRowContext(ctx, `SELECT pg_backend_pid()`).Scan(&a.pid); err != nil {
		return fmt.Errorf("dbindex/live: connect: %w", err)
	}
	a.oldWrk, err = lift(ctx, a.work, "lock_timeout", "statement_timeout", "transaction_timeout", "idle_session_timeout")
	return err
}

// lift turns off the limits that the server knows, and returns what they were.
func lift(ctx context.Context, conn *sql.Conn, names ...string) (old map[string]string, err error) {
	old = map[string]string{}
	for _, name := range names {
		var v sql.NullString
		if err := conn.QueryRowContext(ctx, `SELECT current_setting($1, true)`, name).Scan(&v); err != nil {
			return old, fmt.Errorf("dbindex/live: read setting %s: %w", name, err)
		}
		if !v.Valid {
			continue // of a later version
		}
		old[name] = v.String
		if err := set(ctx, conn, name, "0"); err != nil {
			return old, err
		}
	}
	return old, nil
}

// restore undoes lift before the connection returns to the pool.
func restore(ctx context.Context, conn *sql.Conn, old map[string]string) {
	for name, v := range old {
		if set(ctx, conn, name, v) != nil {
			_ = conn.Raw(func(any) error { return errBadConn })
			return
		}
	}
}

func set(ctx context.Context, conn *sql.Conn, name, value string) error {
	if _, err := conn.ExecContext(ctx, `SELECT set_config($1, $2, false)`, name, value); err != nil {
		return fmt.Errorf("dbindex/live: change setting %s: %w", name, err)
	}
	return nil
}

// disconnect gives the connection back to the pool as it was.
func (a *pgApply) disconnect(ctx context.Context) {
	if a.work == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.o.CleanupTimeout)
	defer cancel()
	restore(ctx, a.work, a.oldWrk)
	_ = a.work.Close()
	a.work, a.oldWrk = nil, nil
}

// alive replaces a work connection whose server process is gone.
func (a *pgApply) alive(ctx context.Context) error {
	if a.work != nil && answers(ctx, a.work) {
		return nil
	}
	a.disconnect(ctx)
	return a.connect(ctx)
}

// step brings one step about.
func (a *pgApply) step(ctx context.Context, i int, s *StepReport) (Outcome, error) {
	switch s.Step.Op {
	case dbindex.Create:
		return a.create(ctx, s, s.Step.Index, a.normal[i])
	case dbindex.Drop:
		return a.drop(ctx, s, a.normal[i])
	case dbindex.Rename:
		return a.rename(ctx, s, s.Step.Index, a.normal[i], nameOf(s.Step.Old), a.normalOld[i])
	}
	return a.replace(ctx, i, s)
}

// replace builds under a temporary name, drops the old definition, renames. Each part
// finds out by itself whether an earlier run has done it.
func (a *pgApply) replace(ctx context.Context, i int, s *StepReport) (Outcome, error) {
	name, want, old := nameOf(s.Step.Index), a.normal[i], a.normalOld[i]
	tmp, tmpWant := s.Step.Index, want
	tmp.Name = s.Step.TempName()
	tmpWant.Name = tmp.Name
	have, err := a.find(ctx, want, name)
	if err != nil {
		return Failed, err
	}
	if have != nil && have.index.Equivalent(a.d, want) && have.Valid {
		_, err := a.dropInvalid(ctx, tmpWant) // a leftover of a cancelled run
		return Present, err
	}
	if have != nil && have.Kind == "I" && !have.owned() && have.index.Equivalent(a.d, want) {
		return a.create(ctx, s, s.Step.Index, want) // half a tree: what is attached stays
	}
	if have != nil && (!have.index.Equivalent(a.d, old) && !have.index.Equivalent(a.d, want) || have.owned()) {
		return Failed, conflict(a.d, have.index, s.Step.Old)
	}
	if _, err := a.create(ctx, s, tmp, tmpWant); err != nil {
		return Failed, err
	}
	if have != nil {
		s.Repaired = s.Repaired || !have.Valid
		if _, err := a.drop(ctx, s, have.index); err != nil {
			return Failed, err
		}
	}
	return a.rename(ctx, s, s.Step.Index, want, tmp.Name, tmpWant)
}

// find returns the live index called name in the schema of ix, or nil.
func (a *pgApply) find(ctx context.Context, ix dbindex.Index, name string) (*pgIndex, error) {
	var o InspectOptions
	if ix.Schema != "" {
		o.Schemas = []string{ix.Schema}
	}
	list, err := readPostgres(ctx, a.ctl, a.d, o, name)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	p := &list[0]
	if p.err != nil {
		return nil, &ConflictError{Name: name, Have: p.SQL, Want: "a definition that this package can read"}
	}
	return p, nil
}

// create makes ix exist and be valid, or be absent.
func (a *pgApply) create(ctx context.Context, s *StepReport, ix, want dbindex.Index) (Outcome, error) {
	name := nameOf(ix)
	for {
		if s.Attempts > 0 {
			if err := a.control(ctx); err != nil {
				return Failed, err
			}
		}
		have, err := a.find(ctx, want, name)
		switch {
		case err != nil:
			return Failed, err
		case have != nil && !have.index.Equivalent(a.d, want):
			return Failed, conflict(a.d, have.index, ix) // also an invalid one: it is not ours
		case have != nil && have.Valid && s.Attempts == 0:
			return Present, nil
		case have != nil && have.Valid:
			return Done, nil
		case have != nil && have.Kind != "I":
			dropped, err := a.dropInvalid(ctx, want)
			if err != nil {
				return Failed, err
			}
			s.Repaired = s.Repaired || dropped
			continue
		}
		if s.Attempts >= a.o.Attempts {
			return Failed, fmt.Errorf("no attempt of %d left it valid", s.Attempts)
		}
		err = a.build(ctx, s, ix, want)
		if err == nil {
			continue // find it valid, or repair it
		}
		if err = a.failed(ctx, ix, want, err); err != nil && (!retryable(err) || s.Attempts >= a.o.Attempts) {
			return Failed, err
		}
		if err := pause(ctx, retryPause); err != nil {
			return Failed, err
		}
	}
}

// build runs the CREATE statement once, or those of a partitioned table.
func (a *pgApply) build(ctx context.Context, s *StepReport, ix, want dbindex.Index) error {
	if !a.plan.Blocking {
		parted, err := a.partitioned(ctx, ix)
		if err != nil {
			return err
		}
		if parted {
			return a.buildPartitioned(ctx, s, ix, want)
		}
	}
	st, err := dbindex.Step{Op: dbindex.Create, Index: ix}.Statements(a.d, !a.plan.Blocking)
	if err != nil {
		return err
	}
	return a.run(ctx, s, st[0].SQL, !a.plan.Blocking)
}

// failed removes what a failed build left, and returns the error to report.
func (a *pgApply) failed(ctx context.Context, ix, want dbindex.Index, cause error) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.o.CleanupTimeout)
	defer cancel()
	err := a.control(clean)
	if err == nil {
		_, err = a.dropInvalid(clean, want)
	}
	if err != nil {
		return errors.Join(cause, &InvalidError{Name: nameOf(ix), Cause: err})
	}
	if sqlState(cause) == "23505" {
		return &UniqueError{Name: nameOf(ix), Cause: cause}
	}
	return cause
}

// busyQuery tells whether another process holds the lock that builds hold.
const busyQuery = `SELECT EXISTS (SELECT FROM pg_locks l LEFT JOIN pg_stat_activity s ON s.pid = l.pid
WHERE l.locktype = 'relation' AND l.relation = $1::bigint::oid AND l.granted AND l.mode = 'ShareUpdateExclusiveLock'
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND l.pid <> $2::bigint AND coalesce(s.backend_type, '') <> 'autovacuum worker')`

// dropInvalid removes the index called want.Name if it is invalid and nobody is
// building it. It reports whether it did.
func (a *pgApply) dropInvalid(ctx context.Context, want dbindex.Index) (bool, error) {
	for try := 0; ; try++ {
		have, err := a.find(ctx, want, want.Name)
		if err != nil || have == nil || have.Valid {
			return false, err
		}
		if have.owned() || !have.index.Equivalent(a.d, want) {
			return false, conflict(a.d, have.index, want)
		}
		var busy bool // DROP would wait for a build to end, and then drop a valid index
		err = a.ctl.QueryRowContext(ctx, busyQuery, have.Rel, a.pid).Scan(&busy)
		if err != nil {
			return false, fmt.Errorf("read locks: %w", err)
		}
		if !busy {
			if err = a.alive(ctx); err == nil {
				err = a.dropNow(ctx, have.index, have.Kind == "I")
			}
			if err == nil {
				return true, nil
			}
			if ctx.Err() != nil || try >= 10 {
				return false, err
			}
		}
		if err := pause(ctx, retryPause); err != nil {
			return false, err
		}
	}
}

// dropNow drops an index that is of no use. That of a table with partitions cannot be
// dropped concurrently.
func (a *pgApply) dropNow(ctx context.Context, ix dbindex.Index, split bool) error {
	how := `DROP INDEX CONCURRENTLY IF EXISTS `
	if split {
		how = `DROP INDEX IF EXISTS `
		if err := set(ctx, a.work, "lock_timeout", strconv.FormatInt(max(1, a.o.DDLLockTimeout.Milliseconds()), 10)); err != nil {
			return err
		}
		defer func() { _ = set(context.WithoutCancel(ctx), a.work, "lock_timeout", "0") }()
	}
	_, err := a.work.ExecContext(ctx, how+qualified(ix.Schema, nameOf(ix)))
	return err
}

// drop removes an index of the given definition, or finds it gone.
func (a *pgApply) drop(ctx context.Context, s *StepReport, want dbindex.Index) (Outcome, error) {
	for tries := 0; ; {
		have, err := a.find(ctx, want, nameOf(want))
		if err != nil {
			return Failed, err
		}
		if have == nil {
			if tries == 0 {
				return Present, nil
			}
			return Done, nil
		}
		if have.owned() || !have.index.Equivalent(a.d, want) {
			return Failed, conflict(a.d, have.index, want)
		}
		if tries++; tries > a.o.Attempts {
			return Failed, fmt.Errorf("still there after %d attempts", a.o.Attempts)
		}
		online := !a.plan.Blocking && have.Kind != "I"
		st, err := dbindex.Step{Op: dbindex.Drop, Index: have.index}.Statements(a.d, online)
		if err != nil {
			return Failed, err
		}
		err = a.run(ctx, s, st[0].SQL, online)
		if err != nil && (!retryable(err) || tries >= a.o.Attempts) {
			return Failed, a.failed(ctx, want, want, err) // a cancelled drop leaves it invalid
		}
	}
}

// rename gives the index called from the name of ix.
func (a *pgApply) rename(ctx context.Context, s *StepReport, ix, want dbindex.Index, from string, old dbindex.Index) (Outcome, error) {
	for tries := 0; ; {
		src, err := a.find(ctx, old, from)
		if err != nil {
			return Failed, err
		}
		dst, err := a.find(ctx, want, nameOf(ix))
		switch {
		case err != nil:
			return Failed, err
		case dst != nil && !dst.index.Equivalent(a.d, want):
			return Failed, conflict(a.d, dst.index, ix)
		case dst != nil && src == nil && tries == 0:
			return Present, nil
		case dst != nil && src == nil:
			return Done, nil
		case dst != nil:
			return Failed, fmt.Errorf("both %q and %q exist", from, nameOf(ix))
		case src == nil:
			return Failed, fmt.Errorf("index %q is not there", from)
		case !src.index.Equivalent(a.d, want):
			return Failed, conflict(a.d, src.index, ix)
		}
		if tries++; tries > a.o.Attempts {
			return Failed, fmt.Errorf("no attempt of %d got the lock", a.o.Attempts)
		}
		st, err := dbindex.Step{Op: dbindex.Rename, Index: ix, Old: src.index}.Statements(a.d, false)
		if err != nil {
			return Failed, err
		}
		if err := a.run(ctx, s, st[0].SQL, false); err != nil && (!retryable(err) || tries >= a.o.Attempts) {
			return Failed, err
		}
	}
}

// retryable reports whether trying again can help: deadlock, lock timeout, name taken
// in a race, lost connection.
func retryable(err error) bool {
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		return false
	}
	return slices.Contains([]string{"40P01", "55P03", "42P07", "57P01", "57P02", "08006", "08003"}, sqlState(err)) || errors.Is(err, errBadConn)
}
