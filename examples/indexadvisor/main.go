package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/advisor"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// config is what the flags say.
type config struct {
	dsn, workload, scratch, out string
	kind                        dbindex.MigrationKind
	statements, megabytes       int
	indexes                     int
	primary, drop, dry          bool
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := readConfig(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err == nil:
		err = cfg.advise(ctx, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "indexadvisor:", strings.ReplaceAll(err.Error(), "\n", "; "))
		return 1
	}
	return 0
}

func readConfig(args []string, stderr io.Writer) (config, error) {
	cfg := config{kind: dbindex.Goose}
	f := flag.NewFlagSet("indexadvisor", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&cfg.dsn, "dsn", "", "postgres://… or the path of an SQLite `file`")
	f.StringVar(&cfg.workload, "workload", "", "`file` of statements")
	f.IntVar(&cfg.statements, "statements", 0, "take the `n` costliest of pg_stat_statements instead")
	f.StringVar(&cfg.scratch, "scratch", "", "`address` of a copy of the database")
	f.BoolVar(&cfg.primary, "allow-primary", false, "ask hypopg on a server that takes writes")
	f.IntVar(&cfg.megabytes, "max-mb", 0, "most `megabytes` of proposals, 0 for any")
	f.IntVar(&cfg.indexes, "max-indexes", 0, "most proposals, 0 for any")
	f.StringVar(&cfg.out, "out", "", "`directory` for migration files")
	f.TextVar(&cfg.kind, "kind", dbindex.Goose, "tool of the files: goose, golang-migrate, prisma or plain")
	f.BoolVar(&cfg.drop, "drop", false, "also drop what is not needed any more")
	f.BoolVar(&cfg.dry, "dry-run", true, "do not apply the advice")
	if err := f.Parse(args); err != nil {
		return cfg, err
	}
	if cfg.dsn == "" || (cfg.workload == "") == (cfg.statements == 0) || f.NArg() > 0 {
		return cfg, errors.New("want -dsn, and either -workload or -statements")
	}
	return cfg, nil
}

func (cfg config) isPostgres() bool {
	return strings.HasPrefix(cfg.dsn, "postgres://") || strings.HasPrefix(cfg.dsn, "postgresql://")
}

// open opens the database at an address.
func open(address string, postgres bool) (*sql.DB, error) {
	if postgres {
		return sql.Open("pgx", address)
	}
	if _, err := os.Stat(address); err != nil {
		return nil, err // SQLite would make an empty database
	}
	return sql.Open("sqlite", "file:"+address+"?_pragma=busy_timeout(5000)")
}

func (cfg config) advise(ctx context.Context, stdout, stderr io.Writer) (err error) {
	db, err := open(cfg.dsn, cfg.isPostgres())
	if err != nil {
		return err
	}
	defer db.Close()
	work, err := cfg.read(ctx, db)
	if err != nil {
		return err
	}
	b, err := cfg.backend(ctx, db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	p := &progress{w: stderr}
	o := advisor.Options{MaxBytes: int64(cfg.megabytes) << 20, MaxIndexes: cfg.indexes, DisableDrops: !cfg.drop, Shortlist: b.shortlist, Progress: p.show}
	advice, err := advisor.Advise(ctx, b.whatIf, work, o)
	if err == nil && b.scratch != nil {
		advice, err = advisor.Verify(ctx, b.scratch, advice, work, advisor.VerifyOptions{Progress: p.show})
	}
	p.clear()
	if err != nil {
		return err
	}
	if err := report(stdout, advice); err != nil {
		return err
	}
	return cfg.deliver(ctx, db, advice, stdout)
}

func (cfg config) read(ctx context.Context, db *sql.DB) (advisor.Workload, error) {
	if cfg.statements > 0 {
		return advisor.FromStatements(ctx, db, cfg.statements)
	}
	text, err := os.ReadFile(cfg.workload)
	if err != nil {
		return nil, err
	}
	return advisor.ParseWorkload(string(text))
}

// backend is who is asked, and how to leave.
type backend struct {
	whatIf    advisor.WhatIf
	scratch   advisor.Scratch // nil when queries cannot be run
	shortlist advisor.WhatIf
	closers   []func() error
}

// close undoes in the opposite order.
func (b *backend) close() error {
	var errs []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		errs = append(errs, b.closers[i]())
	}
	return errors.Join(errs...)
}

func (cfg config) backend(ctx context.Context, db *sql.DB) (*backend, error) {
	b := &backend{}
	var err error
	switch {
	case !cfg.isPostgres():
		err = b.sqlite(ctx, db)
	case cfg.scratch != "":
		err = b.toggle(ctx, cfg.dsn, cfg.scratch)
	default:
		var h *advisor.HypoPG
		if h, err = advisor.NewHypoPG(ctx, db, advisor.HypoPGOptions{AllowPrimary: cfg.primary}); err == nil {
			b.whatIf, b.closers = h, append(b.closers, h.Close)
		}
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// sqlite works on a copy in the temporary folder.
func (b *backend) sqlite(ctx context.Context, db *sql.DB) error {
	dir, err := os.MkdirTemp("", "indexadvisor-*")
	if err != nil {
		return err
	}
	b.closers = append(b.closers, func() error { return os.RemoveAll(dir) })
	path := filepath.Join(dir, "copy.db")
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	scratch, err := open(path, false)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, scratch.Close)
	s, err := advisor.NewSQLite(ctx, scratch, path)
	if err != nil {
		return err
	}
	b.whatIf, b.scratch, b.closers = s, s, append(b.closers, s.Close)
	return nil
}

// toggle works in the scratch database; hypopg spares it most of the building where it
// is installed there.
func (b *backend) toggle(ctx context.Context, dsn, address string) error {
	app, err := pgx.ParseConfig(dsn)
	if err != nil {
		return fmt.Errorf("-dsn: %w", err)
	}
	scratch, err := pgx.ParseConfig(address)
	if err != nil {
		return fmt.Errorf("-scratch: %w", err)
	}
	if app.Host == scratch.Host && app.Port == scratch.Port && app.Database == scratch.Database {
		return errors.New("-scratch names the database of -dsn: want a copy of it")
	}
	db, err := open(address, true)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, db.Close)
	t, err := advisor.NewToggle(ctx, db, scratch.Database)
	if err != nil {
		return err
	}
	b.whatIf, b.scratch, b.closers = t, t, append(b.closers, t.Close)
	h, err := advisor.NewHypoPG(ctx, db, advisor.HypoPGOptions{AllowPrimary: true})
	if err == nil {
		b.shortlist, b.closers = h, append(b.closers, h.Close)
	}
	return nil
}

// deliver writes the migration files, and applies the advice unless the run is dry.
func (cfg config) deliver(ctx context.Context, db *sql.DB, advice *advisor.Advice, stdout io.Writer) error {
	plan := advice.Plan()
	if !cfg.drop {
		plan = plan.Without(dbindex.Drop)
	}
	if cfg.out != "" {
		files, err := plan.Migration(cfg.kind, dbindex.MigrationOptions{At: time.Now(), Name: "advised_indexes"})
		if err != nil {
			return err
		}
		if err := os.CopyFS(cfg.out, files); err != nil {
			return fmt.Errorf("write migration: %w", err)
		}
		fmt.Fprintf(stdout, "migration files are in %s\n", cfg.out)
	}
	if cfg.dry {
		fmt.Fprintln(stdout, "dry run: the database is as it was")
		return nil
	}
	if _, err := live.Apply(ctx, db, plan, live.Options{}); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "applied: %d steps\n", len(plan.Steps))
	return nil
}
