package classify_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/perfblocks/perfblocks/internal/realtest"
	"github.com/perfblocks/perfblocks/resilience"
)

func open(t *testing.T, driver, dsn string) *sql.DB {
	db := must[*sql.DB](t)(sql.Open(driver, dsn))
	t.Cleanup(func() { db.Close() })
	return db
}

// fails runs statements, parted by ";;", on one connection until one fails.
func fails(db *sql.DB, statements string) func(*testing.T) error {
	return func(t *testing.T) error {
		c := must[*sql.Conn](t)(db.Conn(t.Context()))
		defer c.Close()
		defer c.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK")
		for s := range strings.SplitSeq(statements, ";;") {
			if _, err := c.ExecContext(t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	}
}

// cross runs two transactions that update rows 1 and 2 in opposite orders.
func cross(db *sql.DB, begin string) func(*testing.T) error {
	return func(t *testing.T) error {
		a, b := must[*sql.Conn](t)(db.Conn(t.Context())), must[*sql.Conn](t)(db.Conn(t.Context()))
		defer a.Close()
		defer b.Close()
		run := func(c *sql.Conn, q string) error { _, err := c.ExecContext(t.Context(), q); return err }
		ok(t, run(a, begin))
		ok(t, run(b, begin))
		ok(t, run(a, "UPDATE pair SET v = 1 WHERE id = 1"))
		ok(t, run(b, "UPDATE pair SET v = 1 WHERE id = 2"))
		out := make(chan error, 1)
		go func() { out <- run(a, "UPDATE pair SET v = 2 WHERE id = 2") }()
		err := run(b, "UPDATE pair SET v = 2 WHERE id = 1")
		_ = run(b, "ROLLBACK")
		if other := <-out; err == nil {
			err = other
		}
		_ = run(a, "ROLLBACK")
		return err
	}
}

// serialize updates a row that another transaction has changed since our snapshot.
func serialize(db *sql.DB) func(*testing.T) error {
	return func(t *testing.T) error {
		a := must[*sql.Conn](t)(db.Conn(t.Context()))
		defer a.Close()
		defer a.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK")
		for _, q := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT * FROM pair"} {
			_, err := a.ExecContext(t.Context(), q)
			ok(t, err)
		}
		setup(t, db, "UPDATE pair SET v = v + 1 WHERE id = 2")
		_, err := a.ExecContext(t.Context(), "UPDATE pair SET v = v + 1 WHERE id = 2")
		return err
	}
}

// killed closes the connection that waits in a sleep.
func killed(db *sql.DB, id, sleep, kill string) func(*testing.T) error {
	return func(t *testing.T) error {
		c := must[*sql.Conn](t)(db.Conn(t.Context()))
		defer c.Close()
		var n string
		ok(t, c.QueryRowContext(t.Context(), id).Scan(&n))
		out := make(chan error, 1)
		go func() { out <- c.QueryRowContext(t.Context(), sleep).Scan(new(any)) }()
		time.Sleep(300 * time.Millisecond)
		_, err := db.ExecContext(t.Context(), strings.ReplaceAll(kill, "?", n))
		ok(t, err)
		return <-out
	}
}

// blocked runs a statement while another connection holds what hold takes.
func blocked(db *sql.DB, hold, statements string) func(*testing.T) error {
	return func(t *testing.T) error {
		c := must[*sql.Conn](t)(db.Conn(t.Context()))
		defer c.Close()
		defer c.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK")
		for s := range strings.SplitSeq(hold, ";;") {
			_, err := c.ExecContext(t.Context(), s)
			ok(t, err)
		}
		return fails(db, statements)(t)
	}
}

// ended runs a query under a context that ends.
func ended(db *sql.DB, q string, cancel bool) func(*testing.T) error {
	return func(t *testing.T) error {
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer stop()
		if cancel {
			ctx, stop = context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, stop)
		}
		return db.QueryRowContext(ctx, q).Scan(new(any))
	}
}

func ping(t *testing.T, driver, dsn string) func(*testing.T) error {
	db := open(t, driver, dsn)
	return func(t *testing.T) error { return db.PingContext(t.Context()) }
}

func setup(t *testing.T, db *sql.DB, statements ...string) {
	for _, s := range statements {
		_, err := db.ExecContext(t.Context(), s)
		ok(t, err)
	}
}

