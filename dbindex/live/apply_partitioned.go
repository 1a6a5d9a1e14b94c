package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// owned reports whether dropping the index is not for this package.
func (p *pgIndex) owned() bool { return p.index.Constraint != dbindex.NoConstraint || p.Referenced }

// partitioned reports whether the table of the index is split into partitions.
func (a *pgApply) partitioned(ctx context.Context, ix dbindex.Index) (is bool, err error) {
	err = a.ctl.QueryRowContext(ctx, `SELECT relkind = 'p' FROM pg_class WHERE oid = $1::text::regclass`, qualified(ix.Schema, ix.Table)).Scan(&is)
	if err != nil {
		return false, fmt.Errorf("dbindex/live: read table %q: %w", ix.Table, err)
	}
	return is, nil
}

// buildPartitioned builds the index of a partitioned table without blocking writers:
// an empty one ON ONLY the parent, one on each partition concurrently, and these
// attached to it, which makes it valid. When it fails all of them are dropped.
func (a *pgApply) buildPartitioned(ctx context.Context, s *StepReport, ix, want dbindex.Index) error {
	defer func(before int) { s.Attempts = before + 1 }(s.Attempts) // all statements are one attempt
	var made []pgMade
	err := a.growTree(ctx, s, ix, want, &made)
	if err == nil {
		return nil
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.o.CleanupTimeout)
	defer cancel()
	e := a.control(clean)
	for i := 0; e == nil && i < len(made); i++ {
		if e = a.alive(clean); e == nil {
			e = a.dropNow(clean, made[i].index, made[i].split)
		}
	}
	if e != nil {
		return errors.Join(err, &InvalidError{Name: nameOf(ix), Cause: e})
	}
	return err // the parent's is dropped as any invalid index
}

// pgPart is a partition and whether its index is attached already.
type pgPart struct {
	schema, name  string
	split, joined bool
}

// pgMade is an index that was made for a partition and is not attached yet.
type pgMade struct {
	index dbindex.Index
	split bool // the partition has partitions itself
}

// growTree builds one level and what is below it. What it made and did not attach is
// in made when it returns an error.
func (a *pgApply) growTree(ctx context.Context, s *StepReport, ix, want dbindex.Index, made *[]pgMade) error {
	have, err := a.find(ctx, want, nameOf(ix))
	if err != nil {
		return err
	}
	if have == nil {
		stmt, err := onOnly(a.d, ix)
		if err != nil {
			return err
		}
		if err := a.patient(ctx, s, stmt); err != nil {
			return err
		}
	}
	parts, err := a.parts(ctx, ix)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.joined {
			continue
		}
		child, childWant := ix, want
		child.Schema, child.Table, child.Name = p.schema, p.name, ""
		child.Name = nameOf(child)
		childWant.Schema, childWant.Table, childWant.Name = p.schema, p.name, child.Name
		if err := a.growPart(ctx, s, p.split, child, childWant, made); err != nil {
			return err
		}
		attach := `ALTER INDEX ` + qualified(ix.Schema, nameOf(ix)) + ` ATTACH PARTITION ` + qualified(child.Schema, child.Name)
		if err := a.patient(ctx, s, attach); err != nil {
			return err
		}
		*made = slices.DeleteFunc(*made, func(m pgMade) bool { return m.index.Schema == child.Schema && m.index.Name == child.Name })
	}
	return nil
}

// growPart makes the index of one partition valid.
func (a *pgApply) growPart(ctx context.Context, s *StepReport, split bool, child, want dbindex.Index, made *[]pgMade) error {
	if split {
		*made = append(*made, pgMade{child, true})
		return a.growTree(ctx, s, child, want, made)
	}
	sub := StepReport{Step: s.Step}
	out, err := a.create(ctx, &sub, child, want)
	s.Attempts, s.Repaired = max(s.Attempts, sub.Attempts), s.Repaired || sub.Repaired
	if err == nil && out == Done {
		*made = append(*made, pgMade{child, false})
	}
	return err
}

// patient runs a statement that needs a short strong lock, and tries again when others
// have it.
func (a *pgApply) patient(ctx context.Context, s *StepReport, stmt string) error {
	for try := 1; ; try++ {
		err := a.run(ctx, s, stmt, false)
		if err == nil || try >= a.o.Attempts || !retryable(err) {
			return err
		}
		if err := pause(ctx, retryPause); err != nil {
			return err
		}
	}
}

// parts lists the partitions of the index's table, directly below it.
func (a *pgApply) parts(ctx context.Context, ix dbindex.Index) (list []pgPart, err error) {
	rows, err := a.ctl.QueryContext(ctx, `
SELECT CASE WHEN n.nspname = current_schema() THEN '' ELSE n.nspname END, c.relname, c.relkind = 'p',
  EXISTS (SELECT FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid WHERE i.inhparent = $2::text::regclass AND x.indrelid = c.oid AND x.indisvalid)
FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE h.inhparent = $1::text::regclass ORDER BY n.nspname, c.relname`, qualified(ix.Schema, ix.Table), qualified(ix.Schema, nameOf(ix)))
	if err != nil {
		return nil, fmt.Errorf("dbindex/live: read partitions of %q: %w", ix.Table, err)
	}
	defer rows.Close()
	for rows.Next() {
		var p pgPart
		if err := rows.Scan(&p.schema, &p.name, &p.split, &p.joined); err != nil {
			return nil, fmt.Errorf("dbindex/live: read partitions of %q: %w", ix.Table, err)
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// onOnly is the CREATE statement that leaves the partitions out.
func onOnly(d dbindex.Dialect, ix dbindex.Index) (string, error) {
	stmt, err := ix.SQL(d)
	kind := "CREATE INDEX "
	if ix.Unique {
		kind = "CREATE UNIQUE INDEX "
	}
	head := kind + qualified("", nameOf(ix)) + " ON "
	rest, ok := strings.CutPrefix(stmt, head)
	if err == nil && !ok {
		err = fmt.Errorf("dbindex/live: unexpected form of CREATE INDEX for %q", nameOf(ix))
	}
	return head + "ONLY " + rest, err
}
