package advisor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// Table describes a table to [NewHeuristic].
type Table struct {
	// Name as stored in the database, without quotes.
	Name string
	// Rows it holds or will hold. Zero means 100,000.
	Rows float64
	// Columns in order, at least one.
	Columns []Column
	// Indexes that exist, the primary key's too.
	Indexes []dbindex.Index
}

// Column describes a column to [NewHeuristic].
type Column struct {
	// Name as stored in the database, without quotes.
	Name string
	// Type in the dialect's words, such as "text" or "boolean". It decides on predicates
	// and operator classes; empty is some type without either.
	Type string
	// Distinct is the number of different values. Zero means a tenth of the rows.
	Distinct float64
}

// Heuristic judges indexes offline, from declared tables and the text of the queries,
// by rules of selectivity that no planner has confirmed. Its advice is [Unverified].
type Heuristic struct {
	c *catalog
}

// NewHeuristic returns a backend without database, for any dialect. The error matches
// [ErrOptions] for a zero dialect, a table without name or columns, or two of one name.
func NewHeuristic(d dbindex.Dialect, tables []Table) (*Heuristic, error) {
	var errs []error
	if _, err := d.MarshalText(); err != nil {
		errs = append(errs, fmt.Errorf("%w: dialect: %w", ErrOptions, err))
	}
	c := &catalog{dialect: d, tables: map[string]*table{}, opclass: map[string]string{
		"gin_trgm_ops": "gin_trgm_ops", "jsonb_path_ops": "jsonb_path_ops", "text_pattern_ops": "text_pattern_ops"}}
	for _, in := range tables {
		if in.Name == "" || len(in.Columns) == 0 || c.tables[tableKey("", in.Name)] != nil {
			errs = append(errs, fmt.Errorf("%w: table %q has no name, no columns, or is there twice", ErrOptions, cut(in.Name, 70)))
			continue
		}
		t := &table{name: in.Name, rows: in.Rows, byName: map[string]*column{}, fold: d.Name() != "postgres", indexes: in.Indexes}
		if t.rows <= 0 {
			t.rows = 1e5
		}
		t.pages = t.rows / 50
		for _, col := range in.Columns {
			t.addColumn(&column{name: col.Name, kind: col.Type, width: 16, distinct: col.Distinct})
		}
		c.tables[tableKey("", in.Name)] = t
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Heuristic{c: c}, nil
}

// addColumn adds a column under the name by which queries find it.
func (t *table) addColumn(c *column) {
	if c.distinct <= 0 {
		if c.distinct = max(t.rows/10, 1); strings.EqualFold(c.kind, "boolean") {
			c.distinct = 2
		}
	}
	t.columns = append(t.columns, c)
	name := c.name
	if t.fold {
		name = strings.ToLower(name)
	}
	t.byName[name] = c
}

// Close does nothing.
func (h *Heuristic) Close() error { return nil }

func (h *Heuristic) confidence() Confidence { return Unverified }
func (h *Heuristic) canHide() bool          { return false }

func (h *Heuristic) tables(context.Context, Query) (*catalog, error) { return h.c, nil }

func (h *Heuristic) prepare(_ context.Context, c *candidate) (int64, error) {
	t := h.c.of(c.index)
	switch c.index.Method {
	case dbindex.BTree:
		return t.btreeBytes(c.index, t.rows*t.share(c.index.Where != nil)), nil
	case dbindex.BRIN:
		return t.brinBytes(), nil
	}
	return int64(t.rows * 100), nil
}

// share is the part of the rows that a predicate is taken to keep.
func (t *table) share(partial bool) float64 {
	if partial {
		return 0.3
	}
	return 1
}

func (h *Heuristic) estimate(_ context.Context, q Query, _ []any, cfg config) (estimate, error) {
	_, toks, ok := oneStatement(q.SQL)
	if !ok {
		return estimate{}, fmt.Errorf("dbindex/advisor: read %s: not one statement", cut(q.Name, 60))
	}
	e := estimate{accesses: textAccesses(toks, h.c)}
	for _, a := range e.accesses {
		best, by := a.scanCost(), ""
		for _, ix := range a.table.indexes {
			if c := a.indexCost(ix); c < best && !ix.Invalid {
				best, by = c, ix.Name
			}
		}
		for _, c := range cfg.with {
			if h.c.of(c.index) != a.table {
				continue
			}
			if cost := a.indexCost(c.index); cost < best {
				best, by = cost, c.index.Name
			}
		}
		if e.cost += best; by != "" {
			e.used = append(e.used, by)
		}
	}
	return e, nil
}

// scanCost is the cost of reading all rows, and of sorting them.
func (a *access) scanCost() float64 {
	cost := a.table.pages + a.table.rows*0.01
	if len(a.orders) > 0 {
		cost += a.rows() * math.Log2(a.rows()+2) * 0.01
	}
	return cost
}

// rows is what is left of the table's rows after all conditions.
func (a *access) rows() float64 {
	n := a.table.rows
	for _, c := range a.conds {
		n *= a.selectivity(c)
	}
	return max(n, 1)
}

// selectivity is the share of rows that a condition keeps.
func (a *access) selectivity(c cond) float64 {
	switch {
	case c.or:
		return 1
	case c.op == opEq || c.op == opTrue || c.op == opFalse:
		return 1 / max(a.table.distinctOf([]dbindex.Key{c.key}), 1)
	case c.op == opRange || c.op == opNull:
		return 0.3
	case c.op == opPrefix || c.op == opSearch || c.op == opContain || c.op == opText:
		return 0.01
	}
	return 1
}

// indexCost is the cost of reading by an index, infinite when it cannot be used.
func (a *access) indexCost(ix dbindex.Index) float64 {
	share := 1.0
	if ix.Where != nil {
		var ok bool
		if share, ok = a.implies(ix.Where); !ok {
			return math.Inf(1)
		}
	}
	sel, used, sorted := 1.0, 0, false
	for _, k := range ix.Keys {
		c, ok := a.condOn(k, ix.Method)
		if !ok {
			sorted = a.sortsBy(ix.Keys[used:])
			break
		}
		sel *= a.selectivity(c)
		used++
		if c.op == opRange || c.op == opPrefix {
			break
		}
	}
	if used == 0 && !sorted {
		return math.Inf(1)
	}
	rows := a.table.rows * sel * share
	perRow := 0.5
	if a.within(ix) {
		perRow = 0.02
	}
	cost := 4 + math.Log2(a.table.rows+2)*0.1 + rows*perRow + 0.001*float64(len(ix.Keys)+len(ix.Include))
	if len(a.orders) > 0 && !sorted {
		cost += a.rows() * math.Log2(a.rows()+2) * 0.01
	}
	return cost
}

// implies reports whether the conditions hold a predicate of ours, and which share of
// the rows it keeps.
func (a *access) implies(p dbindex.Pred) (share float64, ok bool) {
	var have []dbindex.Pred
	all := 1.0
	for _, c := range a.conds {
		if c.pred == nil {
			continue
		}
		if c.pred.String() == p.String() {
			return a.selectivity(c), true
		}
		have = append(have, c.pred)
		all *= a.selectivity(c)
	}
	return all, len(have) > 1 && dbindex.And(have...).String() == p.String()
}

// condOn finds the condition that a key serves.
func (a *access) condOn(k dbindex.Key, m dbindex.Method) (cond, bool) {
	for _, c := range a.conds {
		if c.key.Column != k.Column || c.key.Expr != k.Expr || c.or {
			continue
		}
		ordered := c.op <= opPrefix && c.op != opNotNull
		if (m == dbindex.BTree || m == dbindex.BRIN) == ordered {
			return c, true
		}
	}
	return cond{}, false
}

// sortsBy reports whether the keys begin with an order that is wanted.
func (a *access) sortsBy(keys []dbindex.Key) bool {
	for _, o := range a.orders {
		want := orderKeys(o)
		if len(want) <= len(keys) {
			same := true
			for i := range want {
				same = same && want[i].Column == keys[i].Column && want[i].Expr == keys[i].Expr && want[i].Desc == keys[i].Desc
			}
			if same {
				return true
			}
		}
	}
	return false
}