// The references are to the PostgreSQL manual, Appendix A (class names) and the
// chapter that tells what raises the state.
func postgresRows(t *testing.T) []row {
	dsn := realtest.Postgres(t)
	db := open(t, "pgx", dsn)
	setup(t, db, "CREATE TABLE pair (id int PRIMARY KEY, v int NOT NULL CHECK (v < 100), p int REFERENCES pair)",
		"INSERT INTO pair VALUES (1, 0), (2, 0)", "CREATE ROLE nobody_here", "CREATE ROLE full LOGIN CONNECTION LIMIT 0 PASSWORD 'x'")
	at := strings.LastIndex(dsn, "@")
	query := func(code, ref, q string, class resilience.Class, f flags) row {
		return row{"SQLSTATE " + code, "PostgreSQL A: " + ref, code, is(class, code, f), fails(db, q)}
	}
	raise := func(code, ref string, class resilience.Class, f flags) row {
		return query(code, ref+", raised with its state", "DO $$ BEGIN RAISE 'x' USING ERRCODE = '"+code+"'; END $$", class, f|variant)
	}
	const again = retry
	bad := resilience.ClassInvalid
	var name string
	ok(t, db.QueryRowContext(t.Context(), "SELECT current_database()").Scan(&name))
	other := func(name string) string { return dsn[:strings.LastIndex(dsn, "/")] + "/" + name }
	return []row{
		{"SQLSTATE 40P01", "PostgreSQL 13.3.4, deadlocks: one transaction is aborted", "40P01", is(resilience.ClassConflict, "40P01", again), cross(db, "BEGIN")},
		{"SQLSTATE 40001", "PostgreSQL 13.5: retry the complete transaction", "40001", is(resilience.ClassConflict, "40001", again), serialize(db)},
		{"SQLSTATE 55P03", "PostgreSQL 20.11, lock_timeout", "55P03", is(resilience.ClassConflict, "55P03", again), blocked(db, "BEGIN;;LOCK TABLE pair", "BEGIN;;SET LOCAL lock_timeout = 20;;LOCK TABLE pair")},
		{"SQLSTATE 57014", "PostgreSQL 20.11, statement_timeout; the state is that of a user's cancel too", "57014", is(resilience.ClassTimeout, "57014", again|anyCounts), fails(db, "BEGIN;;SET LOCAL statement_timeout = 20;;SELECT pg_sleep(9)")},
		{"SQLSTATE 57P01", "PostgreSQL 9.27, pg_terminate_backend", "57P01", is(resilience.ClassUnavailable, "57P01", again|counts), killed(db, "SELECT pg_backend_pid()", "SELECT pg_sleep(9)", "SELECT pg_terminate_backend(?)")},
		{"SQLSTATE 28P01", "PostgreSQL A: invalid_password", "28P01", is(resilience.ClassUnauthorized, "28P01", notSent), ping(t, "pgx", "postgres://full:wrong"+dsn[at:])},
		{"SQLSTATE 53300", "PostgreSQL CREATE ROLE, CONNECTION LIMIT; too_many_connections", "53300", is(resilience.ClassOverloaded, "53300", again|counts|notSent), ping(t, "pgx", "postgres://full:x"+dsn[at:])},
		{"SQLSTATE 3D000", "PostgreSQL A: invalid_catalog_name, of a connection or of DROP DATABASE", "3D000", is(bad, "3D000", anyNotSent), ping(t, "pgx", other("nothing_here"))},
		{"pgx context deadline", "go doc context.DeadlineExceeded", "deadline", is(resilience.ClassTimeout, "", again|counts), ended(db, "SELECT pg_sleep(9)", false)},
		{"pgx context canceled", "go doc context.Canceled", "canceled", is(resilience.ClassCanceled, "", none), ended(db, "SELECT pg_sleep(9)", true)},
		{"pgx refused", "connect(2) ECONNREFUSED", "refused", is(resilience.ClassUnavailable, "ECONNREFUSED", again|notSent|counts), ping(t, "pgx", "postgres://x:y@"+refused(t)+"/z?sslmode=disable")},
		query("23505", "unique_violation", "INSERT INTO pair VALUES (1, 0)", bad, none),
		query("23503", "foreign_key_violation", "INSERT INTO pair VALUES (9, 0, 8)", bad, none),
		query("23514", "check_violation", "INSERT INTO pair VALUES (9, 100)", bad, none),
		query("23502", "not_null_violation", "INSERT INTO pair VALUES (9, NULL)", bad, none),
		query("42P01", "undefined_table", "SELECT * FROM nothing", bad, none),
		query("42703", "undefined_column", "SELECT nothing FROM pair", bad, none),
		query("42601", "syntax_error", "SELEC", bad, none),
		query("42883", "undefined_function", "SELECT nothing()", bad, none),
		query("42P07", "duplicate_table", "CREATE TABLE pair ()", bad, none),
		query("42501", "insufficient_privilege", "BEGIN;;SET LOCAL ROLE nobody_here;;SELECT * FROM pair", resilience.ClassUnauthorized, none),
		query("22012", "division_by_zero", "SELECT 1/0", bad, none),
		query("22003", "numeric_value_out_of_range", "SELECT 99999::smallint", bad, none),
		query("22P02", "invalid_text_representation", "SELECT 'x'::int", bad, none),
		query("22001", "string_data_right_truncation", "CREATE TEMP TABLE s (x char(1));;INSERT INTO s VALUES ('abc')", bad, none),
		query("21000", "cardinality_violation", "SELECT (SELECT id FROM pair)", bad, none),
		query("25006", "read_only_sql_transaction: a standby after failover, or a transaction of our own", "BEGIN READ ONLY;;DELETE FROM pair", resilience.ClassUnavailable, again|anyCounts),
		query("25P02", "in_failed_sql_transaction", "BEGIN;;DO $$ BEGIN NULL; END $$;;SAVEPOINT a;;DO $$ BEGIN RAISE 'x' USING ERRCODE = '25P02'; END $$", bad, variant),
		query("55006", "object_in_use, by whom and for how long is left open", "DROP DATABASE "+name, bad, none|anyRetry),
		query("P0002", "no_data_found", "DO $$ DECLARE x int; BEGIN SELECT id INTO STRICT x FROM pair WHERE false; END $$", resilience.ClassNotFound, none),
		query("34000", "invalid_cursor_name", "CLOSE nothing", bad, none),
		raise("08006", "connection_failure", resilience.ClassUnavailable, again|counts),
		raise("53100", "disk_full: Insufficient Resources", resilience.ClassOverloaded, again|counts),
		raise("53200", "out_of_memory: Insufficient Resources", resilience.ClassOverloaded, again|counts),
		raise("57P03", "cannot_connect_now", resilience.ClassUnavailable, again|counts|notSent),
		raise("57P02", "crash_shutdown", resilience.ClassUnavailable, again|counts),
		raise("54001", "statement_too_complex: Program Limit Exceeded", bad, none),
		raise("58030", "io_error: System Error; the appendix is silent on a retry", resilience.ClassInternal, counts|anyRetry),
		raise("XX000", "internal_error; the appendix is silent on a retry", resilience.ClassInternal, counts|anyRetry),
	}
}
