package live

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// inspectSQLite reads sqlite_master and the index pragmas of the main database.
func inspectSQLite(ctx context.Context, q Querier, d dbindex.Dialect, o InspectOptions) (dbindex.Schema, error) {
	s := dbindex.Schema{Current: "main"}
	schema := ""
	for _, n := range o.Schemas {
		if n != "main" {
			return s, &dbindex.FeatureError{Dialect: d, Feature: "inspection of attached databases", Alternative: "open the file as the main database"}
		}
		schema = n
	}
	tables, err := strings1(ctx, q, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return s, err
	}
	for _, table := range tables {
		if len(o.Tables) > 0 && !slices.ContainsFunc(o.Tables, func(t string) bool { return sqliteSame(t, table) }) {
			continue
		}
		if err := inspectSQLiteTable(ctx, q, d, &s, schema, table); err != nil {
			return s, err
		}
	}
	return s, nil
}

type sqliteIndex struct {
	name, origin string
	unique       bool
	sql          sql.NullString
}

func inspectSQLiteTable(ctx context.Context, q Querier, d dbindex.Dialect, s *dbindex.Schema, schema, table string) error {
	list, err := sqliteIndexes(ctx, q, table)
	if err != nil {
		return err
	}
	for _, x := range list {
		ix := dbindex.Index{}
		var perr error
		if x.sql.Valid {
			ix, perr = dbindex.Parse(d, x.sql.String)
		} else {
			ix.Keys, perr = sqliteKeys(ctx, q, x.name)
		}
		if perr != nil {
			s.Unknown = append(s.Unknown, dbindex.Unknown{Schema: schema, Table: table, Name: x.name, SQL: x.sql.String, Reason: perr.Error()})
			continue
		}
		ix.Schema, ix.Table, ix.Name, ix.Unique = schema, table, x.name, x.unique
		switch x.origin {
		case "pk":
			ix.Constraint = dbindex.PrimaryKey
		case "u":
			ix.Constraint = dbindex.UniqueConstraint
		}
		s.Indexes = append(s.Indexes, ix)
	}
	err = eachRow(ctx, q, `SELECT name, lower(type) FROM pragma_table_xinfo(?1)`, []any{table}, func(r *sql.Rows) error {
		c := dbindex.Column{Schema: schema, Table: table}
		err := r.Scan(&c.Name, &c.Type)
		s.Columns = append(s.Columns, c)
		return err
	})
	if err != nil {
		return err
	}
	fks, err := sqliteForeignKeys(ctx, q, schema, table)
	s.ForeignKeys = append(s.ForeignKeys, fks...)
	return err
}

func sqliteIndexes(ctx context.Context, q Querier, table string) (list []sqliteIndex, err error) {
	err = eachRow(ctx, q, `SELECT l.name, l.origin, l."unique", m.sql FROM pragma_index_list(?1) l
		JOIN sqlite_master m ON m.type = 'index' AND m.name = l.name ORDER BY l.name`, []any{table}, func(r *sql.Rows) error {
		var x sqliteIndex
		err := r.Scan(&x.name, &x.origin, &x.unique, &x.sql)
		list = append(list, x)
		return err
	})
	return list, err
}

// sqliteKeys reads the columns of an index that has no SQL: a constraint's. Whether a
// collation is the column's own cannot be seen, so all but the default are told.
func sqliteKeys(ctx context.Context, q Querier, index string) (keys []dbindex.Key, err error) {
	err = eachRow(ctx, q, `SELECT coalesce(name, ''), "desc", CASE WHEN coll = 'BINARY' THEN '' ELSE coll END FROM pragma_index_xinfo(?1) WHERE "key" ORDER BY seqno`, []any{index}, func(r *sql.Rows) error {
		var k dbindex.Key
		err := r.Scan(&k.Column, &k.Desc, &k.Collate)
		keys = append(keys, k)
		return err
	})
	return keys, err
}

func sqliteForeignKeys(ctx context.Context, q Querier, schema, table string) (fks []dbindex.ForeignKey, err error) {
	last := -1
	err = eachRow(ctx, q, `SELECT id, "table", "from" FROM pragma_foreign_key_list(?1) ORDER BY id, seq`, []any{table}, func(r *sql.Rows) error {
		var id int
		var ref, column string
		if err := r.Scan(&id, &ref, &column); err != nil {
			return err
		}
		if id != last {
			fks = append(fks, dbindex.ForeignKey{Schema: schema, Table: table, RefTable: ref})
			last = id
		}
		f := &fks[len(fks)-1]
		f.Columns = append(f.Columns, column)
		return nil
	})
	return fks, err
}

func strings1(ctx context.Context, q Querier, query string, args ...any) (list []string, err error) {
	err = eachRow(ctx, q, query, args, func(r *sql.Rows) error {
		var s string
		err := r.Scan(&s)
		list = append(list, s)
		return err
	})
	return list, err
}

// eachRow runs a query and calls fn on each row.
func eachRow(ctx context.Context, q Querier, query string, args []any, fn func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("dbindex/live: read catalog: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return fmt.Errorf("dbindex/live: read catalog: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("dbindex/live: read catalog: %w", err)
	}
	return nil
}

// sqliteSame reports whether SQLite takes two names for one: it tells cases apart
// outside ASCII.
func sqliteSame(a, b string) bool {
	fold := func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	return strings.Map(fold, a) == strings.Map(fold, b)
}

// missingColumn returns the first column of the index that the table lacks. SQLite
// would take such a quoted name for a string constant, and build a useless index.
func missingColumn(ctx context.Context, q Querier, ix dbindex.Index) (string, error) {
	cols, err := strings1(ctx, q, `SELECT name FROM pragma_table_xinfo(?1)`, ix.Table)
	if err != nil || len(cols) == 0 {
		return "", err // no table: CREATE INDEX says so itself
	}
	for _, c := range ix.Columns() {
		if !slices.ContainsFunc(cols, func(s string) bool { return sqliteSame(s, c) }) && !sqliteSame(c, "rowid") {
			return c, nil
		}
	}
	return "", nil
}
