package dbindex

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LintFiles reads migration files and returns what is wrong with them and with the
// indexes and foreign keys that they leave. It knows the folders of Prisma and the file
// names of golang-migrate, the marks of goose, and takes all other .sql files for plain
// scripts; down files are checked for what would fail in them. Files are read in the
// order of the numbers that their names begin with. Statements that do not concern
// tables, constraints or indexes are passed over, and so is what it cannot read. The
// error is one of the file system, or matches [ErrOptions] for a zero Dialect.
func LintFiles(d Dialect, files fs.FS, o LintOptions) ([]Finding, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	r := newHistory(d, o)
	var paths []string
	err := fs.WalkDir(files, ".", func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && path.Ext(p) == ".sql" {
			paths = append(paths, p)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dbindex: read migrations: %w", err)
	}
	sortBy(paths, func(a, b string) int { return cmp.Compare(fileOrder(a), fileOrder(b)) })
	for _, p := range paths {
		text, err := fs.ReadFile(files, p)
		if err != nil {
			return nil, fmt.Errorf("dbindex: read migrations: %w", err)
		}
		r.file(p, string(text))
	}
	return r.findings(), nil
}

// fileOrder makes numbers at the beginning of names comparable as text.
func fileOrder(p string) string {
	parts := strings.Split(p, "/")
	for i, s := range parts {
		digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
		parts[i] = strings.Repeat("0", max(0, 24-digits)) + s
	}
	return strings.Join(parts, "/")
}

// history follows the statements of files, and finds what is wrong with each.
type history struct {
	state
	o   LintOptions
	out []Finding
}

func newHistory(d Dialect, o LintOptions) *history {
	return &history{state: newState(d), o: o}
}

// findings joins those about statements with those about the schema that is left.
func (h *history) findings() []Finding {
	l := newLinter(h.d, h.schema(), h.o)
	l.places = h.places
	l.out = h.out
	l.schema()
	out := l.findings()
	if h.o.Applied == "" {
		return out
	}
	last := fileOrder(h.o.Applied)
	return slices.DeleteFunc(out, func(f Finding) bool { return f.File != "" && fileOrder(f.File) <= last })
}

// section is the part of a file that runs in one direction.
type section struct {
	kind       MigrationKind
	down       bool
	noTx       bool
	statements []sqlStatement
}

// sections cuts a file by the marks of goose; other files are one section.
func sections(d Dialect, p, text string) []section {
	base := path.Base(p)
	s := section{kind: Plain, down: base == "down.sql" || strings.HasSuffix(base, ".down.sql")}
	switch {
	case strings.Contains(text, "-- +goose"):
		s.kind = Goose
	case base == "migration.sql" || base == "down.sql":
		s.kind = Prisma
	case strings.HasSuffix(base, ".up.sql") || s.down:
		if isDigit(base[0]) {
			s.kind = GolangMigrate
		}
	}
	cut, noTx := -1, false
	s.statements = splitSQL(d, p, text, func(comment string, before int) {
		switch {
		case strings.HasPrefix(comment, "-- +goose Down"):
			cut = before
		case strings.HasPrefix(comment, "-- +goose NO TRANSACTION"), strings.HasPrefix(comment, "-- atlas:txmode none"):
			noTx = true
		}
	})
	s.noTx = noTx
	if cut < 0 {
		return []section{s}
	}
	down := s
	down.down, down.statements, s.statements = true, s.statements[cut:], s.statements[:cut]
	return []section{s, down}
}

func (h *history) file(p, text string) {
	h.fresh = map[string]bool{}
	for _, s := range sections(h.d, p, text) {
		run := fileRun{history: h, section: s, timeouts: map[string]time.Duration{}}
		for _, st := range s.statements {
			run.statement(st)
		}
	}
}

// fileRun is the reading of one section.
type fileRun struct {
	*history
	section
	inTx     bool
	timeouts map[string]time.Duration
}

func (f *fileRun) add(st sqlStatement, id string, sev Severity, table, index, fix, format string, args ...any) {
	f.out = append(f.out, Finding{ID: id, Severity: sev, Table: table, Index: index, Fix: fix, File: st.file, Line: st.line, Message: fmt.Sprintf(format, args...)})
}

func (f *fileRun) statement(st sqlStatement) {
	if strings.Contains(st.text, "indisvalid") {
		f.checked = append(f.checked, st.text)
	}
	toks, err := f.d.tokenizeAs(st.text, true)
	if err != nil || len(toks) == 0 {
		return
	}
	p := func(words string) bool { return (&parser{d: f.d, toks: toks}).take(words) }
	switch {
	case p("begin"), p("start transaction"):
		f.inTx = true
	case p("commit"), p("end"), p("rollback"):
		f.inTx = false
	case p("set"):
		f.setting(toks)
	case p("create index"), p("create unique index"):
		f.createIndex(st, toks)
	case p("drop index"), p("reindex"):
		f.otherIndex(st, toks)
	}
	if f.d.family == postgres && !f.down && p("alter table") {
		f.addUnique(st, toks)
	}
	if !f.down {
		f.apply(st, toks)
	}
}

// setting remembers timeouts.
func (f *fileRun) setting(toks []token) {
	p := parser{d: f.d, toks: toks[1:]}
	_ = p.take("local") || p.take("session")
	name := p.name()
	_ = p.take("=") || p.take("to")
	if len(p.toks) == 1 && (name == "lock_timeout" || name == "statement_timeout") {
		f.timeouts[name] = pgDuration(strings.Trim(p.toks[0].text, "'"))
	}
}

// pgDuration reads a setting whose bare unit is the millisecond; 0 is no limit.
func pgDuration(s string) time.Duration {
	s = strings.TrimSpace(s)
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	n, err := strconv.Atoi(s[:digits])
	if err != nil {
		return 0
	}
	unit := map[string]time.Duration{"us": time.Microsecond, "": time.Millisecond, "ms": time.Millisecond, "s": time.Second,
		"min": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[strings.TrimSpace(s[digits:])]
	return time.Duration(n) * unit
}

func (f *fileRun) createIndex(st sqlStatement, toks []token) {
	ix, online, ifNot, only, ok := f.readIndex(toks)
	if !ok || f.d.family != postgres {
		return
	}
	name := ix.name()
	if !online {
		if key := f.tableKey(ix.Schema, ix.Table); !f.fresh[key] && !only && !f.partitioned[key] {
			fix, _ := Step{Op: Create, Index: ix}.fix(f.d)
			f.add(st, RuleBlocking, Warning, ix.Table, name, fix, "CREATE INDEX blocks all writes to %q until index %q is built: use CONCURRENTLY", ix.Table, name)
		}
		return
	}
	f.concurrent(st, ix.Table, name)
	if ifNot && !f.guarded(name) {
		fix, _ := Step{Op: Create, Index: ix}.fix(f.d)
		f.add(st, RuleIfNotExists, Warning, ix.Table, name, fix, "CONCURRENTLY IF NOT EXISTS succeeds beside an invalid index %q that an earlier run left, and no query will use it: leave IF NOT EXISTS out, or check pg_index.indisvalid first", name)
	}
	const enough = 5 * time.Minute
	for _, s := range sortedKeys(f.timeouts) {
		if d := f.timeouts[s]; d > 0 && d < enough {
			f.add(st, RuleTimeout, Warning, ix.Table, name, "SET "+s+" = 0;", "%s = %v ends a concurrent build that waits for old transactions, on any table, and leaves index %q invalid", s, d, name)
		}
	}
}

// guarded reports whether an earlier statement looks for an invalid index of the name.
func (f *fileRun) guarded(name string) bool {
	bare := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "'", ""), `"`, "") }
	return slices.ContainsFunc(f.checked, func(s string) bool { return strings.Contains(bare(s), bare(name)) })
}

