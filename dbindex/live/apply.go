package live

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// Options configures [Apply]. The zero value is ready to use.
type Options struct {
	// Name goes into log records, to tell several databases apart. Default "dbindex".
	Name string
	// Disabled makes Apply return at once with every step NotRun.
	Disabled bool
	// LockKey is the advisory lock (of MariaDB: part of the named lock) that racing replicas compete for.
	// Default: a constant of this package; the lock is per database.
	LockKey int64
	// LockWait bounds the wait for other replicas to finish, then Apply returns
	// [ErrLocked]. Default 10 minutes; negative tries once.
	LockWait time.Duration
	// Attempts bounds the tries for one index after deadlocks, lock timeouts and lost
	// connections. Default 3, range 1 to 100.
	Attempts int
	// DDLLockTimeout bounds how long a blocking statement (a rename, and each one of
	// a Blocking plan) may queue for its lock and so hold up all queries behind it;
	// then it is tried again. Default 2 seconds, at most 24 days. On MariaDB, which counts
	// in seconds, it holds for every statement.
	DDLLockTimeout time.Duration
	// FreeBytes is how much disk the new indexes may take, in bytes, which the server
	// cannot tell. When the estimate is higher, Apply changes nothing and returns a
	// [*SpaceError]. Zero: not checked. PostgreSQL only.
	FreeBytes int64
	// CleanupTimeout bounds the work after an error or a cancelled ctx, when an
	// unfinished index is removed. Default 30 seconds.
	CleanupTimeout time.Duration
	// ProgressEvery is the time between calls of Hooks.Progress. Default 1 second.
	ProgressEvery time.Duration
	// Hooks observes the run. Nil funcs are not called.
	Hooks Hooks
	// Logger receives one record for each step that ran. Nil is silent.
	Logger *slog.Logger
}

// Hooks is a set of optional callbacks of [Apply]. They run on its goroutine, except
// Progress, which runs on a second one while a step runs; none after Apply returned. A
// hook that uses the same *sql.DB needs connections beyond those that Apply holds,
// and on SQLite it must not write. A panic reaches the caller of Apply after the locks
// are given back.
type Hooks struct {
	// Preflight is called once before the first step (PostgreSQL and MariaDB).
	Preflight func(Preflight)
	// Waiting is called before each pause in which another process holds the lock.
	Waiting func(waited time.Duration)
	// Started is called before each step that has something to do.
	Started func(step dbindex.Step)
	// Progress is called while an index is built (PostgreSQL 12 and newer, MariaDB).
	Progress func(Progress)
	// Finished is called after each step, also for steps with nothing to do. On SQLite
	// that is before the commit: a later failure takes back what was done.
	Finished func(StepReport)
}

// Progress is one reading of pg_stat_progress_create_index, or of MariaDB's process
// list, which knows hundredths in place of blocks.
type Progress struct {
	Step        dbindex.Step  // the step that runs
	Elapsed     time.Duration // since the statement began
	Phase       string        // as the server names it, such as "building index: scanning table"
	BlocksDone  int64         // table blocks read in this phase
	BlocksTotal int64         // table blocks of this phase, 0 when it has none
	WaitingFor  int64         // process id whose transaction holds up the build, or 0
}

// Outcome is how a step of a plan ended.
type Outcome uint8

// The outcomes.
const (
	NotRun  Outcome = iota // Disabled, or an earlier error stopped the run
	Done                   // the step changed the database
	Present                // the database was already as the step wants it
	Failed                 // see StepReport.Err
)

var outcomeNames = [...]string{"not run", "done", "present", "failed"}

// String returns "not run", "done", "present" or "failed".
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprint(uint8(o))
}

// MarshalText writes the name that [Outcome.String] gives; a value outside the
// declared ones gives an error matching [ErrOptions].
func (o Outcome) MarshalText() ([]byte, error) {
	if int(o) >= len(outcomeNames) {
		return nil, fmt.Errorf("%w: outcome %d is not defined", ErrOptions, o)
	}
	return []byte(outcomeNames[o]), nil
}

