package classify_test

import (
	"database/sql"
	"io"
	"net"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"github.com/perfblocks/perfblocks/internal/realtest"
	"github.com/perfblocks/perfblocks/resilience"
)

// The references are to the MariaDB Error Code Reference.
func mariadbRows(t *testing.T) []row {
	dsn := realtest.MariaDB(t)
	db := open(t, "mysql", dsn)
	setup(t, db, "CREATE TABLE pair (id int PRIMARY KEY, v tinyint NOT NULL CHECK (v < 100), p int REFERENCES pair (id), s char(1)) ENGINE=InnoDB",
		"INSERT INTO pair VALUES (1, 0, NULL, ''), (2, 0, NULL, '')")
	query := func(code, ref, q string, class resilience.Class, f flags) row {
		return row{"MariaDB " + code, "MariaDB error " + code + " " + ref, code, is(class, code, f), fails(db, q)}
	}
	bad := resilience.ClassInvalid
	tail := dsn[strings.LastIndex(dsn, "@"):]
	return append([]row{
		{"MariaDB 1213", "ER_LOCK_DEADLOCK: try restarting transaction", "1213", is(resilience.ClassConflict, "1213", retry), cross(db, "BEGIN")},
		{"MariaDB 1205", "ER_LOCK_WAIT_TIMEOUT: try restarting transaction", "1205", is(resilience.ClassConflict, "1205", retry), blocked(db, "BEGIN;;UPDATE pair SET v = 5 WHERE id = 1", "SET innodb_lock_wait_timeout = 0;;UPDATE pair SET v = 6 WHERE id = 1")},
		{"MariaDB 1045", "ER_ACCESS_DENIED_ERROR, of a login or of a statement", "1045", is(resilience.ClassUnauthorized, "1045", anyNotSent), ping(t, "mysql", "no:body"+tail)},
		{"MariaDB 1049", "ER_BAD_DB_ERROR, of a login or of USE", "1049", is(bad, "1049", anyNotSent), ping(t, "mysql", dsn[:strings.LastIndex(dsn, "/")]+"/nothing")},
		{"MariaDB 1317", "ER_QUERY_INTERRUPTED: by KILL QUERY", "1317", is(resilience.ClassCanceled, "1317", none), killed(db, "SELECT CONNECTION_ID()", "SELECT COUNT(*) FROM information_schema.collations a, information_schema.collations b, information_schema.collations c, information_schema.collations d", "KILL QUERY ?")},
		{"MariaDB killed", "KILL CONNECTION closes the connection", "", is(resilience.ClassUnavailable, "", retry|counts), killed(db, "SELECT CONNECTION_ID()", "SELECT COUNT(*) FROM information_schema.collations a, information_schema.collations b, information_schema.collations c, information_schema.collations d", "KILL ?")},
		{"mysql deadline", "go doc context.DeadlineExceeded", "deadline", is(resilience.ClassTimeout, "", retry|counts), ended(db, "SELECT SLEEP(2)", false)},
		{"mysql canceled", "go doc context.Canceled", "canceled", is(resilience.ClassCanceled, "", none), ended(db, "SELECT SLEEP(2)", true)},
		{"mysql refused", "connect(2) ECONNREFUSED", "refused", is(resilience.ClassUnavailable, "ECONNREFUSED", retry|notSent|counts), ping(t, "mysql", "x:y@tcp("+refused(t)+")/z")},
		query("1969", "ER_STATEMENT_TIMEOUT, max_statement_time", "SET STATEMENT max_statement_time = 0.05 FOR SELECT COUNT(*) FROM information_schema.collations a, information_schema.collations b, information_schema.collations c, information_schema.collations d", resilience.ClassTimeout, retry|counts),
		query("1062", "ER_DUP_ENTRY", "INSERT INTO pair VALUES (1, 0, NULL, '')", bad, none),
		query("1146", "ER_NO_SUCH_TABLE", "SELECT * FROM nothing", bad, none),
		query("1054", "ER_BAD_FIELD_ERROR", "SELECT nothing FROM pair", bad, none),
		query("1064", "ER_PARSE_ERROR", "SELEC", bad, none),
		query("1048", "ER_BAD_NULL_ERROR", "INSERT INTO pair VALUES (9, NULL, NULL, '')", bad, none),
		query("1452", "ER_NO_REFERENCED_ROW_2", "INSERT INTO pair VALUES (9, 0, 8, '')", bad, none),
		query("4025", "ER_CONSTRAINT_FAILED", "INSERT INTO pair VALUES (9, 101, NULL, '')", bad, none),
		query("1264", "ER_WARN_DATA_OUT_OF_RANGE", "SET sql_mode = 'TRADITIONAL';;INSERT INTO pair VALUES (9, 9999, NULL, '')", bad, none),
		query("1406", "ER_DATA_TOO_LONG", "SET sql_mode = 'TRADITIONAL';;INSERT INTO pair VALUES (9, 1, NULL, 'long')", bad, none),
		query("1050", "ER_TABLE_EXISTS_ERROR", "CREATE TABLE pair (x int)", bad, none),
		query("1792", "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION; go-sql-driver, rejectReadOnly: a failover, or a transaction of our own", "START TRANSACTION READ ONLY;;DELETE FROM pair", resilience.ClassUnavailable, retry|anyCounts),
		query("1305", "ER_SP_DOES_NOT_EXIST", "CALL nothing()", bad, none),
		query("1040", "ER_CON_COUNT_ERROR, signalled with its number", "SIGNAL SQLSTATE '08004' SET MYSQL_ERRNO = 1040", resilience.ClassOverloaded, retry|counts|notSent|variant),
		query("1053", "ER_SERVER_SHUTDOWN, signalled with its number", "SIGNAL SQLSTATE '08S01' SET MYSQL_ERRNO = 1053", resilience.ClassUnavailable, retry|counts|variant),
	}, mariadbServerRows(t, db, tail)...)
}

