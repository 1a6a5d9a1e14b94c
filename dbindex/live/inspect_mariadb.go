package live

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// mariaFilter is the WHERE of a query on information_schema, and its arguments.
func mariaFilter(o InspectOptions) (where string, args []any) {
	where = `TABLE_SCHEMA = DATABASE()`
	list := func(names []string) string {
		for _, n := range names {
			args = append(args, n)
		}
		return ` IN (?` + strings.Repeat(`, ?`, len(names)-1) + `)`
	}
	if len(o.Schemas) > 0 {
		where = `TABLE_SCHEMA` + list(o.Schemas)
	}
	if len(o.Tables) > 0 {
		where += ` AND TABLE_NAME` + list(o.Tables)
	}
	return where, args
}

// mariaKey is one row of information_schema.STATISTICS.
type mariaKey struct {
	schema, table, index, method string
	nonUnique, ignored           bool
	column, order                sql.NullString
	prefix                       sql.NullInt64
}

func mariaKeys(ctx context.Context, q Querier, d dbindex.Dialect, o InspectOptions) (list []mariaKey, err error) {
	ignored := `0`
	if major, minor := d.Version(); major > 10 || minor >= 6 {
		ignored = `IGNORED = 'YES'`
	}
	where, args := mariaFilter(o)
	query := `SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, INDEX_TYPE, NON_UNIQUE, ` + ignored + `, COLUMN_NAME, COLLATION, SUB_PART
		FROM information_schema.STATISTICS WHERE ` + where + ` ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`
	err = eachRow(ctx, q, query, args, func(r *sql.Rows) error {
		var k mariaKey
		err := r.Scan(&k.schema, &k.table, &k.index, &k.method, &k.nonUnique, &k.ignored, &k.column, &k.order, &k.prefix)
		if len(o.Tables) == 0 || slices.Contains(o.Tables, k.table) {
			list = append(list, k)
		}
		return err
	})
	return list, err
}

// mariaIndexes reads the indexes alone.
func mariaIndexes(ctx context.Context, q Querier, d dbindex.Dialect, o InspectOptions, s *dbindex.Schema) error {
	keys, err := mariaKeys(ctx, q, d, o)
	if err != nil {
		return err
	}
	for len(keys) > 0 {
		first, n := keys[0], 0
		ix := dbindex.Index{Table: first.table, Name: first.index, Unique: !first.nonUnique, Ignored: first.ignored}
		if len(o.Schemas) > 0 {
			ix.Schema = first.schema
		}
		if first.index == "PRIMARY" {
			ix.Constraint = dbindex.PrimaryKey
		}
		reason := ""
		if first.method != "BTREE" && first.method != "HASH" { // HASH is how a long UNIQUE is kept
			reason = "an index of type " + first.method
		}
		for ; n < len(keys) && keys[n].schema == first.schema && keys[n].table == first.table && keys[n].index == first.index; n++ {
			k := keys[n]
			if !k.column.Valid {
				reason = "a key that is no column"
			}
			ix.Keys = append(ix.Keys, dbindex.Key{Column: k.column.String, Desc: k.order.String == "D", Prefix: int(k.prefix.Int64)})
		}
		if keys = keys[n:]; reason != "" {
			s.Unknown = append(s.Unknown, dbindex.Unknown{Schema: ix.Schema, Table: ix.Table, Name: ix.Name, Reason: reason})
			continue
		}
		s.Indexes = append(s.Indexes, ix)
	}
	return nil
}

func inspectMariaDB(ctx context.Context, q Querier, d dbindex.Dialect, o InspectOptions) (s dbindex.Schema, err error) {
	var current sql.NullString
	if err := q.QueryRowContext(ctx, `SELECT DATABASE()`).Scan(&current); err != nil {
		return s, fmt.Errorf("dbindex/live: read current database: %w", err)
	}
	s.Current = current.String
	if err := mariaIndexes(ctx, q, d, o, &s); err != nil {
		return s, err
	}
	if s.ForeignKeys, err = mariaForeignKeys(ctx, q, o); err != nil {
		return s, err
	}
	for i, ix := range s.Indexes {
		if slices.ContainsFunc(s.ForeignKeys, func(fk dbindex.ForeignKey) bool { return madeFor(ix, fk) }) {
			s.Indexes[i].Constraint = dbindex.ForeignKeyIndex
		}
	}
	return s, mariaFacts(ctx, q, o, &s)
}

// madeFor reports whether the server made the index for the foreign key: it then has
// the constraint's name and columns, and goes when another serves it.
func madeFor(ix dbindex.Index, fk dbindex.ForeignKey) bool {
	return ix.Name == fk.Name && len(ix.Keys) == len(fk.Columns) && !ix.Unique && servesKey(ix, fk)
}

// servesKey reports whether the server can check the foreign key with the index.
func servesKey(ix dbindex.Index, fk dbindex.ForeignKey) bool {
	if ix.Schema != fk.Schema || ix.Table != fk.Table || len(ix.Keys) < len(fk.Columns) {
		return false
	}
	for i, c := range fk.Columns {
		if k := ix.Keys[i]; !strings.EqualFold(k.Column, c) || k.Prefix > 0 {
			return false
		}
	}
	return true
}

