package advisor

import (
	"context"
	"fmt"

	"github.com/perfblocks/perfblocks/dbindex/live"
)

// statementsQuery reads what this database was asked, less what the extension itself
// and sessions' housekeeping asked.
const statementsQuery = `
SELECT s.queryid::text, s.query, sum(s.calls)::float8 AS calls
FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
WHERE d.datname = current_database() AND s.queryid IS NOT NULL AND s.query ~* '^([[:space:](]|/[*]([^*]|[*]+[^*/])*[*]+/|--[^\n\r]*[\n\r])*(select|with|insert|update|delete|merge|table|values)'
  AND s.query !~* 'pg_catalog|pg_stat|pg_class|pg_index|hypopg'
GROUP BY s.queryid, s.query ORDER BY sum(s.total_exec_time) DESC LIMIT $1`

// FromStatements reads the workload from the extension pg_stat_statements: at most
// limit statements, those that took the most time, weighed by their calls since the
// counters were reset. Constants are $1, $2, … there and no arguments are kept, so the
// queries are planned for any arguments; a workload with samples, from [Recorder], gives
// better advice. The error is the driver's when the extension is not installed.
func FromStatements(ctx context.Context, q live.Querier, limit int) (Workload, error) {
	if limit < 1 {
		return nil, fmt.Errorf("%w: limit %d is not positive", ErrOptions, limit)
	}
	rows, err := q.QueryContext(ctx, statementsQuery, limit)
	if err != nil {
		return nil, fmt.Errorf("dbindex/advisor: read pg_stat_statements: %w", err)
	}
	defer rows.Close()
	var w Workload
	for rows.Next() {
		var query Query
		if err := rows.Scan(&query.Name, &query.SQL, &query.Weight); err != nil {
			return nil, fmt.Errorf("dbindex/advisor: read pg_stat_statements: %w", err)
		}
		if query.Weight > 0 {
			w = append(w, query)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("dbindex/advisor: read pg_stat_statements: %w", err)
	}
	return w, nil
}
