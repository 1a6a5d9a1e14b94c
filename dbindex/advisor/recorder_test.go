package advisor_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex/advisor"
)

// oldDriver has nothing but what database/sql/driver demands, and its own conversion of
// values: it has no contexts, and numbers are texts.
type oldDriver struct {
	mu     sync.Mutex
	closed bool
	bad    int // connections that fail at first
	seen   []driver.Value
}

func (d *oldDriver) Connect(context.Context) (driver.Conn, error) { return oldConn{d}, nil }
func (d *oldDriver) Driver() driver.Driver                        { return d }
func (d *oldDriver) Open(string) (driver.Conn, error)             { return oldConn{d}, nil }
func (d *oldDriver) Close() error                                 { d.closed = true; return nil }

type oldConn struct{ d *oldDriver }

func (c oldConn) Prepare(string) (driver.Stmt, error) { return oldStmt(c), nil }
func (c oldConn) Close() error                        { return nil }
func (c oldConn) Begin() (driver.Tx, error)           { return nil, errors.New("none") }

type oldStmt struct{ d *oldDriver }

func (s oldStmt) Close() error  { return nil }
func (s oldStmt) NumInput() int { return -1 }
func (s oldStmt) Exec(args []driver.Value) (driver.Result, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.d.bad > 0 {
		s.d.bad--
		return nil, driver.ErrBadConn
	}
	s.d.seen = args
	return driver.RowsAffected(1), nil
}
func (s oldStmt) Query([]driver.Value) (driver.Rows, error) { return nil, errors.New("none") }
func (s oldStmt) ColumnConverter(int) driver.ValueConverter { return driver.String }

func TestRecorderOldDriver(t *testing.T) {
	d := &oldDriver{bad: 1}
	r := advisor.NewRecorder(advisor.RecorderOptions{})
	c := r.Connector(d)
	if _, ok := c.(io.Closer); !ok {
		t.Error("the connector hides Close")
	}
	db := sql.OpenDB(c)
	if _, err := db.Exec("UPDATE t SET a = ?", 7); err != nil {
		t.Fatal(err)
	}
	if len(d.seen) != 1 || d.seen[0] != "7" {
		t.Errorf("the driver saw %#v; want its own conversion, \"7\"", d.seen)
	}
	if w := r.Workload(); len(w) != 1 || w[0].Weight != 1 {
		t.Errorf("recorded %+v; want one call, the one on a broken connection not counted", w)
	}
	if _, err := db.Exec("UPDATE t SET a = ?", sql.Named("a", 7)); err == nil {
		t.Error("named parameters went to a driver that has none")
	}
	if err := db.Close(); err != nil || !d.closed {
		t.Errorf("Close = %v, the driver's connector closed: %v", err, d.closed)
	}
}

// TestRecorderBounds keeps neither long texts nor values that are long.
func TestRecorderBounds(t *testing.T) {
	r := advisor.NewRecorder(advisor.RecorderOptions{})
	db := sql.OpenDB(r.Connector(&oldDriver{}))
	defer db.Close()
	exec := func(text string, args ...any) {
		t.Helper()
		if _, err := db.Exec(text, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("INSERT INTO t VALUES (?)", strings.Repeat("x", 1<<20))
	exec("INSERT INTO t VALUES (?)", bytes.Repeat([]byte("x"), 1<<20))
	exec("INSERT INTO t VALUES ('" + strings.Repeat("x", 1<<20) + "')")
	w := r.Workload()
	if len(w) != 1 || len(w[0].Args) != 0 || w[0].Weight != 2 || r.Missed() != 1 {
		t.Errorf("%d texts, %d samples, %d missed; want 1, none, 1", len(w), len(w[0].Args), r.Missed())
	}
	exec("INSERT INTO t VALUES (?)", "short")
	exec("INSERT INTO t VALUES (?)", "short")
	if w = r.Workload(); len(w[0].Args) == 0 {
		t.Error("after long values no short ones are kept")
	}
}

func TestRecorderConcurrent(t *testing.T) {
	r := advisor.NewRecorder(advisor.RecorderOptions{MaxQueries: 5})
	db := sql.OpenDB(r.Connector(&oldDriver{}))
	defer db.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				_, _ = db.Exec("UPDATE t"+strings.Repeat("x", i)+" SET a = ?", []byte("v"))
				_ = r.Workload()
			}
		})
	}
	wg.Wait()
	total := float64(r.Missed())
	for _, q := range r.Workload() {
		total += q.Weight
	}
	if total != 400 || len(r.Workload()) != 5 {
		t.Errorf("%v calls of %d texts; want 400 of 5", total, len(r.Workload()))
	}
}
