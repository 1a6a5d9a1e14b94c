package advisor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// Toggle builds every candidate for real in a scratch copy of a PostgreSQL database
// and shows or hides it from the planner by pg_index.indisvalid. It needs no extension,
// knows all access methods and their true sizes, and can run queries with and without
// an index, so it also serves [Verify].
type Toggle struct {
	*postgres
	built   map[int]built     // by candidate
	bySQL   map[string]int    // candidates that are built, by definition
	names   map[string]string // proposed names by those in plans
	flipped map[string]bool   // oids whose state differs from the committed one
	inTx    bool
	stale   bool // prepared statements may hold plans from before the last flip
	flips   int
	timeout time.Duration
}

// built is an index of ours: not valid unless flipped.
type built struct {
	oid, name string
	bytes     int64
}

// inUse tells who else works with the database: sessions that are not idle, or that are
// those of other programs, users and machines than this session, and standbys that
// follow the server.
const inUse = `SELECT coalesce((SELECT 'a standby follows the server' FROM pg_stat_replication LIMIT 1),
  (SELECT 'a session of ' || coalesce(nullif(o.application_name, ''), 'a program without name') || ' by ' || o.usename || ' is there, ' || coalesce(o.state, 'at work')
   FROM pg_stat_activity o, pg_stat_activity me
   WHERE me.pid = pg_backend_pid() AND o.datid = me.datid AND o.pid <> me.pid AND o.backend_type = 'client backend' AND NOT
     (o.usesysid = me.usesysid AND o.application_name = me.application_name AND o.client_addr IS NOT DISTINCT FROM me.client_addr AND coalesce(o.state, '') IN ('', 'idle'))
   LIMIT 1), '')`

// leftovers are indexes of a Toggle whose program was killed.
const leftovers = `SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relname ~ '^perfblocks_whatif_[0-9-]+$' AND NOT i.indisvalid`

// NewToggle pins one connection of db. To show that the database is a copy that may be
// changed at will, scratch repeats its name. Another name, a user that is no superuser,
// a standby, a server that standbys follow, and a database in which others work give an
// error that matches [ErrPrimary] and says which. What an earlier Toggle left when its
// program was killed is dropped. Close drops what was built.
func NewToggle(ctx context.Context, db *sql.DB, scratch string) (*Toggle, error) {
	p, err := newPostgres(ctx, db)
	if err != nil {
		return nil, err
	}
	t := &Toggle{postgres: p, built: map[int]built{}, bySQL: map[string]int{}, names: map[string]string{}, flipped: map[string]bool{}}
	var name, others string
	var super, standby bool
	err = p.conn.QueryRowContext(ctx, `SELECT current_database()::text, rolsuper, pg_is_in_recovery() FROM pg_roles WHERE rolname = current_user`).Scan(&name, &super, &standby)
	if err == nil {
		err = p.conn.QueryRowContext(ctx, inUse).Scan(&others)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("dbindex/advisor: read server: %w", err)
	case name != scratch:
		err = fmt.Errorf("%w: connected to %q, the scratch database is to be %q", ErrPrimary, cut(name, 70), cut(scratch, 70))
	case !super:
		err = fmt.Errorf("%w: hiding indexes needs a superuser, which a scratch server has", ErrPrimary)
	case standby:
		err = fmt.Errorf("%w: a standby cannot build indexes", ErrPrimary)
	case others != "":
		err = fmt.Errorf("%w: %s", ErrPrimary, cut(others, 200))
	default:
		if err = t.sweep(ctx); err != nil {
			break
		}
		err = p.exec(ctx, `SET synchronous_commit = off`, `SET maintenance_work_mem = '256MB'`, `SET lock_timeout = '60s'`)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return t, nil
}

// sweep drops leftovers.
func (t *Toggle) sweep(ctx context.Context) error {
	var names []string
	err := t.rows(ctx, leftovers, nil, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	})
	for _, name := range names {
		err = errors.Join(err, t.exec(ctx, `DROP INDEX IF EXISTS `+name))
	}
	return err
}

func (t *Toggle) confidence() Confidence { return Estimated }
func (t *Toggle) canHide() bool          { return true }

