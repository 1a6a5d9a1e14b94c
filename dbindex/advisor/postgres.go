package advisor

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// postgres is what the backends of PostgreSQL share: one pinned connection, the
// catalog as far as it was asked for, and EXPLAIN.
type postgres struct {
	db       *sql.DB
	conn     *sql.Conn
	c        *catalog
	prepared map[string]string  // statements with unknown parameters, by text
	kept     map[string]float64 // rows that predicates keep, by table and text
	closed   bool
}

func newPostgres(ctx context.Context, db *sql.DB) (*postgres, error) {
	d, err := live.Detect(ctx, db)
	if err != nil {
		return nil, err
	}
	if d.Name() != "postgres" {
		return nil, &dbindex.FeatureError{Dialect: d, Feature: "hypothetical indexes in this package",
			Alternative: "use NewSQLite for SQLite, NewHeuristic for the others"}
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("dbindex/advisor: connect: %w", err)
	}
	p := &postgres{db: db, conn: conn, prepared: map[string]string{}, kept: map[string]float64{},
		c: &catalog{dialect: d, tables: map[string]*table{}, opclass: map[string]string{}}}
	if err := p.settle(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// settle makes texts mean what the lexer takes them for, and plans what they would be
// in the application: without parallel workers, whose start costs differ by load.
func (p *postgres) settle(ctx context.Context) error {
	if err := p.exec(ctx, `SET standard_conforming_strings = on`, `SET plan_cache_mode = force_custom_plan`); err != nil {
		return err
	}
	row := p.conn.QueryRowContext(ctx, `SELECT coalesce(current_schema()::text, ''), datcollate NOT IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8') FROM pg_database WHERE datname = current_database()`)
	if err := row.Scan(&p.c.current, &p.c.locale); err != nil {
		return fmt.Errorf("dbindex/advisor: read database: %w", err)
	}
	return p.rows(ctx, `SELECT o.opcname, CASE WHEN pg_opclass_is_visible(o.oid) THEN o.opcname ELSE n.nspname || '.' || o.opcname END
FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace WHERE o.opcname IN ('gin_trgm_ops', 'jsonb_path_ops', 'text_pattern_ops')`, nil,
		func(r *sql.Rows) error {
			var name, full string
			err := r.Scan(&name, &full)
			p.c.opclass[name] = full
			return err
		})
}

func (p *postgres) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := p.conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("dbindex/advisor: %s: %w", cut(s, 60), err)
		}
	}
	return nil
}

func (p *postgres) rows(ctx context.Context, query string, args []any, fn func(*sql.Rows) error) error {
	rows, err := p.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("dbindex/advisor: read catalog: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return fmt.Errorf("dbindex/advisor: read catalog: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("dbindex/advisor: read catalog: %w", err)
	}
	return nil
}

// Close ends the session, and with it everything that was set, prepared or made up in
// it: the pool gets no connection back that others would be surprised by.
func (p *postgres) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	_ = p.conn.Raw(func(any) error { return driver.ErrBadConn })
	if err := p.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		return fmt.Errorf("dbindex/advisor: close: %w", err)
	}
	return nil
}

// explain plans one execution.
func (p *postgres) explain(ctx context.Context, q Query, args []any) (*node, error) {
	text, toks, ok := oneStatement(q.SQL)
	if !ok {
		return nil, fmt.Errorf("dbindex/advisor: plan %s: not one statement", cut(q.Name, 60))
	}
	var out []byte
	var err error
	if n := params(toks); n > 0 && len(args) == 0 {
		out, err = p.explainUnknown(ctx, text, n)
	} else {
		err = p.conn.QueryRowContext(ctx, explainPrefix+text, args...).Scan(&out)
	}
	if err != nil {
		return nil, fmt.Errorf("dbindex/advisor: plan %s: %w", cut(q.Name, 60), err)
	}
	return parsePlan(out)
}

const explainPrefix = `EXPLAIN (VERBOSE, FORMAT JSON) `

// params is the highest parameter of a statement.
func params(toks []token) (most int) {
	for _, t := range toks {
		if n, err := strconv.Atoi(strings.TrimPrefix(t.text, "$")); t.kind == param && err == nil {
			most = max(most, min(n, math.MaxUint16))
		}
	}
	return most
}

// explainUnknown plans a statement whose arguments nobody knows, for any. Binding NULL
// instead would make every comparison false.
func (p *postgres) explainUnknown(ctx context.Context, text string, n int) (out []byte, err error) {
	name := p.prepared[text]
	if name == "" {
		name = "perfblocks_advisor_" + strconv.Itoa(len(p.prepared)+1)
		if _, err := p.conn.ExecContext(ctx, "PREPARE "+name+" AS "+text); err != nil {
			return nil, err
		}
		p.prepared[text] = name
	}
	// The plan for any arguments is kept, whatever indexes come and go.
	if err := p.exec(ctx, `SET plan_cache_mode = force_generic_plan`, `DISCARD PLANS`); err != nil {
		return nil, err
	}
	call := name + "(" + strings.TrimSuffix(strings.Repeat("NULL,", n), ",") + ")"
	err = p.conn.QueryRowContext(ctx, explainPrefix+"EXECUTE "+call).Scan(&out)
	// In a transaction that failed, this fails too, and its rollback does the same.
	return out, errors.Join(err, p.exec(ctx, `SET plan_cache_mode = force_custom_plan`))
}

