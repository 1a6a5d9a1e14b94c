package live

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// pgIndexQuery yields one JSON object for each index, so that no driver's array type
// is needed. $1 and $2 are JSON arrays of schemas (empty: the current one) and tables
// (empty: all); $3 is the name of one index or empty.
const pgIndexQuery = `
SELECT json_build_object(
  'rel', t.oid::bigint, 'schema', CASE WHEN $1 = '[]' THEN '' ELSE n.nspname END, 'table', t.relname, 'name', i.relname,
  'sql', pg_get_indexdef(i.oid), 'tablespace', coalesce(ts.spcname, ''), 'kind', i.relkind, 'attached', i.relispartition,
  'valid', x.indisvalid AND x.indisready AND x.indislive,
  'referenced', x.indisreplident OR EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.oid AND c.contype = 'f'),
  'con', coalesce((SELECT c.contype::text FROM pg_constraint c WHERE c.conindid = i.oid AND c.contype IN ('p','u','x') LIMIT 1), ''))::text
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_tablespace ts ON ts.oid = i.reltablespace
WHERE n.nspname = ANY (CASE WHEN $1 = '[]' THEN ARRAY[current_schema()::text] ELSE ARRAY(SELECT json_array_elements_text($1::json)) END)
  AND ($2 = '[]' OR t.relname = ANY (ARRAY(SELECT json_array_elements_text($2::json))))
  AND ($3 = '' OR i.relname = $3)
ORDER BY n.nspname, t.relname, i.relname`

const pgForeignKeyQuery = `
SELECT json_build_object(
  'name', c.conname, 'schema', CASE WHEN $1 = '[]' THEN '' ELSE n.nspname END, 'table', t.relname, 'ref', r.relname,
  'columns', (SELECT json_agg(a.attname ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(attnum, n)
              JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum))::text
FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid
JOIN pg_class r ON r.oid = c.confrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0
  AND n.nspname = ANY (CASE WHEN $1 = '[]' THEN ARRAY[current_schema()::text] ELSE ARRAY(SELECT json_array_elements_text($1::json)) END)
  AND ($2 = '[]' OR t.relname = ANY (ARRAY(SELECT json_array_elements_text($2::json))))
ORDER BY n.nspname, t.relname, c.conname`

// pgIndex is one index of the catalog.
type pgIndex struct {
	Rel        int64  `json:"rel"`
	Schema     string `json:"schema"`
	Table      string `json:"table"`
	Name       string `json:"name"`
	SQL        string `json:"sql"`
	Tablespace string `json:"tablespace"`
	Kind       string `json:"kind"`
	Valid      bool   `json:"valid"`
	Con        string `json:"con"`
	Attached   bool   `json:"attached"` // to the index of a partitioned table
	Referenced bool   `json:"referenced"`

	index dbindex.Index // parsed from SQL
	err   error         // why it could not be
}

func inspectPostgres(ctx context.Context, q Querier, d dbindex.Dialect, o InspectOptions) (s dbindex.Schema, err error) {
	if err := postgresIndexes(ctx, q, d, o, &s); err != nil {
		return s, err
	}
	if err := q.QueryRowContext(ctx, `SELECT coalesce(current_schema()::text, '')`).Scan(&s.Current); err != nil {
		return s, fmt.Errorf("dbindex/live: read current schema: %w", err)
	}
	if err := postgresFacts(ctx, q, o, &s); err != nil {
		return s, err
	}
	err = readJSON(ctx, q, pgForeignKeyQuery, []any{jsonList(o.Schemas), jsonList(o.Tables)}, func(row []byte) error {
		var f struct {
			Name, Schema, Table, Ref string
			Columns                  []string
		}
		if err := json.Unmarshal(row, &f); err != nil {
			return err
		}
		s.ForeignKeys = append(s.ForeignKeys, dbindex.ForeignKey{Name: f.Name, Schema: f.Schema, Table: f.Table, Columns: f.Columns, RefTable: f.Ref})
		return nil
	})
	return s, err
}

// postgresIndexes adds the indexes alone.
func postgresIndexes(ctx context.Context, q Querier, d dbindex.Dialect, o InspectOptions, s *dbindex.Schema) error {
	list, err := readPostgres(ctx, q, d, o, "")
	for _, p := range list {
		if p.err != nil {
			s.Unknown = append(s.Unknown, dbindex.Unknown{Schema: p.Schema, Table: p.Table, Name: p.Name, SQL: p.SQL, Reason: p.err.Error()})
			continue
		}
		s.Indexes = append(s.Indexes, p.index)
	}
	return err
}

// readPostgres reads the indexes, only the one called name if that is not empty.
func readPostgres(ctx context.Context, q Querier, d dbindex.Dialect, o InspectOptions, name string) (list []pgIndex, err error) {
	err = readJSON(ctx, q, pgIndexQuery, []any{jsonList(o.Schemas), jsonList(o.Tables), name}, func(row []byte) error {
		var p pgIndex
		if err := json.Unmarshal(row, &p); err != nil {
			return err
		}
		p.parse(d)
		list = append(list, p)
		return nil
	})
	return list, err
}

func (p *pgIndex) parse(d dbindex.Dialect) {
	p.index, p.err = dbindex.Parse(d, p.SQL)
	p.index.Schema, p.index.Table, p.index.Name = p.Schema, p.Table, p.Name
	p.index.Tablespace = p.Tablespace
	p.index.Invalid = !p.Valid
	p.index.Referenced = p.Referenced
	p.index.Constraint = constraintOf(p.Con)
	if p.Attached && p.Con == "" {
		p.index.Constraint = dbindex.Partition
	}
}

