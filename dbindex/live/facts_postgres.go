package live

import (
	"context"
	"encoding/json"

	"github.com/perfblocks/perfblocks/dbindex"
)

// pgColumnQuery yields what lint wants to know of the columns: types, the values of an
// enum, the constants of CHECK constraints on one column, and what ANALYZE found.
const pgColumnQuery = `
SELECT json_build_object(
  'Schema', CASE WHEN $1 = '[]' THEN '' ELSE n.nspname END, 'Table', t.relname, 'Name', a.attname,
  'Type', format_type(a.atttypid, a.atttypmod), 'Width', coalesce(s.avg_width, 0),
  'Distinct', coalesce(CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * greatest(t.reltuples, 0) ELSE s.n_distinct END, 0),
  'Values', (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = a.atttypid),
  'Checks', (SELECT json_agg(pg_get_expr(c.conbin, c.conrelid)) FROM pg_constraint c WHERE c.conrelid = t.oid AND c.contype = 'c' AND c.conkey = ARRAY[a.attnum]))::text
FROM pg_attribute a
JOIN pg_class t ON t.oid = a.attrelid AND t.relkind IN ('r', 'm', 'p')
JOIN pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = t.relname AND s.attname = a.attname AND s.inherited = (t.relkind = 'p')
WHERE a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname = ANY (CASE WHEN $1 = '[]' THEN ARRAY[current_schema()::text] ELSE ARRAY(SELECT json_array_elements_text($1::json)) END)
  AND ($2 = '[]' OR t.relname = ANY (ARRAY(SELECT json_array_elements_text($2::json))))
ORDER BY n.nspname, t.relname, a.attnum`

const pgTableQuery = `
SELECT json_build_object(
  'Schema', CASE WHEN $1 = '[]' THEN '' ELSE n.nspname END, 'Name', t.relname, 'Rows', greatest(t.reltuples, 0)::bigint,
  'Updates', coalesce(s.n_tup_upd, 0), 'HotUpdates', coalesce(s.n_tup_hot_upd, 0))::text
FROM pg_class t
JOIN pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_stat_user_tables s ON s.relid = t.oid
WHERE t.relkind IN ('r', 'm', 'p')
  AND n.nspname = ANY (CASE WHEN $1 = '[]' THEN ARRAY[current_schema()::text] ELSE ARRAY(SELECT json_array_elements_text($1::json)) END)
  AND ($2 = '[]' OR t.relname = ANY (ARRAY(SELECT json_array_elements_text($2::json))))
ORDER BY n.nspname, t.relname`

func postgresFacts(ctx context.Context, q Querier, o InspectOptions, s *dbindex.Schema) error {
	args := []any{jsonList(o.Schemas), jsonList(o.Tables)}
	err := readJSON(ctx, q, pgColumnQuery, args, func(row []byte) error {
		var c dbindex.Column
		if err := json.Unmarshal(row, &c); err != nil {
			return err
		}
		s.Columns = append(s.Columns, c)
		return nil
	})
	if err != nil {
		return err
	}
	return readJSON(ctx, q, pgTableQuery, args, func(row []byte) error {
		var t dbindex.Table
		err := json.Unmarshal(row, &t)
		s.Tables = append(s.Tables, t)
		return err
	})
}
