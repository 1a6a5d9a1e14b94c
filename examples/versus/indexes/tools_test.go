package indexes_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/golang-migrate/migrate/v4"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/pressly/goose/v3"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// tool brings a plan about in the database at an address. A nil error claims that all
// is done.
type tool struct {
	name string
	run  func(ctx context.Context, addr string, plan dbindex.Plan) error
}

func tools() []tool {
	return []tool{{"perfblocks", runOurs}, {"golang-migrate", runMigrate}, {"goose", runGoose}}
}

func runOurs(ctx context.Context, addr string, plan dbindex.Plan) error {
	db, err := sql.Open("pgx", addr)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = live.Apply(ctx, db, plan, live.Options{ProgressEvery: 50 * time.Millisecond})
	return err
}

func files(plan dbindex.Plan, kind dbindex.MigrationKind) (fs.FS, error) {
	return plan.Migration(kind, dbindex.MigrationOptions{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
}

func runMigrate(ctx context.Context, addr string, plan dbindex.Plan) error {
	f, err := files(plan, dbindex.GolangMigrate)
	if err != nil {
		return err
	}
	db, err := sql.Open("pgx", addr)
	if err != nil {
		return err
	}
	driver, err := migratepgx.WithInstance(db, &migratepgx.Config{})
	if err != nil {
		return err
	}
	from, err := iofs.New(f, ".")
	if err != nil {
		return err
	}
	m, err := migrate.NewWithInstance("iofs", from, "pgx5", driver)
	if err != nil {
		return err
	}
	defer m.Close()
	done := make(chan error, 1)
	go func() { done <- m.Up() }()
	select {
	case err := <-done:
		if err == migrate.ErrNoChange {
			return nil
		}
		return err
	case <-ctx.Done():
		m.GracefulStop <- true
		return errors.Join(ctx.Err(), <-done)
	}
}

func runGoose(ctx context.Context, addr string, plan dbindex.Plan) error {
	f, err := files(plan, dbindex.Goose)
	if err != nil {
		return err
	}
	db, err := sql.Open("pgx", addr)
	if err != nil {
		return err
	}
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectPostgres, db, f)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// plan is one index on the table of the faults.
func plan(t *testing.T, unique bool) dbindex.Plan {
	t.Helper()
	p, err := dbindex.Diff(dbindex.Postgres(15), []dbindex.Index{{Name: "wanted", Table: "item", Unique: unique, Keys: []dbindex.Key{dbindex.Asc("b"), dbindex.Asc("a")}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
