package live

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// UsageQuery lists the scan counters of all indexes of a PostgreSQL database, most
// used first, for psql. [Usage] returns more.
const UsageQuery = `SELECT schemaname, relname AS tablename, indexrelname AS indexname, idx_scan, idx_tup_read, idx_tup_fetch
FROM pg_stat_user_indexes
ORDER BY idx_scan DESC, schemaname, relname, indexrelname`

// IndexUsage is the use of one index since the counters were reset.
type IndexUsage struct {
	Schema        string             // of the table
	Table         string             // the table
	Name          string             // the index
	Scans         int64              // index scans begun on this server; replicas count their own
	TuplesRead    int64              // index entries returned by those scans
	TuplesFetched int64              // live rows fetched by plain index scans
	Bytes         int64              // size on disk
	BlocksHit     int64              // index blocks found in shared buffers
	BlocksRead    int64              // index blocks asked from the system
	LastScan      time.Time          // zero before PostgreSQL 16, or when never scanned
	Unique        bool               // it refuses duplicates, used by scans or not
	Constraint    dbindex.Constraint // what owns it
	Valid         bool               // queries may use it
	ForeignKey    bool               // its first columns are those of a foreign key
	Building      bool               // a CREATE or REINDEX works on it now
	// Bloat is about which share of Bytes a fresh build would save, from 0 to 1, for a
	// btree of more than 128 pages whose columns ANALYZE has seen. Repeated keys, which a
	// btree keeps once, make the true share larger.
	Bloat float64
}

// HitRatio returns BlocksHit/(BlocksHit+BlocksRead), from 0 to 1; 0 before any access.
func (u IndexUsage) HitRatio() float64 {
	if n := u.BlocksHit + u.BlocksRead; n > 0 {
		return float64(u.BlocksHit) / float64(n)
	}
	return 0
}

// UsageReport is a snapshot of the index counters of one server.
type UsageReport struct {
	// At is when it was taken, by the server's clock.
	At time.Time
	// Since is when the counters began: the last reset, else the server's start. Both
	// are lower bounds; a restore or a crash starts counters anew as well.
	Since time.Time
	// Indexes in order of scans, most used first.
	Indexes []IndexUsage
	// Dialect is the server.
	Dialect dbindex.Dialect
	// Schema is what Inspect reads of all user schemas; the reasons and the drop plan
	// come from it.
	Schema dbindex.Schema
}

// Unused returns the indexes that no query on this server scanned, largest first in
// reports of [Usage]'s order, when the counters are at least minAge old; else none,
// since young counters prove nothing. Unique and constraint indexes, and those that
// serve a foreign key, are left out: they work without being scanned.
func (r UsageReport) Unused(minAge time.Duration) (unused []IndexUsage) {
	if r.Since.IsZero() || r.At.Sub(r.Since) < minAge {
		return nil
	}
	for _, u := range r.Indexes {
		if u.Scans == 0 && !u.Unique && u.Constraint == dbindex.NoConstraint && !u.ForeignKey {
			unused = append(unused, u)
		}
	}
	return unused
}

const usageQuery = `
SELECT s.schemaname, s.relname, s.indexrelname, s.idx_scan, s.idx_tup_read, s.idx_tup_fetch,
  coalesce(pg_relation_size(s.indexrelid), 0), io.idx_blks_hit, io.idx_blks_read,
  (to_jsonb(s) ->> 'last_idx_scan')::timestamptz,
  x.indisunique, x.indisvalid AND x.indisready,
  coalesce((SELECT c.contype::text FROM pg_constraint c WHERE c.conindid = s.indexrelid AND c.contype IN ('p','u','x') LIMIT 1), ''),
  EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conrelid = x.indrelid
    AND f.conkey <@ (string_to_array(x.indkey::text, ' ')::int2[])[1:cardinality(f.conkey)]),
  EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = s.indexrelid),
  CASE WHEN am.amname = 'btree' AND i.relpages > 128 AND i.reltuples > 0 THEN coalesce((
    SELECT greatest(0, 1 - i.reltuples * (12 + 8 * ceil(sum(coalesce(st.avg_width, 16)) / 8.0)) / (8192 * 0.9 * i.relpages))
    FROM unnest(x.indkey) k LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k AND k > 0
    LEFT JOIN pg_stats st ON st.schemaname = s.schemaname AND st.tablename = s.relname AND st.attname = a.attname AND NOT st.inherited), 0) ELSE 0 END::float8
FROM pg_stat_user_indexes s
JOIN pg_statio_user_indexes io USING (indexrelid)
JOIN pg_index x USING (indexrelid)
JOIN pg_class i ON i.oid = s.indexrelid
JOIN pg_am am ON am.oid = i.relam
ORDER BY s.idx_scan DESC, 7 DESC, s.schemaname, s.relname, s.indexrelname`

// Usage reads the index counters of a PostgreSQL database, of all user schemas. The
// other products keep none and give an error matching [errors.ErrUnsupported]. Counters
// are of this server only: ask each replica, and [UsageReport.Merge] the reports. It
// needs PostgreSQL 12.
func Usage(ctx context.Context, q Querier) (UsageReport, error) {
	var r UsageReport
	d, err := Detect(ctx, q)
	if err != nil {
		return r, err
	}
	if d.Name() != "postgres" {
		return r, &dbindex.FeatureError{Dialect: d, Feature: "counters of index use", Alternative: "look at the plans of the queries (EXPLAIN QUERY PLAN)"}
	}
	r.Dialect = d
	err = q.QueryRowContext(ctx, `SELECT now(), coalesce(stats_reset, pg_postmaster_start_time()) FROM pg_stat_database WHERE datname = current_database()`).Scan(&r.At, &r.Since)
	if err != nil {
		return r, fmt.Errorf("dbindex/live: read statistics: %w", err)
	}
	var o InspectOptions
	err = eachRow(ctx, q, usageQuery, nil, func(rows *sql.Rows) error {
		var u IndexUsage
		var last sql.NullTime
		var con string
		err := rows.Scan(&u.Schema, &u.Table, &u.Name, &u.Scans, &u.TuplesRead, &u.TuplesFetched, &u.Bytes,
			&u.BlocksHit, &u.BlocksRead, &last, &u.Unique, &u.Valid, &con, &u.ForeignKey, &u.Building, &u.Bloat)
		u.LastScan, u.Constraint = last.Time, constraintOf(con)
		r.Indexes = append(r.Indexes, u)
		if !slices.Contains(o.Schemas, u.Schema) {
			o.Schemas = append(o.Schemas, u.Schema)
		}
		return err
	})
	if err != nil || len(o.Schemas) == 0 {
		return r, err
	}
	slices.Sort(o.Schemas)
	r.Schema, err = inspectPostgres(ctx, q, d, o)
	return r, err
}
