package live

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
)

// mortal is a server whose sessions answer until it is down.
type mortal struct {
	down   bool
	opened int
	asked  func(query string) // after each answer
}

func (m *mortal) Driver() driver.Driver { return nil }

func (m *mortal) Connect(context.Context) (driver.Conn, error) {
	if m.down {
		return nil, errors.New("connection refused")
	}
	m.opened++
	return mortalConn{m}, nil
}

type mortalConn struct{ m *mortal }

func (mortalConn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not prepared") }
func (mortalConn) Close() error                        { return nil }
func (mortalConn) Begin() (driver.Tx, error)           { return nil, errors.New("no transaction") }

func (c mortalConn) QueryContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.m.down {
		return nil, errors.New("terminated")
	}
	if c.m.asked != nil {
		c.m.asked(query)
	}
	return &one{}, nil
}

type one struct{ done bool }

func (*one) Columns() []string { return []string{"v"} }
func (*one) Close() error      { return nil }

func (r *one) Next(dest []driver.Value) error {
	if r.done {
		return errors.New("one row only")
	}
	dest[0], r.done = int64(1), true
	return nil
}

func TestSessionLost(t *testing.T) {
	m := &mortal{}
	db := sql.OpenDB(m)
	defer db.Close()
	a := session{db: db}
	if err := a.open(t.Context(), &a.ctl); err != nil {
		t.Fatal(err)
	}
	held := a.ctl

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if lost, err := a.lost(ended); lost || !errors.Is(err, context.Canceled) || a.ctl != held {
		t.Errorf("lost with an ended context = %v, %v; want false and its error, and the connection kept", lost, err)
	}
	if lost, err := a.lost(t.Context()); lost || err != nil {
		t.Errorf("lost of a session that answers = %v, %v", lost, err)
	}

	m.down = true
	if lost, err := a.lost(t.Context()); !lost || err == nil {
		t.Errorf("lost with the server down = %v, %v; want true and an error", lost, err)
	}
	if n := db.Stats().OpenConnections; n != 0 {
		t.Errorf("%d connections left; want that of the lost session closed", n)
	}
	if err := a.ctl.Close(); !errors.Is(err, sql.ErrConnDone) {
		t.Errorf("Close after it = %v; want %v", err, sql.ErrConnDone)
	}

	m.down = false
	if lost, err := a.lost(t.Context()); !lost || err != nil || !answers(t.Context(), a.ctl) || m.opened != 2 {
		t.Errorf("lost with the server up again = %v, %v, %d opened; want true and a new session", lost, err, m.opened)
	}
	_ = a.ctl.Close()
}

// TestLockedWhenContextEnds ends ctx as soon as the advisory lock is taken: its session
// must not go back to the pool with it. This one cannot unlock, so it has to be closed.
func TestLockedWhenContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := &mortal{}
	m.asked = func(query string) {
		if strings.Contains(query, "pg_try_advisory_lock") {
			cancel()
		}
	}
	db := sql.OpenDB(m)
	defer db.Close()
	o, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	err = applyPostgres(ctx, db, dbindex.Plan{Dialect: dbindex.Postgres(15)}, o, &Report{})
	if !errors.Is(err, context.Canceled) || m.opened != 1 {
		t.Fatalf("applyPostgres = %v, %d sessions; want it canceled, and one", err, m.opened)
	}
	if n := db.Stats().OpenConnections; n != 0 {
		t.Errorf("%d sessions left; want that with the lock closed", n)
	}
}
