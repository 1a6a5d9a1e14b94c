package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// prepared returns the statement of q, which is written for PostgreSQL. The database
// parses each text once for a connection rather than for each query.
func (s *Store) prepared(ctx context.Context, q string) (*sql.Stmt, error) {
	s.mu.Lock()
	st := s.stmts[q]
	s.mu.Unlock()
	if st != nil {
		return st, nil
	}
	st, err := s.db.PrepareContext(ctx, s.sql(q))
	if err != nil {
		return nil, fmt.Errorf("store: prepare: %w", err)
	}
	s.mu.Lock()
	first := s.stmts[q]
	if first == nil {
		s.stmts[q] = st
	}
	s.mu.Unlock()
	if first != nil { // somebody was quicker
		return first, st.Close()
	}
	return st, nil
}

// scanner is a row, or the reason why there is none.
type scanner interface{ Scan(into ...any) error }

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// row asks for one row.
func (s *Store) row(ctx context.Context, q string, args ...any) scanner {
	st, err := s.prepared(ctx, q)
	if err != nil {
		return failedRow{err}
	}
	return st.QueryRowContext(ctx, args...)
}

// rowIn is row in a transaction.
func (s *Store) rowIn(ctx context.Context, tx *sql.Tx, q string, args ...any) scanner {
	st, err := s.prepared(ctx, q)
	if err != nil {
		return failedRow{err}
	}
	return tx.StmtContext(ctx, st).QueryRowContext(ctx, args...)
}

// execIn changes something in a transaction.
func (s *Store) execIn(ctx context.Context, tx *sql.Tx, q string, args ...any) error {
	st, err := s.prepared(ctx, q)
	if err == nil {
		_, err = tx.StmtContext(ctx, st).ExecContext(ctx, args...)
	}
	return err
}

// inTx runs fn in a transaction.
func (s *Store) inTx(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// query collects the rows of q.
func query[T any](ctx context.Context, s *Store, q string, scan func(*sql.Rows) (T, error), args ...any) ([]T, error) {
	st, err := s.prepared(ctx, q)
	if err != nil {
		return nil, err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("store: query: %w", err)
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("store: scan: %w", err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: rows: %w", err)
	}
	return out, nil
}
