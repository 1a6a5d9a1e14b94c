package advisor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/perfblocks/perfblocks/dbindex"
)

// HypoPGOptions configures [NewHypoPG].
type HypoPGOptions struct {
	// AllowPrimary permits a server that takes writes. The extension lives in a backend
	// process of that server, and a fault in it ends all sessions. Default: standbys
	// only.
	AllowPrimary bool
}

// HypoPG asks PostgreSQL with the extension hypopg: indexes exist for the planner of
// one session only, so it takes seconds and no space. It knows btree, hash and BRIN;
// sizes are estimates of this package, for those of hypopg are several times too big.
type HypoPG struct {
	*postgres
	made  map[int]uint32 // hypothetical indexes that exist now, by candidate
	names map[string]int // candidates by the name in plans
}

// NewHypoPG pins one connection of db, whose database must have the extension. It
// returns an error matching [ErrPrimary] on a server that is no standby, unless the
// options allow it.
func NewHypoPG(ctx context.Context, db *sql.DB, o HypoPGOptions) (*HypoPG, error) {
	p, err := newPostgres(ctx, db)
	if err != nil {
		return nil, err
	}
	h := &HypoPG{postgres: p, made: map[int]uint32{}, names: map[string]int{}}
	if err := h.check(ctx, o); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return h, nil
}

func (h *HypoPG) check(ctx context.Context, o HypoPGOptions) error {
	var standby, installed bool
	err := h.conn.QueryRowContext(ctx, `SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_extension WHERE extname = 'hypopg')`).Scan(&standby, &installed)
	switch {
	case err != nil:
		return fmt.Errorf("dbindex/advisor: read server: %w", err)
	case !standby && !o.AllowPrimary:
		return fmt.Errorf("%w: the server takes writes: use a standby or a copy, or set AllowPrimary", ErrPrimary)
	case !installed:
		return fmt.Errorf("dbindex/advisor: extension hypopg: %w: run CREATE EXTENSION hypopg, or use NewToggle on a copy", errors.ErrUnsupported)
	}
	// No transaction stays open: its locks would stand in the way of DDL.
	return h.exec(ctx, `SELECT hypopg_reset()`, `SET default_transaction_read_only = on`)
}

func (h *HypoPG) confidence() Confidence { return Estimated }
func (h *HypoPG) canHide() bool          { return false }

func (h *HypoPG) tables(ctx context.Context, q Query) (*catalog, error) {
	plan, err := h.explain(ctx, q, firstArgs(q))
	if err == nil {
		err = h.load(ctx, plan)
	}
	return h.c, err
}

func firstArgs(q Query) []any {
	if len(q.Args) == 0 {
		return nil
	}
	return q.Args[0]
}

func (h *HypoPG) prepare(ctx context.Context, c *candidate) (int64, error) {
	t := h.c.of(c.index)
	switch c.index.Method {
	case dbindex.BRIN:
		return t.brinBytes(), h.create(ctx, c)
	case dbindex.BTree:
	default:
		return 0, &dbindex.FeatureError{Dialect: h.c.dialect, Index: c.index.Name, Feature: "hypothetical index of method " + c.index.Method.String(),
			Alternative: "use NewToggle on a copy of the database"}
	}
	n, err := h.entries(ctx, t, c.index)
	if err != nil {
		return 0, err
	}
	return t.btreeBytes(c.index, n), h.create(ctx, c)
}

// create makes a hypothetical index.
func (h *HypoPG) create(ctx context.Context, c *candidate) error {
	text, err := c.index.SQL(h.c.dialect)
	if err != nil {
		return err
	}
	var oid int64
	var name string
	if err := h.conn.QueryRowContext(ctx, `SELECT indexrelid::bigint, indexname::text FROM hypopg_create_index($1)`, text).Scan(&oid, &name); err != nil {
		return fmt.Errorf("dbindex/advisor: hypothetical index: %w", err)
	}
	h.made[c.id], h.names[name] = uint32(oid), c.id
	return nil
}

// use makes exactly the given indexes exist.
func (h *HypoPG) use(ctx context.Context, with []*candidate) error {
	for id, oid := range h.made {
		if !slices.ContainsFunc(with, func(c *candidate) bool { return c.id == id }) {
			if _, err := h.conn.ExecContext(ctx, `SELECT hypopg_drop_index($1)`, int64(oid)); err != nil {
				return fmt.Errorf("dbindex/advisor: hypothetical index: %w", err)
			}
			delete(h.made, id)
		}
	}
	for _, c := range with {
		if _, ok := h.made[c.id]; !ok {
			if err := h.create(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *HypoPG) estimate(ctx context.Context, q Query, args []any, cfg config) (estimate, error) {
	if err := h.use(ctx, cfg.with); err != nil {
		return estimate{}, err
	}
	plan, err := h.explain(ctx, q, args)
	if err != nil {
		return estimate{}, err
	}
	e := h.read(plan, q)
	for i, name := range e.used {
		for _, c := range cfg.with {
			if id, ok := h.names[name]; ok && c.id == id {
				e.used[i] = c.index.Name
			}
		}
	}
	return e, nil
}

// read takes from a plan what the search wants.
func (p *postgres) read(plan *node, q Query) estimate {
	return estimate{cost: plan.Cost, used: plan.indexes(), accesses: accesses(plan, literals(lex(q.SQL)), p.c)}
}
