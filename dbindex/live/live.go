package live

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

var (
	// ErrOptions matches every error about [Options] and about a database handle
	// that cannot work, such as a pool limited to one connection.
	ErrOptions = errors.New("dbindex/live: invalid options")

	// ErrLocked says that another process held the advisory lock, or SQLite's write
	// lock, for the whole of Options.LockWait. Nothing was changed.
	ErrLocked = errors.New("dbindex/live: another process is applying indexes")

	// ErrPooler says that one connection reached two server processes: a transaction
	// pooler sits between, and session locks would protect nothing. Connect directly.
	ErrPooler = errors.New("dbindex/live: connection goes through a transaction pooler")
)

// ConflictError says that an index of the wanted name exists with another meaning,
// belongs to a constraint, or is Referenced. It is never skipped or dropped in silence.
type ConflictError struct {
	Name string // the index
	Have string // definition of the existing one, as SQL
	Want string // definition that the plan expects, as SQL
}

// Error names the index and both definitions.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("dbindex/live: index %q exists with another definition: have %s; want %s", e.Name, e.Have, e.Want)
}

// UniqueError says that rows already break a unique index. The failed index is gone;
// building it again needs the data repaired first. It unwraps to the driver's error.
type UniqueError struct {
	Name  string // the index
	Cause error  // the driver's error; its detail may hold key values
}

// Error names the index, and leaves the key values out.
func (e *UniqueError) Error() string {
	return fmt.Sprintf("dbindex/live: unique index %q: the table holds duplicate keys", e.Name)
}

// Unwrap returns the driver's error.
func (e *UniqueError) Unwrap() error { return e.Cause }

// InvalidError says that an index was left behind invalid, since cleaning up failed
// too. The next Apply of the same plan repairs it.
type InvalidError struct {
	Name  string // the index
	Cause error  // why it could not be dropped
}

// Error names the index and why it could not be dropped.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("dbindex/live: index %q is left invalid: %v", e.Name, e.Cause)
}

// Unwrap returns why the index could not be dropped.
func (e *InvalidError) Unwrap() error { return e.Cause }

// Querier is what reading needs: *sql.DB, *sql.Conn and *sql.Tx have it.
type Querier interface {
	// QueryContext runs a query that returns rows, as in database/sql.
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	// QueryRowContext runs a query that returns one row, as in database/sql.
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Detect asks the server which product and version it is. A product that is none of
// the four gives an error matching [errors.ErrUnsupported].
func Detect(ctx context.Context, q Querier) (dbindex.Dialect, error) {
	var v string
	// version() first: an error would spoil a PostgreSQL transaction, not an SQLite one.
	if err := q.QueryRowContext(ctx, `SELECT version()`).Scan(&v); err != nil {
		if q.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&v) == nil {
			return dbindex.SQLite(), nil
		}
		return dbindex.Dialect{}, fmt.Errorf("dbindex/live: detect dialect: %w", err)
	}
	if strings.HasPrefix(v, "PostgreSQL ") {
		var num string
		if err := q.QueryRowContext(ctx, `SHOW server_version_num`).Scan(&num); err != nil {
			return dbindex.Dialect{}, fmt.Errorf("dbindex/live: detect dialect: %w", err)
		}
		n, err := strconv.Atoi(num)
		if err != nil {
			return dbindex.Dialect{}, fmt.Errorf("dbindex/live: detect dialect: %w", err)
		}
		return dbindex.Postgres(n / 10000), nil
	}
	var major, minor int
	if n, _ := fmt.Sscanf(v, "%d.%d", &major, &minor); n != 2 {
		return dbindex.Dialect{}, fmt.Errorf("dbindex/live: detect dialect: %w: unknown server", errors.ErrUnsupported)
	}
	if strings.Contains(strings.ToLower(v), "mariadb") {
		return dbindex.MariaDB(major, minor), nil
	}
	return dbindex.MySQL(major, minor), nil
}

// InspectOptions chooses what [Inspect] reads. The zero value reads all tables of
// the connection's current schema.
type InspectOptions struct {
	// Schemas to read. Empty means the current one, whose indexes then have an empty
	// Schema, as hand-written declarations have. SQLite reads "main" only and refuses
	// others.
	Schemas []string
	// Tables to read, in each of the schemas. Empty means all.
	Tables []string
}

// Inspect reads indexes, foreign keys and what lint wants to know of the columns from
// the catalog of a PostgreSQL, MariaDB or SQLite database. Expressions and predicates come
// back as the server prints them. MySQL gives an error matching
// [errors.ErrUnsupported]: nothing here was run on it.
func Inspect(ctx context.Context, q Querier, o InspectOptions) (dbindex.Schema, error) {
	d, err := Detect(ctx, q)
	if err != nil {
		return dbindex.Schema{}, err
	}
	return inspect(ctx, q, d, o)
}

func inspect(ctx context.Context, q Querier, d dbindex.Dialect, o InspectOptions) (dbindex.Schema, error) {
	switch d.Name() {
	case "postgres":
		return inspectPostgres(ctx, q, d, o)
	case "sqlite":
		return inspectSQLite(ctx, q, d, o)
	case "mariadb":
		return inspectMariaDB(ctx, q, d, o)
	}
	return dbindex.Schema{}, unsupported(d, "live inspection")
}