func mariaForeignKeys(ctx context.Context, q Querier, o InspectOptions) (fks []dbindex.ForeignKey, err error) {
	where, args := mariaFilter(o)
	err = eachRow(ctx, q, `SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE
		WHERE REFERENCED_TABLE_NAME IS NOT NULL AND `+where+` ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION`, args, func(r *sql.Rows) error {
		var schema, column string
		var fk dbindex.ForeignKey
		if err := r.Scan(&schema, &fk.Table, &fk.Name, &column, &fk.RefTable); err != nil {
			return err
		}
		if len(o.Schemas) > 0 {
			fk.Schema = schema
		}
		if n := len(fks); n == 0 || fks[n-1].Schema != fk.Schema || fks[n-1].Table != fk.Table || fks[n-1].Name != fk.Name {
			fks = append(fks, fk)
		}
		last := &fks[len(fks)-1]
		last.Columns = append(last.Columns, column)
		return nil
	})
	return fks, err
}

func mariaFacts(ctx context.Context, q Querier, o InspectOptions, s *dbindex.Schema) error {
	where, args := mariaFilter(o)
	err := eachRow(ctx, q, `SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CASE WHEN DATA_TYPE IN ('char','varchar','binary','varbinary') THEN CHARACTER_OCTET_LENGTH ELSE 0 END
		FROM information_schema.COLUMNS WHERE `+where+` ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION`, args, func(r *sql.Rows) error {
		var schema string
		var c dbindex.Column
		if err := r.Scan(&schema, &c.Table, &c.Name, &c.Type, &c.Width); err != nil {
			return err
		}
		if len(o.Schemas) > 0 {
			c.Schema = schema
		}
		if list, ok := strings.CutPrefix(c.Type, "enum('"); ok {
			for v := range strings.SplitSeq(strings.TrimSuffix(list, "')"), "','") {
				c.Values = append(c.Values, strings.ReplaceAll(v, "''", "'"))
			}
		}
		s.Columns = append(s.Columns, c)
		return nil
	})
	if err != nil {
		return err
	}
	return eachRow(ctx, q, `SELECT TABLE_SCHEMA, TABLE_NAME, coalesce(TABLE_ROWS, 0) FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND `+where+` ORDER BY 1, 2`, args, func(r *sql.Rows) error {
		var schema string
		var t dbindex.Table
		err := r.Scan(&schema, &t.Name, &t.Rows)
		if len(o.Schemas) > 0 {
			t.Schema = schema
		}
		s.Tables = append(s.Tables, t)
		return err
	})
}

// keepForeign leaves out of a plan the drops that the server would refuse: of the last
// index that serves a foreign key.
func keepForeign(ctx context.Context, q Querier, plan dbindex.Plan, have []dbindex.Index) (dbindex.Plan, error) {
	o := InspectOptions{}
	for _, ix := range have {
		if ix.Schema != "" && !slices.Contains(o.Schemas, ix.Schema) {
			o.Schemas = append(o.Schemas, ix.Schema)
		}
	}
	fks, err := mariaForeignKeys(ctx, q, InspectOptions{})
	if err != nil {
		return plan, err
	}
	if len(o.Schemas) > 0 {
		more, err := mariaForeignKeys(ctx, q, o)
		if err != nil {
			return plan, err
		}
		fks = append(fks, more...)
	}
	left := slices.Clone(have)
	for _, s := range plan.Steps {
		switch s.Op {
		case dbindex.Create, dbindex.Rename:
			left = append(left, s.Index)
		case dbindex.Replace:
			left = append(slices.DeleteFunc(left, func(ix dbindex.Index) bool { return ix.Table == s.Old.Table && ix.Name == s.Old.Name }), s.Index)
		}
	}
	keep := plan.Steps[:0:0]
	for _, s := range plan.Steps {
		if s.Op != dbindex.Drop {
			keep = append(keep, s)
			continue
		}
		others := slices.DeleteFunc(slices.Clone(left), func(ix dbindex.Index) bool { return ix.Table == s.Index.Table && ix.Name == s.Index.Name })
		needed := slices.ContainsFunc(fks, func(fk dbindex.ForeignKey) bool {
			return servesKey(s.Index, fk) && !slices.ContainsFunc(others, func(ix dbindex.Index) bool { return servesKey(ix, fk) })
		})
		if !needed {
			keep, left = append(keep, s), others
		}
	}
	plan.Steps = keep
	return plan, nil
}

// mariaWhole writes a prefix that is as long as its column as none, which is how the
// server keeps it.
func mariaWhole(ctx context.Context, q Querier, list []dbindex.Index) ([]dbindex.Index, error) {
	list = slices.Clone(list)
	for i, ix := range list {
		if !slices.ContainsFunc(ix.Keys, func(k dbindex.Key) bool { return k.Prefix > 0 }) {
			continue
		}
		o := InspectOptions{Tables: []string{ix.Table}}
		if ix.Schema != "" {
			o.Schemas = []string{ix.Schema}
		}
		where, args := mariaFilter(o)
		lengths := map[string]int{}
		err := eachRow(ctx, q, `SELECT LOWER(COLUMN_NAME), CHARACTER_MAXIMUM_LENGTH FROM information_schema.COLUMNS
			WHERE CHARACTER_MAXIMUM_LENGTH BETWEEN 1 AND 3072 AND `+where, args, func(r *sql.Rows) error {
			var name string
			var n int
			err := r.Scan(&name, &n)
			lengths[name] = n
			return err
		})
		if err != nil {
			return nil, err
		}
		list[i].Keys = slices.Clone(ix.Keys)
		for j, k := range ix.Keys {
			if n := lengths[strings.ToLower(k.Column)]; n > 0 && k.Prefix >= n {
				list[i].Keys[j].Prefix = 0
			}
		}
	}
	return list, nil
}
