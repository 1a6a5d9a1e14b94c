package indexes_test

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/jackc/pgx/v5/stdlib"
)

// pooler hands out connections that send each statement outside a transaction to the
// next of two server processes.
type pooler struct{ addr string }

func (p *pooler) Driver() driver.Driver { return stdlib.GetDefaultDriver() }

func (p *pooler) Connect(context.Context) (driver.Conn, error) {
	c := &pooled{}
	for i := range c.conns {
		conn, err := stdlib.GetDefaultDriver().Open(p.addr)
		if err != nil {
			return nil, err
		}
		c.conns[i] = conn
	}
	return c, nil
}

type pooled struct {
	conns [2]driver.Conn
	next  int
	inTx  bool
}

func (c *pooled) pick() driver.Conn {
	if !c.inTx {
		c.next = 1 - c.next
	}
	return c.conns[c.next]
}

func (c *pooled) Prepare(q string) (driver.Stmt, error) { return c.pick().Prepare(q) }
func (c *pooled) Close() error                          { return errors.Join(c.conns[0].Close(), c.conns[1].Close()) }
func (c *pooled) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *pooled) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.pick().(driver.ConnBeginTx).BeginTx(ctx, o)
	c.inTx = err == nil
	return pooledTx{tx, c}, err
}

type pooledTx struct {
	driver.Tx
	c *pooled
}

func (t pooledTx) Commit() error   { t.c.inTx = false; return t.Tx.Commit() }
func (t pooledTx) Rollback() error { t.c.inTx = false; return t.Tx.Rollback() }

func (c *pooled) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Result, error) {
	return c.pick().(driver.ExecerContext).ExecContext(ctx, q, args)
}

func (c *pooled) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	return c.pick().(driver.QueryerContext).QueryContext(ctx, q, args)
}
