package dbindex

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// MigrationKind is the tool that will run the files.
type MigrationKind uint8

// The tools. Each kind's files are shaped so that CONCURRENTLY really runs there.
const (
	// Plain writes <name>.up.sql and <name>.down.sql for psql and other clients.
	Plain MigrationKind = iota
	// Prisma writes <time>_<name>/migration.sql and down.sql beside it, one folder for
	// each CONCURRENTLY statement, since Prisma sends a file as one query string.
	Prisma
	// GolangMigrate writes <time>_<name>.up.sql and .down.sql, one pair for each
	// CONCURRENTLY statement; for MySQL and MariaDB one for each statement, which their
	// drivers want unless told otherwise.
	GolangMigrate
	// Goose writes <time>_<name>.sql with both directions, marked NO TRANSACTION when
	// a statement needs it.
	Goose
)

var kindNames = [...]string{"plain", "prisma", "golang-migrate", "goose"}

// String returns "plain", "prisma", "golang-migrate" or "goose".
func (k MigrationKind) String() string { return enumString(kindNames[:], k) }

// MarshalText writes the name that [MigrationKind.String] gives; a value outside the
// declared ones gives an error matching [ErrOptions].
func (k MigrationKind) MarshalText() ([]byte, error) {
	return enumMarshal("migration kind", kindNames[:], k)
}

// UnmarshalText reads the names that [MigrationKind.String] gives; others give an
// error matching [ErrOptions] and leave the value as it was.
func (k *MigrationKind) UnmarshalText(text []byte) error {
	return enumUnmarshal("migration kind", kindNames[:], k, text)
}

// MigrationOptions configures [Plan.Migration]. Plain files need no field; the
// other kinds need At.
type MigrationOptions struct {
	// At is the version of the first file, in UTC to the second; each further file
	// is one second later. Required except for Plain, so that equal plans give equal
	// bytes. The year must be 1 to 9999.
	At time.Time
	// IfNotExists writes CREATE INDEX CONCURRENTLY IF NOT EXISTS, so that a file which
	// failed half-way can run again, and before each a check that stops with an error
	// when an invalid index of that name is there, which IF NOT EXISTS alone would take
	// for good. PostgreSQL only; without it a second run fails on what is there.
	IfNotExists bool
	// Name is the word part of the file names: lower-case letters, digits and
	// underscores, at most 60. Default "indexes".
	Name string
}

