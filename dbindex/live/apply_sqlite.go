package live

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// applySQLite runs all steps in one immediate transaction on a pinned connection.
func applySQLite(ctx context.Context, db *sql.DB, plan dbindex.Plan, o Options, r *Report) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("dbindex/live: connect: %w", err)
	}
	defer conn.Close()
	r.Waited, err = o.poll(ctx, func() (bool, error) {
		_, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`)
		if isBusy(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return errors.Join(fmt.Errorf("dbindex/live: begin: %w", err), rollBack(ctx, conn, o))
	}
	open := true // also when a hook panics, nothing may stay locked
	defer func() {
		if open {
			err = errors.Join(err, rollBack(ctx, conn, o))
		}
	}()
	for i := range r.Steps {
		s, start := &r.Steps[i], time.Now()
		out, err := sqliteStep(ctx, conn, plan.Dialect, o, s)
		o.finish(ctx, s, start, out, err)
		if err != nil {
			break
		}
	}
	if r.Err() == nil {
		// Interrupted, it would not tell whether it happened.
		if _, err = conn.ExecContext(context.WithoutCancel(ctx), `COMMIT`); err == nil {
			open = false
			return nil
		}
		err = fmt.Errorf("dbindex/live: commit: %w", err)
	}
	for i := range r.Steps {
		if r.Steps[i].Outcome == Done {
			r.Steps[i].Outcome = NotRun
		}
	}
	return err
}

// rollBack ends the transaction, and gives the connection up when it cannot.
func rollBack(ctx context.Context, conn *sql.Conn, o Options) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.CleanupTimeout)
	defer cancel()
	_, err := conn.ExecContext(ctx, `ROLLBACK`)
	if err == nil || strings.Contains(err.Error(), "no transaction is active") {
		return nil
	}
	_ = conn.Raw(func(any) error { return errBadConn })
	return fmt.Errorf("dbindex/live: roll back: %w", err)
}

// isBusy reports whether another connection holds the write lock: SQLITE_BUSY by
// code where the driver gives one, else by its text.
func isBusy(err error) bool {
	if err == nil {
		return false
	}
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return coded.Code()&0xff == 5
	}
	return strings.Contains(err.Error(), "database is locked")
}

func sqliteStep(ctx context.Context, conn *sql.Conn, d dbindex.Dialect, o Options, s *StepReport) (Outcome, error) {
	have, err := sqliteFind(ctx, conn, d, nameOf(s.Step.Index))
	if err != nil {
		return Failed, err
	}
	switch {
	case s.Step.Op == dbindex.Drop && have == nil:
		return Present, nil
	case s.Step.Op == dbindex.Drop || s.Step.Op == dbindex.Replace && have != nil && have.Equivalent(d, s.Step.Old):
		if want := cmpIndex(s.Step); have.Constraint != dbindex.NoConstraint || !have.Equivalent(d, want) {
			return Failed, conflict(d, *have, want)
		}
	case have != nil && have.Equivalent(d, s.Step.Index):
		if s.Step.Op == dbindex.Rename {
			break // the old name may still be there
		}
		return Present, nil
	case have != nil:
		return Failed, conflict(d, *have, s.Step.Index)
	}
	return sqliteRun(ctx, conn, d, o, s, have)
}

// cmpIndex is the definition that a step expects to find before it drops it.
func cmpIndex(s dbindex.Step) dbindex.Index {
	if s.Op == dbindex.Replace {
		return s.Old
	}
	return s.Index
}

// sqliteRun executes the step, leaving out what an earlier run has done.
func sqliteRun(ctx context.Context, conn *sql.Conn, d dbindex.Dialect, o Options, s *StepReport, have *dbindex.Index) (Outcome, error) {
	if s.Step.Op != dbindex.Drop {
		if c, err := missingColumn(ctx, conn, s.Step.Index); err != nil {
			return Failed, err
		} else if c != "" {
			return Failed, fmt.Errorf("%w: table %q has no column %q", dbindex.ErrIndex, s.Step.Index.Table, c)
		}
	}
	step := s.Step
	switch {
	case step.Op == dbindex.Replace && have == nil:
		step.Op = dbindex.Create
	case step.Op == dbindex.Rename:
		old, err := sqliteFind(ctx, conn, d, nameOf(step.Old))
		if err != nil {
			return Failed, err
		}
		switch {
		case old == nil && have != nil:
			return Present, nil
		case old == nil:
			step.Op = dbindex.Create
		case !old.Equivalent(d, step.Old):
			return Failed, conflict(d, *old, step.Old)
		case have != nil:
			step.Op, step.Index = dbindex.Drop, step.Old
		}
	}
	if f := o.Hooks.Started; f != nil {
		f(s.Step)
	}
	st, err := step.Statements(d, false)
	if err != nil {
		return Failed, err
	}
	s.Attempts = 1
	for _, one := range st {
		if _, err := conn.ExecContext(ctx, one.SQL); err != nil {
			if strings.Contains(err.Error(), "UNIQUE constraint failed") {
				err = &UniqueError{Name: nameOf(step.Index), Cause: err}
			}
			return Failed, err
		}
	}
	return Done, nil
}

// sqliteFind returns the index of that name, or nil.
func sqliteFind(ctx context.Context, q Querier, d dbindex.Dialect, name string) (*dbindex.Index, error) {
	tables, err := strings1(ctx, q, `SELECT tbl_name FROM sqlite_master WHERE type = 'index' AND name = ?1 COLLATE NOCASE`, name)
	if err != nil || len(tables) == 0 {
		return nil, err
	}
	s, err := inspectSQLite(ctx, q, d, InspectOptions{Tables: tables})
	if err != nil {
		return nil, err
	}
	for _, ix := range s.Indexes {
		if sqliteSame(ix.Name, name) {
			return &ix, nil
		}
	}
	for _, u := range s.Unknown {
		if sqliteSame(u.Name, name) {
			return nil, &ConflictError{Name: name, Have: u.SQL, Want: "a definition that this package can read"}
		}
	}
	return nil, nil
}

func conflict(d dbindex.Dialect, have, want dbindex.Index) error {
	e := &ConflictError{Name: have.Name}
	owner := have.Constraint
	have.Constraint, want.Constraint = dbindex.NoConstraint, dbindex.NoConstraint
	e.Have, _ = have.SQL(d)
	e.Want, _ = want.SQL(d)
	switch {
	case owner != dbindex.NoConstraint:
		e.Have += " (owned by a constraint: " + owner.String() + ")"
	case have.Referenced:
		e.Have += " (foreign keys or replication refer to it)"
	}
	return e
}