// constraintOf maps pg_constraint.contype.
func constraintOf(contype string) dbindex.Constraint {
	switch contype {
	case "p":
		return dbindex.PrimaryKey
	case "u":
		return dbindex.UniqueConstraint
	case "x":
		return dbindex.Exclusion
	}
	return dbindex.NoConstraint
}

func jsonList(list []string) string {
	if len(list) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(list) // strings always marshal
	return string(b)
}

// readJSON runs a query of one text column and hands each row to fn.
func readJSON(ctx context.Context, q Querier, query string, args []any, fn func([]byte) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("dbindex/live: read catalog: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var row []byte
		if err = rows.Scan(&row); err == nil {
			err = fn(row)
		}
		if err != nil {
			return fmt.Errorf("dbindex/live: read catalog: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("dbindex/live: read catalog: %w", err)
	}
	return nil
}

// normalize returns the indexes as the server would print them. Each is created on
// an empty temporary copy of its table in a transaction that is rolled back.
func normalize(ctx context.Context, conn *sql.Conn, d dbindex.Dialect, want []dbindex.Index) (out []dbindex.Index, err error) {
	if len(want) == 0 {
		return nil, nil
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("dbindex/live: begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	var of, temp string // the table that has a copy now, and the copy's name
	for i, ix := range want {
		if key := ix.Schema + "\x00" + ix.Table; i == 0 || key != of {
			if temp != "" { // two schemas may have tables of one name
				if _, err := tx.ExecContext(ctx, `DROP TABLE pg_temp.`+qualified("", temp)); err != nil {
					return nil, fmt.Errorf("dbindex/live: drop copy of table: %w", err)
				}
			}
			if of, temp, err = key, "", checkTable(ctx, tx, ix); err != nil {
				return nil, err
			}
			if temp, err = copyTable(ctx, tx, ix); err != nil {
				return nil, err
			}
		}
		n, err := normalizeOne(ctx, tx, d, ix, temp, i)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// copyTable makes an empty temporary copy of a table and returns its name: that of the
// table, since raw SQL may name it before a column, unless the session has a temporary
// table of that name.
func copyTable(ctx context.Context, tx *sql.Tx, ix dbindex.Index) (string, error) {
	temp, taken := ix.Table, false
	err := tx.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, qualified("pg_temp", temp)).Scan(&taken)
	if taken {
		temp = "dbindex_copy"
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, `CREATE TEMP TABLE `+qualified("", temp)+` (LIKE `+qualified(ix.Schema, ix.Table)+`) ON COMMIT DROP`)
	}
	if err != nil {
		return "", fmt.Errorf("dbindex/live: read table %q: %w", ix.Table, err)
	}
	return temp, nil
}

// checkTable refuses a table without schema that the search path finds elsewhere: its
// indexes live there too, and would not be seen.
func checkTable(ctx context.Context, q Querier, ix dbindex.Index) error {
	var schema string
	err := q.QueryRowContext(ctx, `SELECT CASE WHEN n.nspname = current_schema() THEN '' ELSE n.nspname END
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::text::regclass`, qualified(ix.Schema, ix.Table)).Scan(&schema)
	if err != nil {
		return fmt.Errorf("dbindex/live: read table %q: %w", ix.Table, err)
	}
	if ix.Schema == "" && schema != "" {
		return fmt.Errorf("%w: index %q: table %q is in schema %q, which is not the current one: set Schema", dbindex.ErrIndex, nameOf(ix), ix.Table, schema)
	}
	return nil
}

func normalizeOne(ctx context.Context, tx *sql.Tx, d dbindex.Dialect, ix dbindex.Index, temp string, i int) (dbindex.Index, error) {
	probe := ix
	probe.Schema, probe.Table, probe.Name = "pg_temp", temp, fmt.Sprintf("dbindex_probe_%d", i)
	probe.Tablespace, probe.Constraint, probe.Invalid = "", dbindex.NoConstraint, false
	create, err := probe.SQL(d)
	if err != nil {
		return ix, err
	}
	if _, err := tx.ExecContext(ctx, create); err != nil {
		return ix, fmt.Errorf("dbindex/live: index %q is refused by the server: %w", nameOf(ix), err)
	}
	p := pgIndex{Schema: ix.Schema, Table: ix.Table, Name: nameOf(ix), Valid: true}
	err = tx.QueryRowContext(ctx, `SELECT pg_get_indexdef(('pg_temp.' || $1)::regclass), CASE WHEN $2 =
		(SELECT s.spcname FROM pg_database d JOIN pg_tablespace s ON s.oid = d.dattablespace WHERE d.datname = current_database())
		THEN '' ELSE $2 END`, probe.Name, ix.Tablespace).Scan(&p.SQL, &p.Tablespace) // the database's own is not recorded
	if err != nil {
		return ix, fmt.Errorf("dbindex/live: read catalog: %w", err)
	}
	p.parse(d)
	return p.index, p.err
}

// qualified quotes schema.table for PostgreSQL and SQLite; names were checked before.
func qualified(schema, name string) string {
	q := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	if schema == "" {
		return q(name)
	}
	return q(schema) + "." + q(name)
}