func unsupported(d dbindex.Dialect, what string) error {
	return &dbindex.FeatureError{Dialect: d, Feature: what + " in this package",
		Alternative: "use dbindex.Diff and Plan.Migration with declared indexes"}
}

// DiffOptions configures [Diff].
type DiffOptions struct {
	// AllTables compares every table of the current schema, so that indexes on tables
	// that want does not mention are dropped. Default: only tables of want.
	AllTables bool
}

// Diff compares the wanted indexes with the database by meaning and returns the plan
// that makes them equal. PostgreSQL is asked how it would print each wanted index: it
// is created on an empty temporary copy of its table, in a transaction that is rolled
// back. Use [dbindex.Plan.Without] to keep indexes that others made.
func Diff(ctx context.Context, db *sql.DB, want []dbindex.Index, o DiffOptions) (dbindex.Plan, error) {
	d, err := Detect(ctx, db)
	if err != nil {
		return dbindex.Plan{}, err
	}
	if _, err := dbindex.Diff(d, want, nil); err != nil { // bad definitions first, all of them
		return dbindex.Plan{}, err
	}
	if len(want) == 0 && !o.AllTables {
		return dbindex.Plan{Dialect: d}, nil
	}
	want, err = currentAsEmpty(ctx, db, d, want)
	if err != nil {
		return dbindex.Plan{}, err
	}
	have, err := inspectFor(ctx, db, d, want, o.AllTables)
	if err != nil {
		return dbindex.Plan{}, err
	}
	switch d.Name() {
	case "mariadb":
		normal, err := mariaWhole(ctx, db, want)
		if err != nil {
			return dbindex.Plan{}, err
		}
		plan, err := dbindex.Diff(d, want, substitute(d, want, normal, have))
		if err != nil {
			return dbindex.Plan{}, err
		}
		return keepForeign(ctx, db, plan, have)
	case "sqlite":
		return dbindex.Diff(d, want, have)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return dbindex.Plan{}, fmt.Errorf("dbindex/live: connect: %w", err)
	}
	defer conn.Close()
	normal, err := normalize(ctx, conn, d, want)
	if err != nil {
		return dbindex.Plan{}, err
	}
	return dbindex.Diff(d, want, substitute(d, want, normal, have))
}

// currentAsEmpty writes the current schema as no schema, as Inspect does: else one
// index would be seen under two names.
func currentAsEmpty(ctx context.Context, q Querier, d dbindex.Dialect, want []dbindex.Index) ([]dbindex.Index, error) {
	current := sql.NullString{String: "main", Valid: true}
	if ask := map[string]string{"postgres": `SELECT current_schema()::text`, "mariadb": `SELECT DATABASE()`}[d.Name()]; ask != "" {
		if err := q.QueryRowContext(ctx, ask).Scan(&current); err != nil {
			return nil, fmt.Errorf("dbindex/live: read current schema: %w", err)
		}
	}
	out := slices.Clone(want)
	for i, ix := range out {
		if ix.Schema == current.String {
			out[i].Schema = ""
			out[i].Name = nameOf(ix) // a derived name knows the schema
		}
	}
	return out, nil
}

// inspectFor reads the indexes on the tables of want, with all also those on every
// other table of the current schema.
func inspectFor(ctx context.Context, q Querier, d dbindex.Dialect, want []dbindex.Index, all bool) (have []dbindex.Index, err error) {
	tables := map[string][]string{} // by schema
	for _, ix := range want {
		tables[ix.Schema] = append(tables[ix.Schema], ix.Table)
	}
	if all {
		tables[""] = nil
	}
	for _, schema := range slices.Sorted(maps.Keys(tables)) {
		o := InspectOptions{Tables: tables[schema]}
		if schema != "" {
			o.Schemas = []string{schema}
		}
		var s dbindex.Schema
		if d.Name() == "postgres" {
			err = postgresIndexes(ctx, q, d, o, &s)
		} else {
			s, err = inspect(ctx, q, d, o)
		}
		if err != nil {
			return nil, err
		}
		have = append(have, s.Indexes...)
	}
	return have, nil
}

// substitute replaces live definitions by the wanted ones of the same meaning, so
// that comparing texts is enough afterwards.
func substitute(d dbindex.Dialect, want, normal, have []dbindex.Index) []dbindex.Index {
	out := append([]dbindex.Index(nil), have...)
	for i, h := range out {
		best := -1
		for j, n := range normal {
			if n.Equivalent(d, h) && (best < 0 || nameOf(want[j]) == h.Name) {
				best = j
			}
		}
		if best >= 0 {
			out[i] = want[best]
			out[i].Name, out[i].Constraint, out[i].Invalid, out[i].Referenced = h.Name, h.Constraint, h.Invalid, h.Referenced
		}
	}
	return out
}

func nameOf(ix dbindex.Index) string {
	if ix.Name != "" {
		return ix.Name
	}
	return ix.DerivedName()
}