// concurrent reports a statement that its surroundings make fail.
func (f *fileRun) concurrent(st sqlStatement, table, name string) {
	why := ""
	switch {
	case f.inTx:
		why = "it stands between BEGIN and COMMIT"
	case f.kind == Goose && !f.noTx:
		why = "goose runs the file in one; write -- +goose NO TRANSACTION at its top"
	case (f.kind == GolangMigrate || f.kind == Prisma) && len(f.statements) > 1:
		why = fmt.Sprintf("%s sends the file's %d statements as one query; give this one a file of its own", f.kind, len(f.statements))
	}
	if why != "" {
		f.add(st, RuleTransaction, Error, table, name, "", "CONCURRENTLY cannot run in a transaction: %s", why)
	}
}

// otherIndex judges DROP INDEX and REINDEX.
func (f *fileRun) otherIndex(st sqlStatement, toks []token) {
	if f.d.family != postgres {
		return
	}
	i := slices.IndexFunc(toks, func(t token) bool { return t.kind == word && t.val == "concurrently" })
	name, table := "", ""
	if len(toks) > 0 && toks[len(toks)-1].kind <= quoted {
		name = toks[len(toks)-1].val
	}
	if ix, ok := f.indexes[f.indexKey(Index{Name: name})]; ok {
		table = ix.Table
	}
	switch {
	case i >= 0:
		f.concurrent(st, table, name)
	case toks[0].val == "reindex":
		f.add(st, RuleBlocking, Warning, table, name, "", "REINDEX blocks all writes until it is done: use REINDEX … CONCURRENTLY")
	case !f.down && !f.fresh[f.tableKey("", table)]:
		fix := ""
		if q, err := f.d.quoteQualified("index", "", name); err == nil {
			fix = "DROP INDEX CONCURRENTLY " + q + ";"
		}
		f.add(st, RuleBlocking, Info, table, name, fix, "DROP INDEX waits for every query on its table, and all later ones wait behind it: use CONCURRENTLY")
	}
}

// addUnique reports a constraint whose index is built under the strongest lock.
func (f *fileRun) addUnique(st sqlStatement, toks []token) {
	p := parser{d: f.d, toks: toks[2:]}
	_ = p.take("if exists")
	p.take("only")
	schema, table := p.dotted()
	for _, action := range split(p.toks, ",") {
		a := parser{d: f.d, toks: action}
		if !a.take("add") {
			continue
		}
		if a.take("constraint") {
			a.name()
		}
		if !a.take("unique") && !a.take("primary key") || a.take("using") || f.fresh[f.tableKey(schema, table)] {
			continue
		}
		f.add(st, RuleBlocking, Warning, table, "", "", "the constraint's index is built while nobody can read or write %q: create a unique index CONCURRENTLY, then ADD CONSTRAINT … USING INDEX", table)
	}
}