// Migration returns the plan as files for a migration tool, for [os.CopyFS]. Each
// down file is the exact inverse of its up file. Equal arguments give equal bytes;
// an empty plan gives no files. The error matches [ErrOptions] or [ErrIndex], or is a
// [*FeatureError].
func (p Plan) Migration(kind MigrationKind, o MigrationOptions) (fs.FS, error) {
	var errs []error
	if o.Name == "" {
		o.Name = "indexes"
	}
	if len(o.Name) > 60 || strings.ContainsFunc(o.Name, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		errs = append(errs, fmt.Errorf("%w: Name %q: want at most 60 lower-case letters, digits and underscores", ErrOptions, short(o.Name)))
	}
	o.At = o.At.UTC()
	if y := o.At.Year(); kind != Plain && (o.At.IsZero() || y < 1 || y > 9999) {
		errs = append(errs, fmt.Errorf("%w: At is not set or outside the years 1 to 9999", ErrOptions))
	}
	if int(kind) >= len(kindNames) {
		errs = append(errs, fmt.Errorf("%w: unknown migration kind %d", ErrOptions, kind))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := p.Dialect.check(); err != nil {
		return nil, err
	}
	groups, err := p.groups(o.IfNotExists, kind == GolangMigrate && p.Dialect.isMySQL())
	if err != nil {
		return nil, err
	}
	down, err := p.Reverse().Statements()
	if err != nil {
		return nil, err
	}
	var up []Statement
	for _, g := range groups {
		up = append(up, g.up...)
	}
	files := memFS{}
	if len(up) == 0 {
		return files, nil
	}
	switch kind {
	case Plain:
		files[o.Name+".up.sql"] = script(up)
		files[o.Name+".down.sql"] = script(down)
	case Goose:
		files[o.version(0)+".sql"] = gooseFile(up, down)
	default:
		pairs(files, groups, kind, o)
	}
	return files, nil
}

// pairs writes up and down files that hold either one statement outside a
// transaction or a run of statements that may share one.
func pairs(files memFS, groups []group, kind MigrationKind, o MigrationOptions) {
	for i, g := range groups {
		name := o.version(i)
		if len(groups) > 1 {
			name += fmt.Sprintf("_%02d", i+1)
		}
		if kind == Prisma {
			files[name+"/migration.sql"], files[name+"/down.sql"] = script(g.up), script(g.down)
		} else {
			files[name+".up.sql"], files[name+".down.sql"] = script(g.up), script(g.down)
		}
	}
}

type group struct{ up, down []Statement }

// groups cuts the plan where a statement must stand alone. Replace counts as its
// three parts, each with its own inverse. With guards a check precedes each creation
// outside a transaction, in a group of its own with nothing to undo. With single no
// group has two.
func (p Plan) groups(guards, single bool) (groups []group, err error) {
	for _, s := range p.atoms() {
		up, err1 := s.statements(p.Dialect, !p.Blocking)
		down, err2 := Plan{Dialect: p.Dialect, Steps: []Step{s}, Blocking: p.Blocking}.Reverse().Statements()
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if guards && s.Op == Create && up[0].NoTx {
			check, err := s.Index.guard(p.Dialect)
			if err != nil {
				return nil, err
			}
			groups = append(groups, group{up: []Statement{{SQL: check}}})
			up[0].SQL = strings.Replace(up[0].SQL, " CONCURRENTLY ", " CONCURRENTLY IF NOT EXISTS ", 1)
		}
		alone := single || up[0].NoTx || down[0].NoTx
		if n := len(groups); !alone && n > 0 && groups[n-1].shared() {
			g := &groups[n-1]
			g.up, g.down = append(g.up, up...), append(down, g.down...)
			continue
		}
		groups = append(groups, group{up: up, down: down})
	}
	return groups, nil
}

// shared reports whether more statements may join the group.
func (g group) shared() bool {
	return len(g.down) > 0 && !g.up[0].NoTx && !g.down[0].NoTx
}

// guard is a statement that fails when an invalid index of the name is there: its
// message does not read as an integer. It holds no semicolon besides those of names,
// since Prisma's newer engine cuts files there, even in strings.
func (ix Index) guard(d Dialect) (string, error) {
	name, err := d.quoteQualified("index", ix.Schema, ix.name())
	if err != nil {
		return "", err
	}
	text, err := d.quoteString(name)
	return "SELECT ('index ' || c.relname || ' is invalid: DROP INDEX CONCURRENTLY it, then run this again')::integer " +
		"FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE x.indexrelid = to_regclass(" + text + ") AND NOT x.indisvalid", err
}

// atoms splits each Replace into create, drop and rename; where there is no rename, it
// and Rename into drop and create.
func (p Plan) atoms() (steps []Step) {
	for _, s := range p.Steps {
		named, changes := p.Dialect.canRename(), s.Op == Replace || s.Op == Rename
		switch {
		case !changes, named && s.Op == Rename, s.Op == Replace && s.onlyIgnored(p.Dialect):
			steps = append(steps, s)
		case named:
			tmp := s.Index
			tmp.Name = s.TempName()
			steps = append(steps, Step{Op: Create, Index: tmp}, Step{Op: Drop, Index: s.Old},
				Step{Op: Rename, Index: s.Index, Old: tmp})
		default:
			steps = append(steps, Step{Op: Drop, Index: s.Old}, Step{Op: Create, Index: s.Index})
		}
	}
	return steps
}

func (o MigrationOptions) version(i int) string {
	return o.At.Add(time.Duration(i)*time.Second).Format("20060102150405") + "_" + o.Name
}

func script(st []Statement) string {
	b := strings.Builder{}
	for _, s := range st {
		b.WriteString(s.SQL + ";\n")
	}
	return b.String()
}

// gooseFile writes one file with both directions. Statements are fenced when they
// hold a semicolon, which goose may take for their end, or two hyphens, behind which
// it does not look for the end.
func gooseFile(up, down []Statement) string {
	b := strings.Builder{}
	for _, s := range append(up[:len(up):len(up)], down...) {
		if s.NoTx {
			b.WriteString("-- +goose NO TRANSACTION\n")
			break
		}
	}
	for _, dir := range []struct {
		name string
		st   []Statement
	}{{"Up", up}, {"Down", down}} {
		b.WriteString("-- +goose " + dir.name + "\n")
		for _, s := range dir.st {
			if strings.Contains(s.SQL, ";") || strings.Contains(s.SQL, "--") {
				b.WriteString("-- +goose StatementBegin\n" + s.SQL + ";\n-- +goose StatementEnd\n")
				continue
			}
			b.WriteString(s.SQL + ";\n")
		}
	}
	return b.String()
}