// Close drops the indexes that were built and ends the session.
func (t *Toggle) Close() error {
	if t.closed {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// A context that ended has closed the connection, and the server has rolled back what
	// it flipped: then this fails, and the pool gives another connection.
	_ = t.rollback(ctx)
	err := t.postgres.Close()
	var names []string
	for _, b := range t.built {
		names = append(names, b.name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if _, e := t.db.ExecContext(ctx, `DROP INDEX IF EXISTS `+name); e != nil {
			err = errors.Join(err, fmt.Errorf("dbindex/advisor: drop %s: %w", name, e))
		}
	}
	return err
}

// rollback ends the transaction in which states are flipped.
func (t *Toggle) rollback(ctx context.Context) error {
	if !t.inTx {
		return nil
	}
	t.inTx, t.flips, t.stale = false, 0, true
	clear(t.flipped)
	return t.exec(ctx, `ROLLBACK`)
}

func (t *Toggle) tables(ctx context.Context, q Query) (*catalog, error) {
	if err := t.use(ctx, config{}); err != nil {
		return t.c, err
	}
	plan, err := t.explain(ctx, q, firstArgs(q))
	if err == nil {
		err = t.load(ctx, plan)
	}
	if err != nil {
		err = errors.Join(err, t.rollback(ctx))
	}
	return t.c, err
}

// prepare builds a candidate, hidden from everybody.
func (t *Toggle) prepare(ctx context.Context, c *candidate) (int64, error) {
	if err := t.rollback(ctx); err != nil {
		return 0, err
	}
	definition, err := c.index.SQL(t.c.dialect)
	if err != nil {
		return 0, err
	}
	if id, ok := t.bySQL[definition]; ok {
		t.built[c.id] = t.built[id]
		return t.built[id].bytes, nil
	}
	ix := c.index
	ix.Name = "perfblocks_whatif_" + strconv.Itoa(c.id)
	text, err := ix.SQL(t.c.dialect)
	if err != nil {
		return 0, err
	}
	schema := ix.Schema
	if schema == "" {
		schema = t.c.current
	}
	b := built{name: quoteIdent(schema) + "." + quoteIdent(ix.Name)}
	t.built[c.id] = b // before it is there: Close drops what a failure leaves
	if err := t.exec(ctx, `DROP INDEX IF EXISTS `+b.name, text); err != nil {
		return 0, err
	}
	var size int64
	if err := t.conn.QueryRowContext(ctx, `UPDATE pg_index SET indisvalid = false WHERE indexrelid = $1::text::regclass RETURNING indexrelid::oid::text, pg_relation_size(indexrelid)`,
		b.name).Scan(&b.oid, &size); err != nil {
		return 0, fmt.Errorf("dbindex/advisor: hide index: %w", err)
	}
	b.bytes = size
	t.built[c.id], t.names[ix.Name], t.bySQL[definition] = b, c.index.Name, c.id
	if slices.ContainsFunc(ix.Keys, func(k dbindex.Key) bool { return k.Expr != "" }) {
		// Only then does the planner know how many values the expression has.
		return size, t.exec(ctx, `ANALYZE `+t.from(t.c.of(ix)))
	}
	return size, nil
}

// use shows exactly the indexes of a choice, and hides existing ones.
func (t *Toggle) use(ctx context.Context, cfg config) error {
	want := map[string]bool{}
	for _, c := range cfg.with {
		want[t.built[c.id].oid] = true
	}
	for _, h := range cfg.hidden {
		want[t.existing(h)] = true
	}
	var flip []string
	for oid := range want {
		if !t.flipped[oid] {
			flip = append(flip, oid)
		}
	}
	for oid := range t.flipped {
		if !want[oid] {
			flip = append(flip, oid)
		}
	}
	if t.flips > 1000 { // old versions of the rows slow the catalog down
		if err := t.rollback(ctx); err != nil {
			return err
		}
		flip = slices.Collect(maps.Keys(want))
	}
	if !t.inTx {
		if err := t.exec(ctx, `BEGIN`); err != nil {
			return err
		}
		t.inTx = true
	}
	if len(flip) == 0 {
		return nil
	}
	t.flips += len(flip)
	if err := t.exec(ctx, `UPDATE pg_index SET indisvalid = NOT indisvalid WHERE indexrelid IN (`+strings.Join(flip, ",")+`)`); err != nil {
		return errors.Join(err, t.rollback(ctx))
	}
	t.flipped, t.stale = want, true
	return nil
}

// existing is the oid of an index that was there before, as text that a list of oids
// may hold.
func (t *Toggle) existing(ix dbindex.Index) string {
	schema := ix.Schema
	if schema == "" {
		schema = t.c.current
	}
	name := quoteIdent(schema) + "." + quoteIdent(ix.Name)
	return `'` + strings.ReplaceAll(name, `'`, `''`) + `'::regclass`
}

func (t *Toggle) estimate(ctx context.Context, q Query, args []any, cfg config) (estimate, error) {
	if err := t.use(ctx, cfg); err != nil {
		return estimate{}, err
	}
	plan, err := t.explain(ctx, q, args)
	if err != nil {
		return estimate{}, errors.Join(err, t.rollback(ctx))
	}
	e := t.read(plan, q)
	for i, name := range e.used {
		if n := t.names[name]; n != "" {
			e.used[i] = n
		}
	}
	return e, nil
}

// run times one execution under the choice that is in use, the result read to its end.
// What it writes is undone.
func (t *Toggle) run(ctx context.Context, q Query, args []any) (d time.Duration, err error) {
	text, _, ok := oneStatement(q.SQL)
	if !ok {
		return 0, fmt.Errorf("dbindex/advisor: run %s: not one statement", cut(q.Name, 60))
	}
	if t.stale { // a statement without parameters is not planned again because of an index
		if err := t.exec(ctx, `DISCARD PLANS`); err != nil {
			return 0, err
		}
		t.stale = false
	}
	if err := t.exec(ctx, `SAVEPOINT perfblocks_run`, fmt.Sprintf(`SET LOCAL statement_timeout = %d`, t.timeout.Milliseconds())); err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, t.exec(ctx, `ROLLBACK TO SAVEPOINT perfblocks_run`, `RELEASE SAVEPOINT perfblocks_run`))
	}()
	start := time.Now()
	rows, err := t.conn.QueryContext(ctx, text, args...)
	if err == nil {
		for rows.Next() {
		}
		d = time.Since(start)
		err = errors.Join(rows.Err(), rows.Close())
	}
	if err != nil {
		if time.Since(start) >= t.timeout && ctx.Err() == nil {
			return t.timeout, nil
		}
		return 0, fmt.Errorf("dbindex/advisor: run %s: %w", cut(q.Name, 60), err)
	}
	return d, nil
}

func (t *Toggle) unknown(toks []token) int { return params(toks) }

func (p *postgres) sizeOf(ix dbindex.Index) int64 { return p.c.of(ix).sizes[ix.Name] }
