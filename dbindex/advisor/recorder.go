package advisor

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// RecorderOptions configures [NewRecorder]. The zero value works.
type RecorderOptions struct {
	// MaxQueries bounds how many different texts are kept. Later ones are counted in
	// [Recorder.Missed] only. Default 1000.
	MaxQueries int
	// MaxSamples bounds the arguments kept for each: the first, and then at growing
	// distances. Default 5, negative keeps none. Values of more than 1 KiB and of types
	// that are not the driver package's own are not kept, nor those beside them.
	MaxSamples int
}

// Bounds of what a recorder keeps of one statement, in bytes.
const (
	maxRecordedText  = 64 << 10 // longer texts are missed
	maxRecordedValue = 1 << 10
)

// Recorder counts the statements that pass through a database/sql driver and keeps some
// of their arguments, in memory only. Use [Recorder.Connector] with sql.OpenDB. It is
// safe for concurrent use.
type Recorder struct {
	o       RecorderOptions
	mu      sync.Mutex
	queries map[string]*recorded // guarded by mu
	missed  int64                // guarded by mu
}

type recorded struct {
	order int
	calls float64
	next  float64 // the call whose arguments are kept next
	args  [][]any
}

// NewRecorder returns an empty recorder.
func NewRecorder(o RecorderOptions) *Recorder {
	if o.MaxQueries <= 0 {
		o.MaxQueries = 1000
	}
	if o.MaxSamples == 0 {
		o.MaxSamples = 5
	}
	return &Recorder{o: o, queries: map[string]*recorded{}}
}

// Connector returns c with every query and execution recorded, those of prepared
// statements and transactions too.
func (r *Recorder) Connector(c driver.Connector) driver.Connector {
	return recConnector{Connector: c, r: r}
}

// Workload returns what was recorded so far, most frequent first, weighed by calls.
func (r *Recorder) Workload() Workload {
	r.mu.Lock()
	defer r.mu.Unlock()
	var w Workload
	for text, q := range r.queries {
		w = append(w, Query{SQL: text, Weight: q.calls, Args: slices.Clone(q.args)})
	}
	slices.SortFunc(w, func(a, b Query) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(r.queries[a.SQL].order, r.queries[b.SQL].order))
	})
	return w
}

// Missed is the number of statements whose text was not kept, since MaxQueries others
// came first or it was longer than 64 KiB.
func (r *Recorder) Missed() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.missed
}

// done records an execution, unless database/sql is going to try it again.
func (r *Recorder) done(text string, args []driver.NamedValue, err error) {
	if !errors.Is(err, driver.ErrSkip) && !errors.Is(err, driver.ErrBadConn) {
		r.record(text, args)
	}
}

func (r *Recorder) record(text string, args []driver.NamedValue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.queries[text]
	if q == nil {
		if len(r.queries) >= r.o.MaxQueries || len(text) > maxRecordedText {
			r.missed++
			return
		}
		q = &recorded{order: len(r.queries)}
		r.queries[text] = q
	}
	if q.calls++; q.calls < q.next || len(args) == 0 || len(q.args) >= r.o.MaxSamples {
		return
	}
	q.next = q.calls * 3
	values := make([]any, len(args))
	for i, a := range args {
		v, ok := keep(a)
		if !ok {
			return
		}
		values[i] = v
	}
	q.args = append(q.args, values)
}

// keep returns a value that nobody else may write to, and is not long.
func keep(a driver.NamedValue) (any, bool) {
	if a.Name != "" {
		return nil, false // named arguments would need their names
	}
	switch v := a.Value.(type) {
	case nil, bool, int64, float64, time.Time:
		return v, true
	case string:
		return strings.Clone(v), len(v) <= maxRecordedValue
	case []byte:
		return slices.Clone(v), len(v) <= maxRecordedValue
	}
	return nil, false
}

type recConnector struct {
	driver.Connector
	r *Recorder
}