// mariadbServerRows are refusals by the server's state, by its limits and by its
// rights, and what the driver says before it sends.
func mariadbServerRows(t *testing.T, db *sql.DB, tail string) []row {
	setup(t, db, "CREATE USER plain@'%' IDENTIFIED BY 'p' WITH MAX_USER_CONNECTIONS 1", "GRANT SELECT, INSERT ON perf.pair TO plain@'%'",
		"CREATE USER many@'%' IDENTIFIED BY 'p'", "GRANT ALL ON perf.* TO many@'%'", "CREATE USER bare@'%' IDENTIFIED BY 'p'",
		"CREATE TABLE child (p int, FOREIGN KEY (p) REFERENCES pair (id)) ENGINE=InnoDB", "INSERT INTO child VALUES (1)")
	plain, many := open(t, "mysql", "plain:p"+tail), open(t, "mysql", "many:p"+tail)
	plain.SetMaxOpenConns(1)
	query := func(code, ref string, db *sql.DB, q string, class resilience.Class, f flags) row {
		return row{"MariaDB " + code, "MariaDB error " + code + " " + ref, code, is(class, code, f), fails(db, q)}
	}
	bad, cred, over := resilience.ClassInvalid, resilience.ClassUnauthorized, resilience.ClassOverloaded
	return []row{
		query("1142", "ER_TABLEACCESS_DENIED_ERROR", plain, "DELETE FROM pair", cred, none),
		query("1227", "ER_SPECIFIC_ACCESS_DENIED_ERROR", plain, "SET GLOBAL read_only = 0", cred, none),
		{"MariaDB 1044", "MariaDB error 1044 ER_DBACCESS_DENIED_ERROR, of a login or of USE", "1044", is(cred, "1044", anyNotSent), ping(t, "mysql", "bare:p"+tail)},
		query("1451", "ER_ROW_IS_REFERENCED_2", db, "DELETE FROM pair WHERE id = 1", bad, none),
		query("1242", "ER_SUBQUERY_NO_1_ROW", db, "SELECT (SELECT id FROM pair)", bad, none),
		query("1365", "ER_DIVISION_BY_ZERO", db, "SET sql_mode = 'TRADITIONAL';;UPDATE pair SET v = 1/0", bad, none),
		query("1366", "ER_TRUNCATED_WRONG_VALUE_FOR_FIELD", db, "SET sql_mode = 'TRADITIONAL';;UPDATE pair SET v = 'x'", bad, none),
		query("1114", "ER_RECORD_FILE_FULL: the table is full", db, "SET max_heap_table_size = 16384;;CREATE TEMPORARY TABLE heap (x char(255)) ENGINE=MEMORY;;INSERT INTO heap SELECT 'x' FROM information_schema.collations", over, retry|counts),
		{"MariaDB 1226", "MariaDB error 1226 ER_USER_LIMIT_REACHED: the login is refused", "1226", is(over, "1226", retry|notSent|counts), func(t *testing.T) error {
			defer must[*sql.Conn](t)(plain.Conn(t.Context())).Close()
			return open(t, "mysql", "plain:p"+tail).PingContext(t.Context())
		}},
		{"MariaDB 1040, real", "MariaDB error 1040 ER_CON_COUNT_ERROR: the login is refused", "1040", is(over, "1040", retry|notSent|counts), func(t *testing.T) error {
			setup(t, db, "SET GLOBAL max_connections = 10")
			defer setup(t, db, "SET GLOBAL max_connections = 151")
			for range 12 {
				c, err := many.Conn(t.Context())
				if err != nil {
					return err
				}
				defer c.Close()
			}
			return nil
		}},
		{"MariaDB 1290", "MariaDB error 1290 ER_OPTION_PREVENTS_STATEMENT, read_only: a replica after failover", "1290", is(resilience.ClassUnavailable, "1290", retry|counts), func(t *testing.T) error {
			setup(t, db, "SET GLOBAL read_only = 1")
			defer setup(t, db, "SET GLOBAL read_only = 0")
			return fails(many, "UPDATE pair SET v = 3 WHERE id = 2")(t)
		}},
		{"mysql packet too large", "go doc mysql.ErrPktTooLarge: found before sending", "too large", is(bad, "", notSent), func(t *testing.T) error {
			_, err := open(t, "mysql", "many:p"+tail+"?maxAllowedPacket=1024").ExecContext(t.Context(), "SELECT '"+strings.Repeat("x", 4096)+"'")
			return err
		}},
		{"mysql no TLS", "go doc mysql.ErrNoTLS: found before the login", "TLS requested", is(resilience.ClassPermanent, "", notSent), ping(t, "mysql", "many:p"+tail+"?tls=true")},
		{"mysql server of another protocol", "MySQL protocol, Protocol::HandshakeV9: no version in common, found before the login", "protocol version 9", is(resilience.ClassPermanent, "", notSent), func(t *testing.T) error {
			addr := listen(t, func(c net.Conn) { _, _ = c.Write([]byte("\x05\x00\x00\x00\x09abcd")); _, _ = io.Copy(io.Discard, c) })
			return open(t, "mysql", "x:y@tcp("+addr+")/z").PingContext(t.Context())
		}},
	}
}
