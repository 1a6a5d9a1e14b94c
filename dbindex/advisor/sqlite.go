package advisor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// SQLite judges indexes on a scratch copy of an SQLite database. Plans are made on empty
// temporary tables with the statistics of the real ones, where an index costs nothing
// to make; costs follow from the plan and the number of different values, since SQLite
// tells none. Runs, for [Verify], build indexes for real.
type SQLite struct {
	conn     *sql.Conn
	c        *catalog
	create   map[string]string // statements of the tables and existing indexes, by name
	planning bool              // the temporary tables are there
	with     map[string]bool   // indexes on the temporary tables, by name
	real     map[string]bool   // indexes of ours on the real ones, by name
	hidden   map[string]bool   // existing ones that are dropped for now
	timeout  time.Duration
	closed   bool
}

// NewSQLite pins one connection of db. To show that the database is a copy that may be
// changed at will, such as VACUUM INTO makes, scratch repeats the path of its file, or
// is empty for one in memory; another gives an error matching [ErrPrimary].
func NewSQLite(ctx context.Context, db *sql.DB, scratch string) (*SQLite, error) {
	d, err := live.Detect(ctx, db)
	if err != nil {
		return nil, err
	}
	if d != dbindex.SQLite() {
		return nil, fmt.Errorf("%w: the database is %s, not SQLite", ErrOptions, d)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("dbindex/advisor: connect: %w", err)
	}
	s := &SQLite{conn: conn, create: map[string]string{}, with: map[string]bool{}, real: map[string]bool{}, hidden: map[string]bool{},
		c: &catalog{dialect: d, tables: map[string]*table{}, opclass: map[string]string{}}}
	var file string
	err = conn.QueryRowContext(ctx, `SELECT coalesce(file, '') FROM pragma_database_list WHERE name = 'main'`).Scan(&file)
	if err == nil && !sameFile(file, scratch) {
		err = fmt.Errorf("%w: the file is %q, the scratch copy is to be %q", ErrPrimary, file, scratch)
	}
	if err == nil {
		err = s.load(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func sameFile(a, b string) bool {
	resolve := func(p string) string {
		if abs, err := filepath.Abs(p); err == nil {
			p = abs
		}
		if real, err := filepath.EvalSymlinks(p); err == nil {
			p = real
		}
		return p
	}
	if a == "" || b == "" {
		return a == b
	}
	return resolve(a) == resolve(b)
}

func (s *SQLite) exec(ctx context.Context, statements ...string) error {
	for _, q := range statements {
		if _, err := s.conn.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("dbindex/advisor: %s: %w", cut(q, 60), err)
		}
	}
	return nil
}

func (s *SQLite) rows(ctx context.Context, query string, args []any, fn func(*sql.Rows) error) error {
	rows, err := s.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("dbindex/advisor: read: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return fmt.Errorf("dbindex/advisor: read: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("dbindex/advisor: read: %w", err)
	}
	return nil
}

// load reads all tables, with the number of different values among their first rows.
func (s *SQLite) load(ctx context.Context) error {
	type object struct{ kind, name, text string }
	var objects []object
	err := s.rows(ctx, `SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('table', 'index') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY rowid`, nil,
		func(r *sql.Rows) error {
			var o object
			err := r.Scan(&o.kind, &o.name, &o.text)
			objects = append(objects, o)
			return err
		})
	if err != nil {
		return err
	}
	schema, err := live.Inspect(ctx, s.conn, live.InspectOptions{})
	if err != nil {
		return err
	}
	s.c.foreign = schema.ForeignKeys
	for _, o := range objects {
		s.create[o.name] = o.text
		toks := lex(o.text)
		if o.kind != "table" || len(toks) < 3 || !toks[1].isWord("table") {
			continue // virtual tables have their own indexes
		}
		if err := s.loadTable(ctx, o.name, schema); err != nil {
			return err
		}
	}
	return nil
}

const sampledRows = 20000

func (s *SQLite) loadTable(ctx context.Context, name string, schema dbindex.Schema) error {
	t := &table{name: name, byName: map[string]*column{}, fold: true, sizes: map[string]int64{}}
	if err := s.conn.QueryRowContext(ctx, `SELECT count(*) FROM `+quoteIdent(name)).Scan(&t.rows); err != nil {
		return fmt.Errorf("dbindex/advisor: read table %q: %w", name, err)
	}
	t.pages = t.rows / 40
	var cols []*column
	err := s.rows(ctx, `SELECT name, type FROM pragma_table_info(?1) ORDER BY cid`, []any{name}, func(r *sql.Rows) error {
		c := &column{width: 16}
		err := r.Scan(&c.name, &c.kind)
		c.kind = strings.ToUpper(c.kind)
		cols = append(cols, c)
		return err
	})
	if err != nil {
		return err
	}
	for _, c := range cols {
		var seen, of float64
		if err := s.conn.QueryRowContext(ctx, `SELECT count(DISTINCT c), count(*) FROM (SELECT `+quoteIdent(c.name)+` AS c FROM `+quoteIdent(name)+` LIMIT ?1)`, sampledRows).Scan(&seen, &of); err != nil {
			return fmt.Errorf("dbindex/advisor: read column %q: %w", c.name, err)
		}
		if c.distinct = seen; of > 0 && seen > of/10 {
			c.distinct = seen * max(t.rows/of, 1) // more rows, more values
		}
		c.distinct = max(c.distinct, 1)
		t.addColumn(c)
	}
	for _, ix := range schema.Indexes {
		if ix.Table == name {
			t.indexes = append(t.indexes, ix)
		}
	}
	s.c.tables[tableKey("", name)] = t
	return nil
}

// plan makes the temporary tables, which come before the real ones of their names.
func (s *SQLite) plan(ctx context.Context) error {
	if s.planning {
		return nil
	}
	s.planning = true
	for _, t := range s.c.sorted() {
		toks := lex(s.create[t.name])
		if err := s.exec(ctx, `CREATE TEMP TABLE `+s.create[t.name][toks[2].off:]); err != nil {
			return err
		}
	}
	if err := s.exec(ctx, `ANALYZE temp`); err != nil {
		return err
	}
	for _, t := range s.c.sorted() {
		if _, err := s.conn.ExecContext(ctx, `INSERT INTO temp.sqlite_stat1 (tbl, idx, stat) VALUES (?1, NULL, ?2)`, t.name, fmt.Sprintf("%.0f", max(t.rows, 1))); err != nil {
			return fmt.Errorf("dbindex/advisor: statistics: %w", err)
		}
		for _, ix := range t.indexes {
			if ix.Constraint != dbindex.NoConstraint {
				if err := s.stat(ctx, t, ix); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// stat tells the planner how many rows share each prefix of the keys.
func (s *SQLite) stat(ctx context.Context, t *table, ix dbindex.Index) error {
	rows := max(t.rows*t.share(ix.Where != nil), 1)
	var text strings.Builder
	fmt.Fprintf(&text, "%.0f", rows)
	for i := range ix.Keys {
		each := max(rows/t.distinctOf(ix.Keys[:i+1]), 1)
		if ix.Unique && i == len(ix.Keys)-1 {
			each = 1
		}
		fmt.Fprintf(&text, " %.0f", each)
	}
	if _, err := s.conn.ExecContext(ctx, `INSERT INTO temp.sqlite_stat1 (tbl, idx, stat) VALUES (?1, ?2, ?3)`, t.name, ix.Name, text.String()); err != nil {
		return fmt.Errorf("dbindex/advisor: statistics: %w", err)
	}
	return nil
}

// unplan removes the temporary tables, so that names mean the real ones again.
func (s *SQLite) unplan(ctx context.Context) error {
	if !s.planning {
		return nil
	}
	s.planning = false
	clear(s.with)
	for _, t := range s.c.sorted() {
		if err := s.exec(ctx, `DROP TABLE temp.`+quoteIdent(t.name)); err != nil {
			return err
		}
	}
	return s.exec(ctx, `DELETE FROM temp.sqlite_stat1`, `ANALYZE temp.sqlite_master`)
}

func (s *SQLite) confidence() Confidence { return Estimated }
func (s *SQLite) canHide() bool          { return true }

func (s *SQLite) tables(context.Context, Query) (*catalog, error) { return s.c, nil }

func (s *SQLite) prepare(_ context.Context, c *candidate) (int64, error) {
	t := s.c.of(c.index)
	return t.btreeBytes(c.index, t.rows*t.share(c.index.Where != nil)), c.index.Check(s.c.dialect)
}

// indexes are those of a choice: existing ones that are no constraints and not hidden,
// and those with it.
func (s *SQLite) indexes(cfg config) map[string]dbindex.Index {
	all := map[string]dbindex.Index{}
	for _, t := range s.c.tables {
		for _, ix := range t.indexes {
			gone := slices.ContainsFunc(cfg.hidden, func(h dbindex.Index) bool { return h.Name == ix.Name })
			if ix.Constraint == dbindex.NoConstraint && !gone {
				all[ix.Name] = ix
			}
		}
	}
	for _, c := range cfg.with {
		all[c.index.Name] = c.index
	}
	return all
}

// pretend makes the indexes of a choice exist on the temporary tables.
func (s *SQLite) pretend(ctx context.Context, cfg config) error {
	if err := s.plan(ctx); err != nil {
		return err
	}
	want, changed := s.indexes(cfg), false
	for name := range s.with {
		if _, ok := want[name]; !ok {
			if err := s.exec(ctx, `DROP INDEX temp.`+quoteIdent(name)); err != nil {
				return err
			}
			delete(s.with, name)
			changed = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if s.with[name] {
			continue
		}
		ix := want[name]
		ix.Schema = "temp"
		text, err := ix.SQL(s.c.dialect)
		if err != nil {
			return err
		}
		if err := s.exec(ctx, text); err != nil {
			return err
		}
		if err := s.stat(ctx, s.c.of(want[name]), want[name]); err != nil {
			return err
		}
		s.with[name], changed = true, true
	}
	if changed {
		return s.exec(ctx, `ANALYZE temp.sqlite_master`)
	}
	return nil
}

func (s *SQLite) estimate(ctx context.Context, q Query, args []any, cfg config) (estimate, error) {
	text, toks, ok := oneStatement(q.SQL)
	if !ok {
		return estimate{}, fmt.Errorf("dbindex/advisor: plan %s: not one statement", cut(q.Name, 60))
	}
	if err := s.pretend(ctx, cfg); err != nil {
		return estimate{}, err
	}
	if len(args) == 0 {
		args = make([]any, marks(toks))
	}
	p := sqlitePlan{accesses: textAccesses(toks, s.c), loops: map[int]float64{}, all: s.indexes(cfg)}
	err := s.rows(ctx, `EXPLAIN QUERY PLAN `+text, args, func(r *sql.Rows) error {
		var id, parent, unused int
		var detail string
		if err := r.Scan(&id, &parent, &unused, &detail); err != nil {
			return err
		}
		p.line(parent, detail)
		return nil
	})
	return estimate{cost: p.cost + 1, accesses: p.accesses, used: p.used}, err
}

// marks is the number of parameters of a statement.
func marks(toks []token) (n int) {
	for _, t := range toks {
		if t.kind == param {
			n++
		}
	}
	return n
}

// sqlitePlan adds up the cost of the lines of EXPLAIN QUERY PLAN. Tables below one
// parent are loops in one another.
type sqlitePlan struct {
	accesses []*access
	all      map[string]dbindex.Index
	loops    map[int]float64 // by parent: how often the next table is searched
	rows     float64         // of the last table
	cost     float64
	used     []string
}

func (p *sqlitePlan) line(parent int, detail string) {
	toks := lex(detail)
	if len(toks) < 2 {
		return
	}
	if toks[0].isWord("use") {
		p.cost += p.rows * 0.1
		return
	}
	if !toks[0].isWord("scan") && !toks[0].isWord("search") {
		return
	}
	i := slices.IndexFunc(p.accesses, func(a *access) bool { return strings.EqualFold(a.alias, toks[1].text) })
	if i < 0 {
		return
	}
	a := p.accesses[i]
	loops := max(p.loops[parent], 1)
	matched, perRow := a.table.rows, 0.02
	for j := 2; j < len(toks); j++ {
		if toks[j].isWord("index") && j+1 < len(toks) {
			name := toks[j+1].text
			p.used = append(p.used, name)
			if toks[0].isWord("search") {
				perRow = 0.1
			}
			if toks[j-1].isWord("covering") {
				perRow = 0.01
			}
			matched *= a.table.share(p.all[name].Where != nil)
		}
		if j+1 < len(toks) && (toks[j+1].text == "=" || toks[j+1].text == ">" || toks[j+1].text == "<") {
			matched *= p.keep(a, toks[j], toks[j+1].text)
		}
	}
	matched = max(matched, 1)
	p.cost += loops * (1 + matched*perRow)
	p.loops[parent] = loops * matched
	p.rows = loops * matched
}

// keep is the share of rows that one term of a search keeps.
func (p *sqlitePlan) keep(a *access, key token, op string) float64 {
	c := a.table.column(key.val)
	switch {
	case op != "=":
		return 0.3
	case key.isWord("rowid") || c == nil:
		return 1 / max(a.table.rows, 1)
	}
	return 1 / max(c.distinct, 1)
}

// use makes exactly the indexes of a choice exist for real.
func (s *SQLite) use(ctx context.Context, cfg config) error {
	if err := s.unplan(ctx); err != nil {
		return err
	}
	want := s.indexes(cfg)
	for name := range s.real {
		if _, ok := want[name]; !ok {
			if err := s.exec(ctx, `DROP INDEX main.`+quoteIdent(name)); err != nil {
				return err
			}
			delete(s.real, name)
		}
	}
	for _, t := range s.c.sorted() {
		for _, ix := range t.indexes {
			_, wanted := want[ix.Name]
			switch {
			case ix.Constraint != dbindex.NoConstraint || wanted == !s.hidden[ix.Name]:
			case wanted:
				if err := s.exec(ctx, s.create[ix.Name]); err != nil {
					return err
				}
				delete(s.hidden, ix.Name)
			default:
				if err := s.exec(ctx, `DROP INDEX main.`+quoteIdent(ix.Name)); err != nil {
					return err
				}
				s.hidden[ix.Name] = true
			}
		}
	}
	for _, c := range cfg.with {
		if s.real[c.index.Name] {
			continue
		}
		text, err := c.index.SQL(s.c.dialect)
		if err != nil {
			return err
		}
		if err := s.exec(ctx, text); err != nil {
			return err
		}
		s.real[c.index.Name] = true
	}
	return nil
}

func (s *SQLite) run(ctx context.Context, q Query, args []any) (d time.Duration, err error) {
	text, _, ok := oneStatement(q.SQL)
	if !ok {
		return 0, fmt.Errorf("dbindex/advisor: run %s: not one statement", cut(q.Name, 60))
	}
	if err := s.exec(ctx, `SAVEPOINT perfblocks_run`); err != nil {
		return 0, err
	}
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	start := time.Now()
	err = s.rows(bounded, text, args, func(*sql.Rows) error { return nil })
	d = time.Since(start)
	late := err != nil && bounded.Err() != nil && ctx.Err() == nil
	// A write that is interrupted has ended the savepoint itself, with all that it did.
	undone := s.exec(ctx, `ROLLBACK TO perfblocks_run`, `RELEASE perfblocks_run`)
	if late {
		return s.timeout, nil
	}
	return d, errors.Join(err, undone)
}

func (s *SQLite) unknown(toks []token) int { return marks(toks) }

func (s *SQLite) limit(d time.Duration)      { s.timeout = d }
func (s *SQLite) sizeOf(dbindex.Index) int64 { return 0 }

// Close puts the copy's indexes back as they were and gives the connection back.
func (s *SQLite) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := s.use(ctx, config{})
	if e := s.conn.Close(); e != nil && !errors.Is(e, sql.ErrConnDone) {
		err = errors.Join(err, fmt.Errorf("dbindex/advisor: close: %w", e))
	}
	return err
}
