package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// Counts tells what became of random values.
type Counts struct {
	Built   int // created, read back, and found without difference
	Lacking int // refused with a FeatureError, before any SQL was sent
	Refused int // refused with an IdentError, before any SQL was sent
	Server  int // refused by the server: an operator class or collation that does not fit
}

// RoundTrip draws random indexes until n of them were created in an empty database:
// CREATE, inspect, empty diff, and for a third of them drop and create from what was
// inspected. They are made by forties, so that Diff tells them apart as well.
func RoundTrip(ctx context.Context, db *sql.DB, n int, seed uint64) (c Counts, err error) {
	d, err := live.Detect(ctx, db)
	if err != nil {
		return c, err
	}
	if d.Name() == "postgres" {
		_, _ = db.ExecContext(ctx, `CREATE EXTENSION IF NOT EXISTS pg_trgm`)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	for batch := 0; c.Built < n; batch++ {
		if batch > n+100 {
			return c, fmt.Errorf("only %d of %d values could be built", c.Built, n)
		}
		for _, stmt := range createTables(d) {
			if _, err := db.ExecContext(ctx, stmt); err != nil {
				return c, err
			}
		}
		made, err := c.build(ctx, db, d, r, min(40, n-c.Built))
		if err == nil {
			err = compare(ctx, db, d, made, batch%3 == 0)
		}
		if err != nil {
			return c, err
		}
		for _, t := range randomTables() { // and their indexes
			if _, err := db.ExecContext(ctx, "DROP TABLE "+quote(d, t.name)); err != nil {
				return c, err
			}
		}
		c.Built += len(made)
	}
	return c, nil
}

// build creates up to n random indexes.
func (c *Counts) build(ctx context.Context, db *sql.DB, d dbindex.Dialect, r *rand.Rand, n int) (made []dbindex.Index, err error) {
	names := map[string]bool{}
	for range 6 * n {
		ix := RandomIndex(r, d)
		create, err := ix.SQL(d)
		if err != nil {
			if _, ok := errors.AsType[*dbindex.FeatureError](err); !ok {
				return nil, fmt.Errorf("SQL(%+v): %w; want a FeatureError", ix, err)
			}
			c.Lacking++
			continue
		}
		if ix.Name == "" {
			ix.Name = ix.DerivedName()
		}
		if key := strings.ToLower(ix.Name); names[key] || len(made) == n {
			continue
		} else {
			names[key] = true
		}
		if _, err := db.ExecContext(ctx, create); err != nil {
			c.Server++
			if !misfit(err) {
				return nil, fmt.Errorf("%s: %w", create, err)
			}
			if _, err := live.Diff(ctx, db, []dbindex.Index{ix}, live.DiffOptions{}); err == nil && d.Name() == "postgres" {
				return nil, fmt.Errorf("%s: refused by the server, accepted by Diff", create)
			}
			continue
		}
		made = append(made, ix)
	}
	return made, nil
}

// misfit reports whether there is no such operator class or collation, or not for the
// type.
func misfit(err error) bool {
	s, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	return ok && (s.SQLState() == "42704" || s.SQLState() == "42804") || strings.Contains(err.Error(), "no such collation")
}

// compare finds no difference, and the same again after creation from what was read.
func compare(ctx context.Context, db *sql.DB, d dbindex.Dialect, made []dbindex.Index, again bool) error {
	plan, err := live.Diff(ctx, db, made, live.DiffOptions{AllTables: true})
	if err != nil || !plan.Empty() {
		return fmt.Errorf("diff after CREATE = %s, %w; want nothing", plan, err)
	}
	schema, err := live.Inspect(ctx, db, live.InspectOptions{})
	if err != nil || len(schema.Indexes) != len(made) || len(schema.Unknown) != 0 {
		return fmt.Errorf("inspect = %d indexes and %v, %w; want %d", len(schema.Indexes), schema.Unknown, err, len(made))
	}
	if again {
		if err := execute(ctx, db, d, dbindex.Drop, schema.Indexes); err != nil {
			return err
		}
		if err := execute(ctx, db, d, dbindex.Create, schema.Indexes); err != nil {
			return err
		}
		second, err := live.Inspect(ctx, db, live.InspectOptions{})
		if err != nil || len(second.Indexes) != len(made) {
			return fmt.Errorf("second Inspect = %d indexes, %w; want %d", len(second.Indexes), err, len(made))
		}
		for i, ix := range second.Indexes {
			if first := schema.Indexes[i]; !ix.Equivalent(d, first) || ix.Name != first.Name {
				return fmt.Errorf("created from what was inspected: %+v; want %+v", ix, first)
			}
		}
	}
	return nil
}

// execute runs a plan of one kind of step.
func execute(ctx context.Context, db *sql.DB, d dbindex.Dialect, op dbindex.Op, list []dbindex.Index) error {
	plan := dbindex.Plan{Dialect: d, Blocking: true}
	for _, ix := range list {
		plan.Steps = append(plan.Steps, dbindex.Step{Op: op, Index: ix})
	}
	st, err := plan.Statements()
	if err != nil {
		return err
	}
	for _, s := range st {
		if _, err := db.ExecContext(ctx, s.SQL); err != nil {
			return fmt.Errorf("%s: %w", s.SQL, err)
		}
	}
	return nil
}

// HostileNames creates n tables and indexes whose names, columns and constants are
// random and hostile. Each is refused by this package or comes back as it was given;
// an error tells of a name that came back otherwise, or of what else was changed.
func HostileNames(ctx context.Context, db *sql.DB, n int, seed uint64) (c Counts, err error) {
	d, err := live.Detect(ctx, db)
	if err != nil {
		return c, err
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE canary (a integer)`); err != nil {
		return c, err
	}
	r := rand.New(rand.NewPCG(seed, 2))
	for c.Built < n {
		ix := dbindex.Index{Name: randomName(r), Table: "t" + randomName(r), Keys: []dbindex.Key{dbindex.Asc("c" + randomName(r))}}
		if d.Name() != "mariadb" && r.IntN(2) == 0 {
			ix.Where = dbindex.Eq(ix.Keys[0].Column, randomName(r))
		}
		create, err := ix.SQL(d)
		if err != nil {
			if !errors.Is(err, dbindex.ErrIndex) {
				return c, fmt.Errorf("SQL(%+v): %w; want ErrIndex", ix, err)
			}
			c.Refused++
			continue
		}
		if err := c.hostile(ctx, db, d, ix, create); err != nil {
			return c, fmt.Errorf("%s: %w", create, err)
		}
	}
	return c, nil
}

func (c *Counts) hostile(ctx context.Context, db *sql.DB, d dbindex.Dialect, ix dbindex.Index, create string) error {
	table, column := quote(d, ix.Table), quote(d, ix.Keys[0].Column)
	if _, err := db.ExecContext(ctx, "CREATE TABLE "+table+" ("+column+" varchar(200))"); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, create); err != nil {
		return err
	}
	plan, err := live.Diff(ctx, db, []dbindex.Index{ix}, live.DiffOptions{})
	if err != nil || !plan.Empty() {
		return fmt.Errorf("diff = %s, %w; want nothing", plan, err)
	}
	schema, err := live.Inspect(ctx, db, live.InspectOptions{})
	if err != nil || len(schema.Indexes) != 1 || schema.Indexes[0].Name != ix.Name || schema.Indexes[0].Table != ix.Table || schema.Indexes[0].Keys[0].Column != ix.Keys[0].Column {
		return fmt.Errorf("inspect = %+v, %w; want the one index", schema.Indexes, err)
	}
	if len(schema.Columns) != 2 {
		return fmt.Errorf("there are columns %v; want that of the canary and that of the table", schema.Columns)
	}
	c.Built++
	_, err = db.ExecContext(ctx, "DROP TABLE "+table)
	return err
}