func (c recConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &recConn{Conn: conn, r: c.r}, nil
}

// Close is for sql.DB.Close, which closes connectors that can be.
func (c recConnector) Close() error {
	if closer, ok := c.Connector.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// recConn forwards every optional interface of a connection, with the answer that
// database/sql understands as its absence.
type recConn struct {
	driver.Conn
	r *Recorder
}

func (c *recConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	q, ok := c.Conn.(driver.QueryerContext)
	if !ok {
		return nil, driver.ErrSkip // database/sql prepares it, which is recorded there
	}
	rows, err := q.QueryContext(ctx, query, args)
	c.r.done(query, args, err)
	return rows, err
}

func (c *recConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	e, ok := c.Conn.(driver.ExecerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	res, err := e.ExecContext(ctx, query, args)
	c.r.done(query, args, err)
	return res, err
}

func (c *recConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	var s driver.Stmt
	var err error
	if p, ok := c.Conn.(driver.ConnPrepareContext); ok {
		s, err = p.PrepareContext(ctx, query)
	} else {
		s, err = c.Conn.Prepare(query)
	}
	if err != nil {
		return nil, err
	}
	return &recStmt{Stmt: s, conn: c, query: query}, nil
}

func (c *recConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *recConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if b, ok := c.Conn.(driver.ConnBeginTx); ok {
		return b.BeginTx(ctx, o)
	}
	if o.Isolation != 0 || o.ReadOnly {
		return nil, errors.New("dbindex/advisor: the driver has no transaction options")
	}
	//lint:ignore SA1019 the only way of such a driver
	return c.Conn.Begin()
}

func (c *recConn) Ping(ctx context.Context) error {
	if p, ok := c.Conn.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

func (c *recConn) ResetSession(ctx context.Context) error {
	if s, ok := c.Conn.(driver.SessionResetter); ok {
		return s.ResetSession(ctx)
	}
	return nil
}

func (c *recConn) IsValid() bool {
	if v, ok := c.Conn.(driver.Validator); ok {
		return v.IsValid()
	}
	return true
}

func (c *recConn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// recStmt records each execution of a prepared statement.
type recStmt struct {
	driver.Stmt
	conn  *recConn
	query string
}

func (s *recStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	defer func() { s.conn.r.done(s.query, args, err) }()
	if q, ok := s.Stmt.(driver.StmtQueryContext); ok {
		return q.QueryContext(ctx, args)
	}
	values, err := plain(ctx, args)
	if err != nil {
		return nil, err
	}
	//lint:ignore SA1019 the only way of such a driver
	return s.Stmt.Query(values)
}

func (s *recStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (res driver.Result, err error) {
	defer func() { s.conn.r.done(s.query, args, err) }()
	if e, ok := s.Stmt.(driver.StmtExecContext); ok {
		return e.ExecContext(ctx, args)
	}
	values, err := plain(ctx, args)
	if err != nil {
		return nil, err
	}
	//lint:ignore SA1019 the only way of such a driver
	return s.Stmt.Exec(values)
}

// ColumnConverter is what database/sql asks when nothing else converts a value.
func (s *recStmt) ColumnConverter(i int) driver.ValueConverter {
	//lint:ignore SA1019 some drivers have only this
	if c, ok := s.Stmt.(driver.ColumnConverter); ok {
		return c.ColumnConverter(i)
	}
	return driver.DefaultParameterConverter
}

func (s *recStmt) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return s.conn.CheckNamedValue(v)
}

// plain is for drivers without contexts, as database/sql treats them itself.
func plain(ctx context.Context, args []driver.NamedValue) ([]driver.Value, error) {
	out := make([]driver.Value, len(args))
	for i, a := range args {
		if a.Name != "" {
			return nil, errors.New("dbindex/advisor: the driver has no named parameters")
		}
		out[i] = a.Value
	}
	return out, ctx.Err()
}