// UnmarshalText reads the names that [Outcome.String] gives; others give an error
// matching [ErrOptions] and leave the value as it was.
func (o *Outcome) UnmarshalText(text []byte) error {
	for i, n := range outcomeNames {
		if n == string(text) {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("%w: outcome %q: want one of %q", ErrOptions, text, outcomeNames)
}

// StepReport tells how one step ended.
type StepReport struct {
	Step     dbindex.Step  // as in the plan
	Outcome  Outcome       // how it ended
	Attempts int           // statements tried for it; 0 when there was nothing to do
	Repaired bool          // an invalid leftover of the same name was removed first
	Duration time.Duration // time spent on it
	Err      error         // nil unless Failed
}

// Report tells how a run of [Apply] ended. Steps has one entry for each step of the
// plan, in its order. It belongs to the caller.
type Report struct {
	Dialect dbindex.Dialect // of the plan
	Waited  time.Duration   // for other processes to finish
	Before  Preflight       // what was found before the first step
	Steps   []StepReport    // one for each step of the plan
}

// Count returns how many steps ended in the outcome.
func (r *Report) Count(o Outcome) (n int) {
	for _, s := range r.Steps {
		if s.Outcome == o {
			n++
		}
	}
	return n
}

// Err joins the errors of the failed steps; nil when none failed.
func (r *Report) Err() error {
	errs := make([]error, 0, len(r.Steps))
	for _, s := range r.Steps {
		errs = append(errs, s.Err)
	}
	return errors.Join(errs...)
}

// maxLockTimeout is what fits into the server's setting, in whole days.
const maxLockTimeout = 24 * 24 * time.Hour

func (o Options) withDefaults() (Options, error) {
	var errs []error
	def := func(name string, v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		} else if *v < 0 {
			errs = append(errs, fmt.Errorf("%w: %s %v is negative", ErrOptions, name, *v))
		}
	}
	def("DDLLockTimeout", &o.DDLLockTimeout, 2*time.Second)
	def("CleanupTimeout", &o.CleanupTimeout, 30*time.Second)
	def("ProgressEvery", &o.ProgressEvery, time.Second)
	if o.DDLLockTimeout > maxLockTimeout {
		errs = append(errs, fmt.Errorf("%w: DDLLockTimeout %v is above %v", ErrOptions, o.DDLLockTimeout, maxLockTimeout))
	}
	if o.LockWait == 0 {
		o.LockWait = 10 * time.Minute
	}
	if o.LockKey == 0 {
		o.LockKey = 0x6462696e64657831 // "dbindex1"
	}
	if o.Attempts == 0 {
		o.Attempts = 3
	}
	if o.FreeBytes < 0 {
		errs = append(errs, fmt.Errorf("%w: FreeBytes %d is negative", ErrOptions, o.FreeBytes))
	}
	if o.Attempts < 1 || o.Attempts > 100 {
		errs = append(errs, fmt.Errorf("%w: Attempts %d is outside 1 to 100", ErrOptions, o.Attempts))
	}
	if o.Name == "" {
		o.Name = "dbindex"
	}
	return o, errors.Join(errs...)
}

// Apply carries out a plan on a PostgreSQL, MariaDB or SQLite database and reports how each
// step ended. The report is never nil once the options are right; the error joins
// what failed, so that a nil error means the database is as the plan wants it.
//
// Applying a plan again, or from many replicas at once, is safe: the catalog is the
// only state, and what is already there is Present. On PostgreSQL each index is built
// CONCURRENTLY unless the plan says Blocking, an invalid leftover is replaced, and an
// index that fails, or is cancelled through ctx, is removed before Apply returns;
// other steps go on. On MariaDB each statement is online (LOCK=NONE) unless the plan says
// Blocking, and is refused by the server where that cannot be; a cancelled one is
// rolled back. Both need two connections of the pool. On SQLite all steps share one
// transaction: either all happen or none.
//
// Errors: [ErrOptions], [ErrLocked], [ErrPooler], [*SpaceError], [*ConflictError],
// [*UniqueError], [*InvalidError], [*dbindex.FeatureError], ctx's error, and what the driver returns.
func Apply(ctx context.Context, db *sql.DB, plan dbindex.Plan, o Options) (*Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if _, err := plan.Statements(); err != nil {
		return nil, err
	}
	r := &Report{Dialect: plan.Dialect}
	for _, s := range plan.Steps {
		r.Steps = append(r.Steps, StepReport{Step: s})
	}
	if o.Disabled || plan.Empty() {
		return r, nil
	}
	server, err := Detect(ctx, db)
	if err != nil {
		return r, withCause(ctx, err)
	}
	if server.Name() != plan.Dialect.Name() {
		return r, fmt.Errorf("%w: the plan is for %s, the server is %s", ErrOptions, plan.Dialect, server)
	}
	r.Before.Server = server
	if err := checkVersion(server, plan); err != nil {
		return r, err
	}
	switch server.Name() {
	case "postgres":
		err = applyPostgres(ctx, db, plan, o, r)
	case "sqlite":
		err = applySQLite(ctx, db, plan, o, r)
	case "mariadb":
		err = applyMariaDB(ctx, db, plan, o, r)
	default:
		return r, unsupported(server, "Apply")
	}
	return r, withCause(ctx, errors.Join(err, r.Err()))
}

// withCause makes an error of a cancelled run match ctx.Err and carry its cause.
func withCause(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if !errors.Is(err, ctx.Err()) {
		err = errors.Join(ctx.Err(), err)
	}
	if c := context.Cause(ctx); c != nil && !errors.Is(err, c) {
		err = errors.Join(err, c)
	}
	return err
}

// finish fills in the report of a step and tells hooks and log.
func (o Options) finish(ctx context.Context, s *StepReport, start time.Time, out Outcome, err error) {
	s.Outcome, s.Err, s.Duration = out, err, time.Since(start)
	if err != nil {
		s.Outcome = Failed
		s.Err = fmt.Errorf("dbindex/live: %s index %q: %w", s.Step.Op, nameOf(s.Step.Index), err)
	}
	if o.Logger != nil {
		level := slog.LevelInfo
		if err != nil {
			level = slog.LevelError
		}
		o.Logger.LogAttrs(context.WithoutCancel(ctx), level, "index step", slog.String("name", o.Name),
			slog.String("op", s.Step.Op.String()), slog.String("index", nameOf(s.Step.Index)),
			slog.String("outcome", s.Outcome.String()), slog.Int("attempts", s.Attempts),
			slog.Bool("repaired", s.Repaired), slog.Duration("duration", s.Duration))
	}
	if f := o.Hooks.Finished; f != nil {
		f(*s)
	}
}

// pause sleeps between tries, with jitter, so that replicas do not march in step.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// poll calls try until it succeeds, fails, or wait is over.
func (o Options) poll(ctx context.Context, try func() (bool, error)) (waited time.Duration, err error) {
	start := time.Now()
	for {
		ok, err := try()
		waited = time.Since(start)
		if ok || err != nil {
			return waited, err
		}
		if o.LockWait < 0 || waited >= o.LockWait {
			return waited, ErrLocked
		}
		if f := o.Hooks.Waiting; f != nil {
			f(waited)
		}
		if err := pause(ctx, retryPause); err != nil {
			return time.Since(start), err
		}
	}
}

// retryPause is the mean time between two tries.
const retryPause = 200 * time.Millisecond