// load reads the tables of a plan into the catalog.
func (p *postgres) load(ctx context.Context, plan *node) error {
	var errs []error
	plan.walk(func(n *node) {
		if n.Relation != "" && n.Schema != "" && p.c.table(n.Schema, n.Relation) == nil {
			errs = append(errs, p.loadTable(ctx, n.Schema, n.Relation))
		}
	})
	return errors.Join(errs...)
}

const pgTableQuery = `
SELECT json_build_object('rows', greatest(c.reltuples, 0), 'pages', c.relpages, 'kind', c.relkind::text, 'partition', c.relispartition,
  'system', n.nspname = 'information_schema' OR n.nspname LIKE 'pg\_%', 'temporary', c.relpersistence = 't',
  'writes', coalesce((SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relid = c.oid), 0),
  'sizes', (SELECT coalesce(json_object_agg(i.relname, pg_relation_size(i.oid)), '{}') FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid),
  'columns', (SELECT json_agg(json_build_object('name', a.attname, 'notNull', a.attnotnull,
      'kind', CASE WHEN t.typtype = 'e' THEN 'enum ' || t.typname ELSE format_type(a.atttypid, NULL) END,
      'width', coalesce(s.avg_width, nullif(t.typlen, -1), 32), 'nulls', coalesce(s.null_frac, 0), 'corr', coalesce(s.correlation, 0),
      'distinct', coalesce(CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * greatest(c.reltuples, 0) ELSE s.n_distinct END, 0)) ORDER BY a.attnum)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname AND NOT s.inherited
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`

// loadTable reads one table, its statistics and its indexes.
func (p *postgres) loadTable(ctx context.Context, schema, name string) error {
	var text []byte
	if err := p.conn.QueryRowContext(ctx, pgTableQuery, schema, name).Scan(&text); err != nil {
		return fmt.Errorf("dbindex/advisor: read table %q: %w", name, err)
	}
	var in struct {
		Rows, Pages, Writes          float64
		Kind                         string
		Sizes                        map[string]int64
		Partition, System, Temporary bool
		Columns                      []struct {
			Name, Kind                   string
			Width, Distinct, Nulls, Corr float64
			NotNull                      bool
		}
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("dbindex/advisor: read table %q: %w", name, err)
	}
	o := live.InspectOptions{Schemas: []string{schema}, Tables: []string{name}}
	t := &table{schema: schema, name: name, rows: in.Rows, pages: in.Pages, writes: in.Writes, sizes: in.Sizes, byName: map[string]*column{}}
	if schema == p.c.current {
		t.schema, o.Schemas = "", nil
	}
	switch {
	case in.System:
		t.refused = "system catalogs cannot be indexed"
	case in.Temporary:
		t.refused = "the table is temporary"
	case in.Partition || in.Kind == "p":
		t.refused = "the table is partitioned: index its parts by hand"
	case in.Kind != "r" && in.Kind != "m":
		t.refused = "it is no ordinary table"
	}
	for _, c := range in.Columns {
		col := &column{name: c.Name, kind: c.Kind, width: c.Width, distinct: c.Distinct, nulls: c.Nulls, corr: c.Corr, notNull: c.NotNull}
		t.columns = append(t.columns, col)
		t.byName[c.Name] = col
	}
	s, err := live.Inspect(ctx, p.conn, o)
	if err != nil {
		return err
	}
	t.indexes = s.Indexes
	p.c.foreign = append(p.c.foreign, s.ForeignKeys...)
	p.c.tables[tableKey(t.schema, name)] = t
	return nil
}

// entries is the number of rows in an index, as PostgreSQL estimates it.
func (p *postgres) entries(ctx context.Context, t *table, ix dbindex.Index) (float64, error) {
	if ix.Where == nil {
		return t.rows, nil
	}
	// The predicate is written by the same code that writes it into the index.
	probe := ix
	probe.Keys, probe.Include, probe.Method = []dbindex.Key{dbindex.Asc(t.columns[0].name)}, nil, dbindex.BTree
	text, err := probe.SQL(p.c.dialect)
	if err != nil {
		return 0, err
	}
	_, where, _ := strings.Cut(text, " WHERE ")
	query := "SELECT 1 FROM " + p.from(t) + " WHERE " + where
	if n, ok := p.kept[query]; ok {
		return n, nil
	}
	plan, err := p.explain(ctx, Query{Name: "size", SQL: query}, nil)
	if err != nil {
		return 0, err
	}
	p.kept[query] = plan.Rows
	return plan.Rows, nil
}

func (p *postgres) from(t *table) string {
	schema := t.schema
	if schema == "" {
		schema = p.c.current
	}
	return quoteIdent(schema) + "." + quoteIdent(t.name)
}
