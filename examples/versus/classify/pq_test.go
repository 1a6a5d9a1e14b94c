package classify_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/perfblocks/perfblocks/internal/realtest"
	"github.com/perfblocks/perfblocks/resilience"
)

// pqRows are errors as lib/pq tells them. References are to the PostgreSQL manual,
// Appendix A, where they name no other document.
func pqRows(t *testing.T) []row {
	dsn := realtest.Postgres(t)
	db := open(t, "postgres", dsn)
	setup(t, db, "CREATE TABLE pair (id int PRIMARY KEY, v int)", "INSERT INTO pair VALUES (1, 0), (2, 0)", "CREATE ROLE pq_user LOGIN PASSWORD 'x'")
	at := strings.LastIndex(dsn, "@")
	query := func(code, ref, q string, class resilience.Class, f flags) row {
		return row{"pq " + code, "PostgreSQL A: " + ref, code, is(class, code, f), fails(db, q)}
	}
	bad := resilience.ClassInvalid
	return []row{
		query("23505", "unique_violation", "INSERT INTO pair VALUES (1, 0)", bad, variant),
		query("42P01", "undefined_table", "SELECT * FROM nothing", bad, variant),
		query("26000", "invalid_sql_statement_name", "EXECUTE nothing", bad, none),
		query("2201X", "invalid_row_count_in_result_offset_clause", "SELECT 1 OFFSET -1", bad, none),
		query("22008", "datetime_field_overflow", "SELECT '2000-02-31'::date", bad, none),
		query("0A000", "feature_not_supported: repeating cannot help", "SELECT count(*) FROM pair FOR UPDATE", resilience.ClassPermanent, none),
		query("2BP01", "dependent_objects_still_exist", "CREATE TEMP TABLE p (x int);;CREATE TEMP VIEW w AS SELECT * FROM p;;DROP TABLE p", bad, none),
		query("42809", "wrong_object_type", "DROP VIEW pair", bad, none),
		query("54023", "too_many_arguments: Program Limit Exceeded", "SELECT concat("+strings.Repeat("1,", 100)+"1)", bad, none),
		{"pq NOWAIT", "PostgreSQL, SELECT, NOWAIT: 55P03 lock_not_available", "could not obtain lock", is(resilience.ClassConflict, "55P03", retry), blocked(db, "BEGIN;;SELECT * FROM pair WHERE id = 1 FOR UPDATE", "SELECT * FROM pair WHERE id = 1 FOR UPDATE NOWAIT")},
		{"pq serialization", "PostgreSQL 13.2.2: could not serialize access due to concurrent update, 40001", "serialize", is(resilience.ClassConflict, "40001", retry), serialize(db)},
		{"pq terminated", "go doc driver.ErrBadConn: not if the server may have acted; this driver says it of a running statement", "bad connection", is(resilience.ClassUnavailable, "", retry|counts|anyNotSent), killed(db, "SELECT pg_backend_pid()", "SELECT pg_sleep(9)", "SELECT pg_terminate_backend(?)")},
		{"pq wrong password", "PostgreSQL A: invalid_password", "password", is(resilience.ClassUnauthorized, "28P01", notSent|variant), ping(t, "postgres", "postgres://pq_user:wrong"+dsn[at:])},
		{"pq no TLS", "go doc pq.ErrSSLNotSupported: sslmode=require, found before the login", "SSL is not enabled", is(resilience.ClassPermanent, "", notSent), ping(t, "postgres", strings.Replace(dsn, "sslmode=disable", "sslmode=require", 1))},
		{"pq refused", "connect(2) ECONNREFUSED", "refused", is(resilience.ClassUnavailable, "ECONNREFUSED", retry|notSent|counts|variant), ping(t, "postgres", "postgres://x:y@"+refused(t)+"/z?sslmode=disable")},
		{"pq setting malformed", "PostgreSQL 34.1.2, sslmode: no such value", "sslmode", is(bad, "", notSent), func(*testing.T) error { _, err := pq.NewConnector("sslmode=nonsense"); return err }},
		{"pq server of another protocol", "PostgreSQL 55.2.1: the reply to a startup message; whether it will pass is left open", "startup", is(resilience.ClassInternal, "", counts|notSent|anyRetry), func(t *testing.T) error {
			addr := listen(t, func(c net.Conn) {
				_, _ = c.Read(make([]byte, 1<<10))
				_, _ = c.Write([]byte{'x', 0, 0, 0, 4})
				_, _ = io.Copy(io.Discard, c)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			return open(t, "postgres", "postgres://x:y@"+addr+"/z?sslmode=disable").PingContext(ctx)
		}},
	}
}
