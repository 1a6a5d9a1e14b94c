package indexes_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/perfblocks/perfblocks/internal/realtest"
)

func open(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
}

// cases is how many random values a test draws.
func cases(few int) int {
	if n, err := strconv.Atoi(os.Getenv("VERSUS_CASES")); err == nil {
		return n
	}
	return few
}

func sqlite(t *testing.T) *sql.DB {
	db := open(t, "sqlite", "file:"+filepath.Join(t.TempDir(), "test.db")+"?_pragma=synchronous(off)&_pragma=journal_mode(memory)")
	db.SetMaxOpenConns(1)
	return db
}

// mariadb returns an empty database of its own.
func mariadb(t *testing.T, name string) *sql.DB {
	t.Helper()
	source := realtest.MariaDB(t)
	admin := open(t, "mysql", source)
	exec(t, admin, "CREATE DATABASE `"+name+"` CHARACTER SET utf8mb4")
	t.Cleanup(func() { exec(t, admin, "DROP DATABASE `"+name+"`") })
	return open(t, "mysql", source[:len(source)-len("perf")]+name)
}

// postgres is a server with databases of their own.
type postgres struct{ addr string }

// database makes an empty database, so that its builds wait for no one else's
// snapshots.
func (p postgres) database(t *testing.T, name string) (db *sql.DB, addr string) {
	t.Helper()
	admin := open(t, "pgx", p.addr)
	exec(t, admin, "CREATE DATABASE "+name)
	t.Cleanup(func() { exec(t, admin, "DROP DATABASE "+name+" WITH (FORCE)") })
	u, err := url.Parse(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return open(t, "pgx", u.String()), u.String()
}

// within ends a test that hangs.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
