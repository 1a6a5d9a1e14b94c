package dbindex

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Op is what a [Step] does.
type Op uint8

// The kinds of step.
const (
	Create  Op = iota // build an index that is not there
	Drop              // remove an index that is not wanted
	Replace           // build the new definition beside the old one, drop that, take its name
	Rename            // give an index of the right definition the wanted name
)

var opNames = [...]string{"create", "drop", "replace", "rename"}

// String returns "create", "drop", "replace" or "rename".
func (o Op) String() string { return enumString(opNames[:], o) }

// MarshalText writes the name that [Op.String] gives; a value outside the declared
// ones gives an error matching [ErrOptions].
func (o Op) MarshalText() ([]byte, error) { return enumMarshal("op", opNames[:], o) }

// UnmarshalText reads the names that [Op.String] gives; others give an error
// matching [ErrOptions] and leave the value as it was.
func (o *Op) UnmarshalText(text []byte) error { return enumUnmarshal("op", opNames[:], o, text) }

// Step is one change of a [Plan].
type Step struct {
	// Op says what to do.
	Op Op
	// Index is the index to create, or the one to drop, with its Name filled in.
	Index Index
	// Old is the definition that Replace removes and the name that Rename changes;
	// zero for Create and Drop.
	Old Index
}

// Statement is one SQL statement of a plan, without final semicolon.
type Statement struct {
	// SQL is the text; it has no line breaks.
	SQL string
	// NoTx says that the statement fails inside a transaction, and that nothing else
	// may be sent in the same query string.
	NoTx bool
}

// Plan is a list of changes for one dialect, from [Diff]. It is a plain value that
// can be printed, filtered, written as migration files and given to live.Apply.
type Plan struct {
	// Dialect is the database that the plan was made for.
	Dialect Dialect
	// Steps in the order of execution: creations first, drops last, each group by
	// table and name.
	Steps []Step
	// Blocking asks for plain DDL that blocks writes but runs in a transaction, in
	// place of CONCURRENTLY (PostgreSQL) and LOCK=NONE (MySQL, MariaDB). For empty
	// tables and maintenance windows.
	Blocking bool
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Without returns the plan less the steps of the given kinds, such as
// p.Without(dbindex.Drop) in a database that others index too. The plan itself is
// unchanged.
func (p Plan) Without(ops ...Op) Plan {
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return slices.Contains(ops, s.Op) })
	return p
}

// Reverse returns the plan that undoes p exactly: created indexes are dropped,
// dropped ones created again as they were, in the opposite order. PostgreSQL may print
// such a one with fewer brackets than before, where its predicate holds a BETWEEN.
func (p Plan) Reverse() Plan {
	steps := slices.Clone(p.Steps)
	slices.Reverse(steps)
	for i, s := range steps {
		switch s.Op {
		case Create:
			steps[i].Op = Drop
		case Drop:
			steps[i].Op = Create
		default:
			steps[i].Index, steps[i].Old = s.Old, s.Index
		}
	}
	p.Steps = steps
	return p
}

// Statements returns the SQL of the plan in order. The error is a [*FeatureError] or
// matches [ErrIndex] or [ErrOptions]; all steps are checked.
func (p Plan) Statements() ([]Statement, error) {
	if err := p.Dialect.check(); err != nil {
		return nil, err
	}
	var all []Statement
	var errs []error
	for _, s := range p.Steps {
		st, err := s.statements(p.Dialect, !p.Blocking)
		all = append(all, st...)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, nil
}

// Statements returns the SQL of this step alone: one statement, or up to three for
// Replace. Online asks for the form that does not block writes.
func (s Step) Statements(d Dialect, online bool) ([]Statement, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	return s.statements(d, online)
}

func (s Step) statements(d Dialect, online bool) ([]Statement, error) {
	noTx := online && d.family == postgres
	one := func(noTx bool, sql string, err error) ([]Statement, error) {
		return []Statement{{SQL: sql, NoTx: noTx}}, err
	}
	create := func(ix Index) ([]Statement, error) {
		sql, err := ix.createSQL(d, online)
		return one(noTx, sql, err)
	}
	drop := func(ix Index) ([]Statement, error) {
		sql, err := ix.dropSQL(d, online)
		return one(noTx, sql, err)
	}
	rename := func(ix Index, from string) ([]Statement, error) {
		sql, err := ix.renameSQL(d, from)
		return one(false, sql, err)
	}
	join := func(parts ...func() ([]Statement, error)) (all []Statement, err error) {
		for _, f := range parts {
			st, e := f()
			all, err = append(all, st...), errors.Join(err, e)
		}
		return all, err
	}
	switch {
	case s.Op == Create:
		return create(s.Index)
	case s.Op == Drop:
		return drop(s.Index)
	case s.Op == Rename && d.canRename():
		return rename(s.Index, s.Old.name())
	case s.Op == Replace && s.onlyIgnored(d):
		sql, err := s.Index.ignoreSQL(d)
		return one(false, sql, err)
	case s.Op == Replace && d.canRename():
		tmp := s.Index
		tmp.Name = s.TempName()
		return join(func() ([]Statement, error) { return create(tmp) },
			func() ([]Statement, error) { return drop(s.Old) },
			func() ([]Statement, error) { return rename(s.Index, tmp.Name) })
	case s.Op == Replace || s.Op == Rename:
		return join(func() ([]Statement, error) { return drop(s.Old) },
			func() ([]Statement, error) { return create(s.Index) })
	}
	return nil, fmt.Errorf("%w: unknown step %s", ErrOptions, s.Op)
}

// onlyIgnored reports whether the two definitions of a Replace differ in nothing but
// Ignored.
func (s Step) onlyIgnored(d Dialect) bool {
	now := s.Old
	now.Ignored = s.Index.Ignored
	return d.isMySQL() && s.Old.Ignored != s.Index.Ignored && s.Index.name() == s.Old.name() && now.Equivalent(d, s.Index)
}

// TempName returns the name under which Replace builds the new definition before
// the old one is dropped: the final name with a hash of the definition.
func (s Step) TempName() string {
	return hashName([]byte(s.Index.name()), s.Index.appendIdentity([]byte("replace ")))
}

// String returns the SQL of the plan, one statement to a line with semicolons, or
// the error as a comment. It is for people; tools use [Plan.Statements].
func (p Plan) String() string {
	st, err := p.Statements()
	if err != nil {
		return "-- " + strings.ReplaceAll(err.Error(), "\n", "\n-- ") + "\n"
	}
	b := strings.Builder{}
	for _, s := range st {
		b.WriteString(s.SQL + ";\n")
	}
	return b.String()
}
