package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite"

	"github.com/perfblocks/perfblocks/cdn"
)

// outbox is files with a table that tells which of them are pending: what one would
// write by hand who wants to lose nothing.
type outbox struct {
	dir string
	db  *sql.DB
}

// pageOf is how many pending uploads a pass reads at a time.
const pageOf = 256

func (s *outbox) connect(dir string) (err error) {
	s.dir = dir
	s.db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "outbox.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	_, err = s.db.Exec(`CREATE TABLE IF NOT EXISTS pending (id INTEGER PRIMARY KEY, key TEXT UNIQUE, size INT, type TEXT, sha256 BLOB)`)
	return err
}

func (s *outbox) open(dir string) (map[string]int64, error) {
	if err := s.connect(dir); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(`SELECT key, size FROM pending ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]int64{}
	for rows.Next() {
		var key string
		var size int64
		if err := rows.Scan(&key, &size); err != nil {
			return nil, err
		}
		found[key] = size
	}
	return found, rows.Err()
}

// outboxRow is a pending upload.
type outboxRow struct {
	id       int64
	key, typ string
	sum      []byte
}

func (s *outbox) page(after int64) (page []outboxRow, err error) {
	rows, err := s.db.Query(`SELECT id, key, type, sha256 FROM pending WHERE id > ? ORDER BY id LIMIT ?`, after, pageOf)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r outboxRow
		if err := rows.Scan(&r.id, &r.key, &r.typ, &r.sum); err != nil {
			return nil, err
		}
		page = append(page, r)
	}
	return page, rows.Err()
}

func (s *outbox) pass(ctx context.Context, to *curveSink) (sent int, err error) {
	failed, last := 0, int64(0)
	for {
		page, err := s.page(last)
		if err != nil || len(page) == 0 {
			return sent, err
		}
		last = page[len(page)-1].id
		n, down, err := sendAll(page, &failed, func(r outboxRow) error { return s.send(ctx, to, r) })
		sent += n
		if down || err != nil {
			return sent, err
		}
	}
}

// sendAll sends with 4 workers until three in a row have failed, as a pass of ours does.
func sendAll[T any](todo []T, failed *int, send func(T) error) (sent int, down bool, err error) {
	var mu sync.Mutex
	err = inParallel(4, len(todo), func(i int) error {
		mu.Lock()
		enough := *failed >= 3
		mu.Unlock()
		if enough {
			return nil
		}
		err := send(todo[i])
		mu.Lock()
		defer mu.Unlock()
		switch {
		case errors.Is(err, cdn.ErrUnavailable):
			*failed++
			return nil
		case err == nil:
			*failed = 0
			sent++
		}
		return err
	})
	return sent, *failed >= 3, err
}

func (s *outbox) send(ctx context.Context, to *curveSink, r outboxRow) error {
	name := filepath.Join(s.dir, "files", r.key)
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(b); !bytes.Equal(sum[:], r.sum) {
		return fmt.Errorf("%s is damaged", r.key)
	}
	if _, err := to.Put(ctx, cdn.Object{Key: r.key, Size: int64(len(b)), ContentType: r.typ}, bytes.NewReader(b)); err != nil {
		return err
	}
	if _, err := s.db.ExecContext(ctx, `DELETE FROM pending WHERE id = ?`, r.id); err != nil {
		return err
	}
	return os.Remove(name)
}

func (s *outbox) close() error { return s.db.Close() }

func (s *outbox) fill(dir string, n int) error {
	if err := s.connect(dir); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "files"), 0o700); err != nil {
		return err
	}
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // is nothing after Commit
	for i := range n {
		b := pendingBody(i)
		if err := os.WriteFile(filepath.Join(dir, "files", pendingKey(i)), b, 0o600); err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		if _, err := tx.Exec(`INSERT INTO pending (key, size, type, sha256) VALUES (?, ?, ?, ?)`, pendingKey(i), len(b), "application/octet-stream", sum[:]); err != nil {
			return err
		}
	}
	return errors.Join(tx.Commit(), s.close())
}

// plainFiles is a directory whose files are pending: no journal, no hash, no metadata.
type plainFiles struct{ dir string }

func (s *plainFiles) open(dir string) (map[string]int64, error) {
	s.dir = filepath.Join(dir, "files")
	list, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	found := map[string]int64{}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		found[e.Name()] = info.Size()
	}
	return found, nil
}

func (s *plainFiles) pass(ctx context.Context, to *curveSink) (int, error) {
	list, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, err
	}
	failed := 0
	sent, _, err := sendAll(list, &failed, func(e os.DirEntry) error {
		name := filepath.Join(s.dir, e.Name())
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := to.Put(ctx, cdn.Object{Key: e.Name(), Size: int64(len(b))}, bytes.NewReader(b)); err != nil {
			return err
		}
		return os.Remove(name)
	})
	return sent, err
}

func (s *plainFiles) close() error { return nil }

func (s *plainFiles) fill(dir string, n int) error {
	if err := os.Mkdir(filepath.Join(dir, "files"), 0o700); err != nil {
		return err
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, "files", pendingKey(i)), pendingBody(i), 0o600); err != nil {
			return err
		}
	}
	return nil
}
