package live

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// Preflight is what [Apply] found before its first step.
type Preflight struct {
	// Server is the product and version that runs.
	Server dbindex.Dialect
	// Bytes is about how much disk the new indexes will take, in bytes: an upper bound
	// from the statistics of the tables, in which a partial index counts as a full one.
	// PostgreSQL only.
	Bytes int64
	// Blockers are transactions that are open already. A concurrent build waits for
	// each of them to end, even where they never touch its table; oldest first.
	Blockers []Blocker
}

// Blocker is an open transaction of another session.
type Blocker struct {
	PID         int64         // process of the server, 0 for a prepared transaction
	Age         time.Duration // since the transaction began
	State       string        // such as "idle in transaction"
	Application string        // as the session named itself
}

// SpaceError says that the new indexes would not fit. Nothing was changed.
type SpaceError struct {
	Need int64 // estimate, in bytes
	Free int64 // Options.FreeBytes
}

// Error gives both figures in bytes.
func (e *SpaceError) Error() string {
	return fmt.Sprintf("dbindex/live: the new indexes take about %d bytes, and %d are free", e.Need, e.Free)
}

// checkVersion refuses what the plan's version has and the server's has not.
func checkVersion(server dbindex.Dialect, plan dbindex.Plan) error {
	var errs []error
	for _, s := range plan.Steps {
		if s.Op == dbindex.Create || s.Op == dbindex.Replace {
			errs = append(errs, s.Index.Check(server))
		}
	}
	return errors.Join(errs...)
}

const blockerQuery = `
SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::float8, coalesce(state, ''), coalesce(application_name, '')
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL
  AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
UNION ALL
SELECT 0, extract(epoch FROM clock_timestamp() - prepared)::float8, 'prepared', gid FROM pg_prepared_xacts WHERE database = current_database()
ORDER BY 2 DESC`

// sizeQuery estimates an index: $1 the table, $2 a JSON array of columns, $3 the number of
// expressions. An entry has a header of 16 bytes; pages are filled to nine tenths.
const sizeQuery = `
SELECT coalesce((greatest(c.reltuples, 0) * (16 + 32 * $3::int + coalesce((
  SELECT sum(coalesce(s.avg_width, 16)) FROM json_array_elements_text($2::json) k
  LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = k), 0)) / 0.9)::bigint, 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::text::regclass`

// preflight looks for what will hold the builds up, and how much room they need.
func (a *pgApply) preflight(ctx context.Context, p *Preflight) error {
	err := eachRow(ctx, a.ctl, blockerQuery, nil, func(r *sql.Rows) error {
		var b Blocker
		var age float64
		err := r.Scan(&b.PID, &age, &b.State, &b.Application)
		b.Age = time.Duration(age * float64(time.Second))
		p.Blockers = append(p.Blockers, b)
		return err
	})
	if err != nil {
		return err
	}
	for _, s := range a.plan.Steps {
		if s.Op != dbindex.Create && s.Op != dbindex.Replace || s.Index.Method == dbindex.BRIN {
			continue
		}
		columns, exprs := []string{}, 0
		for _, k := range s.Index.Keys {
			if k.Expr != "" {
				exprs++
			} else {
				columns = append(columns, k.Column)
			}
		}
		list, err := json.Marshal(append(columns, s.Index.Include...))
		if err != nil {
			return err
		}
		var bytes int64
		if err := a.ctl.QueryRowContext(ctx, sizeQuery, qualified(s.Index.Schema, s.Index.Table), string(list), exprs).Scan(&bytes); err != nil {
			return fmt.Errorf("dbindex/live: estimate index %q: %w", nameOf(s.Index), err)
		}
		p.Bytes += bytes
	}
	if a.o.FreeBytes > 0 && p.Bytes > a.o.FreeBytes {
		return &SpaceError{Need: p.Bytes, Free: a.o.FreeBytes}
	}
	return nil
}
