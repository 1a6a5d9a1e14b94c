package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// Kind is a database product.
type Kind int

// The two databases that the service runs on.
const (
	SQLite Kind = iota
	Postgres
)

// pgSchema holds the service's tables, so that a database which has a "User"
// table of its own is never touched.
const pgSchema = "perfblocks_chat"

// Store is an open database. It is safe for concurrent use.
type Store struct {
	db   *sql.DB
	kind Kind

	mu    sync.Mutex
	stmts map[string]*sql.Stmt // guarded by mu; by text

	calls [statements]calls
	slow  atomic.Int64 // nanoseconds that a query takes longer
}

// Open connects to databaseURL, or to a SQLite file in dir when it is empty.
func Open(ctx context.Context, databaseURL, dir string) (*Store, error) {
	if databaseURL == "" {
		return openSQLite(ctx, filepath.Join(dir, "chat.db"))
	}
	return openPostgres(ctx, databaseURL)
}

func openSQLite(ctx context.Context, path string) (*Store, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(10000)", "journal_mode(wal)", "foreign_keys(1)", "synchronous(normal)", "cache_size(-4000)",
	}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", path, err)
	}
	// More connections than this only wait for each other's page locks.
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("store: open %s: %w", path, err)
	}
	return &Store{db: db, kind: SQLite, stmts: map[string]*sql.Stmt{}}, nil
}

func openPostgres(ctx context.Context, databaseURL string) (*Store, error) {
	cfg, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		// The driver's error repeats the URL with its password taken out.
		return nil, fmt.Errorf("store: DATABASE_URL: %w", err)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	cfg.RuntimeParams["search_path"] = pgSchema
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	if _, err := db.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS `+pgSchema); err != nil {
		db.Close()
		return nil, fmt.Errorf("store: connect to PostgreSQL at %s:%d: %w", cfg.Host, cfg.Port, err)
	}
	return &Store{db: db, kind: Postgres, stmts: map[string]*sql.Stmt{}}, nil
}

// DB is the pool, for applying and inspecting indexes.
func (s *Store) DB() *sql.DB { return s.db }

// Kind tells which database this is.
func (s *Store) Kind() Kind { return s.kind }

// Close closes the pool.
func (s *Store) Close() error { return s.db.Close() }

// Slow lets each query take longer by d, as on a database that has too much to do.
func (s *Store) Slow(d time.Duration) { s.slow.Store(int64(d)) }

// sql gives the text of a query for this database: written for PostgreSQL, with
// $1 for parameters, ILIKE and booleans. SQLite uses a partial index only for the
// same literal.
func (s *Store) sql(q string) string {
	if s.kind == Postgres {
		return q
	}
	return strings.NewReplacer("$", "?", "ILIKE", "LIKE", "= false", "= 0", "greatest(", "max(", "interval '1 millisecond'", "1").Replace(q)
}

// stamp converts a time to what the database keeps.
func (s *Store) stamp(t time.Time) any {
	if s.kind == Postgres {
		return t
	}
	return t.UnixMilli()
}

// moment reads a time from either database.
type moment struct{ time.Time }

// Scan implements [sql.Scanner].
func (m *moment) Scan(v any) error {
	switch v := v.(type) {
	case time.Time:
		m.Time = v.UTC()
	case int64:
		m.Time = time.UnixMilli(v).UTC()
	default:
		return fmt.Errorf("store: %T is not a time", v)
	}
	return nil
}
