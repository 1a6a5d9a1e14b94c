package dbindex

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

type linter struct {
	d       Dialect
	o       LintOptions
	s       Schema
	indexes []Index // named and sorted
	where   []Pred  // of indexes, typed
	columns map[columnKey]Column
	tables  map[columnKey]*tableFacts // those that anything is known of
	places  map[string]place          // of indexes read from files, by key
	out     []Finding
}

// place is where a statement begins.
type place struct {
	file string
	line int
}

// columnKey names a column, or with an empty name a table.
type columnKey struct{ schema, table, name string }

// tableFacts is what belongs to one table: what is compared is so few, however many
// tables there are.
type tableFacts struct {
	table   Table
	known   bool // table is
	indexes []int
	keys    []ForeignKey
}

// about returns the facts of a table, empty ones if there are none.
func (l *linter) about(schema, table string) *tableFacts {
	if t := l.tables[l.column(schema, table, "")]; t != nil {
		return t
	}
	return &tableFacts{}
}

// group sorts indexes, foreign keys and statistics by table.
func (l *linter) group() {
	l.tables = map[columnKey]*tableFacts{}
	of := func(schema, table string) *tableFacts {
		k := l.column(schema, table, "")
		if l.tables[k] == nil {
			l.tables[k] = &tableFacts{}
		}
		return l.tables[k]
	}
	for i, ix := range l.indexes {
		t := of(ix.Schema, ix.Table)
		t.indexes = append(t.indexes, i)
	}
	for _, fk := range l.s.ForeignKeys {
		t := of(fk.Schema, fk.Table)
		t.keys = append(t.keys, fk)
	}
	for _, s := range l.s.Tables {
		if t := of(s.Schema, s.Name); !t.known {
			t.table, t.known = s, true
		}
	}
}

func (l *linter) column(schema, table, name string) columnKey {
	return columnKey{l.schemaOf(schema), l.d.foldTable(table), l.d.foldColumn(name)}
}

// schemaOf writes the current schema as "", under which it is declared as often.
func (l *linter) schemaOf(schema string) string {
	if schema == l.s.Current {
		return ""
	}
	return schema
}

// key identifies an index by its name as the server would cut it.
func (l *linter) key(ix Index) string {
	ix.Schema = l.schemaOf(ix.Schema)
	if l.d.family == postgres && len(ix.Name) > maxNameBytes {
		ix.Name = ix.Name[:maxNameBytes]
	}
	return l.d.nameKey(ix)
}

func (l *linter) add(id string, sev Severity, ix Index, other, fix, format string, args ...any) {
	at := l.places[l.key(ix)]
	l.out = append(l.out, Finding{ID: id, Severity: sev, Schema: ix.Schema, Table: ix.Table, Index: ix.Name, Other: other,
		Message: fmt.Sprintf(format, args...), Fix: fix, File: at.file, Line: at.line})
}

// names reports names used twice, also those that the server would cut to one.
func (l *linter) names() {
	seen := map[string]Index{}
	for _, ix := range l.indexes {
		k := l.key(ix)
		if first, ok := seen[k]; ok {
			l.add(RuleName, Error, ix, first.Name, "", "index %q on %q has the same name as one on %q: the second CREATE fails", ix.Name, ix.Table, first.Table)
			continue
		}
		seen[k] = ix
	}
}

// single reports what is wrong with one index by itself.
func (l *linter) single(i int, ix Index) {
	if ix.Invalid {
		fix := ""
		if l.d.family == postgres && ix.Constraint == NoConstraint {
			fix = ix.reindexSQL(l.d)
		}
		l.add(RuleInvalid, Error, ix, "", fix, "index %q is invalid: no query uses it, yet writes may maintain it; build it again or drop it", ix.Name)
	}
	if ix.Constraint != NoConstraint {
		return
	}
	l.definition(ix)
	if n := len(ix.Keys) + len(ix.Include); l.o.MaxColumns > 0 && n > l.o.MaxColumns {
		l.add(RuleWide, Info, ix, "", "", "index %q has %d columns: each one makes it larger and every write dearer", ix.Name, n)
	}
	l.facts(i, ix)
	var cols []string
	for _, k := range ix.Keys {
		cols = append(cols, k.signatureColumn(l.d))
	}
	cols = append(cols, ix.Include...)
	for i, c := range cols {
		if c != "" && slices.Contains(cols[:i], c) {
			l.add(RuleRepeated, Warning, ix, "", "", "index %q holds column %q twice", ix.Name, c)
		}
	}
	if why := ix.prismaGap(l.d); l.o.Prisma && why != "" {
		l.add(RulePrisma, Info, ix, "", "", "index %q cannot be written in schema.prisma (%s): \"prisma migrate dev\" may drop it or create it for ever", ix.Name, why)
	}
}

// signatureColumn is the column of a key with its operator class: the same column
// under two classes serves two kinds of query.
func (k Key) signatureColumn(d Dialect) string {
	if k.Expr != "" || k.OpClass != "" || k.Collate != "" || k.Prefix != 0 {
		return ""
	}
	return d.foldColumn(k.Column)
}

// definition sorts the errors of a definition by their kinds.
func (l *linter) definition(ix Index) {
	for _, err := range flatten(ix.Check(l.d)) {
		var feature *FeatureError
		var ident *IdentError
		switch {
		case errors.As(err, &feature):
			l.add(RuleUnsupported, Error, ix, "", "", "index %q: %s has no %s; %s", ix.Name, l.d, feature.Feature, feature.Alternative)
		case errors.As(err, &ident) && ident.Kind == "index":
			l.add(RuleName, Error, ix, "", "", "%s; leave Name empty for a derived one", strings.TrimPrefix(ident.Error(), "dbindex: "))
		default:
			l.add(RuleDefinition, Error, ix, "", "", "%s", strings.TrimPrefix(err.Error(), "dbindex: "))
		}
	}
}

// flatten returns the parts of a joined error.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// reindexSQL builds an invalid index again; empty when its name is refused.
func (ix Index) reindexSQL(d Dialect) string {
	name, err := d.quoteQualified("index", ix.Schema, ix.name())
	switch {
	case err != nil:
		return ""
	case d.major < 12:
		return "REINDEX INDEX " + name + ";"
	}
	return "REINDEX INDEX CONCURRENTLY " + name + ";"
}

// pairs reports duplicates and redundant prefixes, at most one for each index. It
// compares each index with those of its table.
func (l *linter) pairs() {
	done := make([]bool, len(l.indexes)) // already advised to drop
	narrow := map[*tableFacts][]int{}
	for _, t := range l.tables {
		narrow[t] = slices.Clone(t.indexes)
		sortBy(narrow[t], func(i, j int) int { // the closest match is named
			a, b := l.indexes[i], l.indexes[j]
			return cmp.Compare(len(a.Keys)+len(a.Include), len(b.Keys)+len(b.Include))
		})
	}
	for _, rule := range []func(a, b Index) bool{l.duplicate, l.redundant} {
		for i, a := range l.indexes {
			for _, j := range narrow[l.about(a.Schema, a.Table)] {
				if i != j && !done[i] && !done[j] && l.replaceable(i, j) && rule(a, l.indexes[j]) {
					done[i] = true
				}
			}
		}
	}
}

// replaceable reports whether index i could be dropped in favour of j, one of its table,
// at all.
func (l *linter) replaceable(i, j int) bool {
	a, b := l.indexes[i], l.indexes[j]
	return a.Method == b.Method && a.Constraint == NoConstraint && !a.Referenced && !a.Invalid && !b.Invalid && b.Constraint != Exclusion && (a.Ignored || !b.Ignored) &&
		l.samePred(l.where[i], l.where[j])
}

// samePred reports whether two typed predicates select the same rows.
func (l *linter) samePred(p, q Pred) bool {
	if p == nil || q == nil {
		return p == nil && q == nil
	}
	return (&implication{d: l.d}).holds(p, q) && (&implication{d: l.d}).holds(q, p)
}

// duplicate reports a when b does all that a does with the same keys.
func (l *linter) duplicate(a, b Index) bool {
	if len(a.Keys) != len(b.Keys) || !l.prefix(a, b) || !subset(a.Include, b.Include, nil) {
		return false
	}
	if a.Unique && (!b.Unique || a.NullsNotDistinct && !b.NullsNotDistinct) {
		return false
	}
	same := a.Unique == b.Unique && b.Constraint == NoConstraint && !b.Referenced && len(a.Include) == len(b.Include) && a.Ignored == b.Ignored
	if same && a.Name < b.Name && a.NullsNotDistinct == b.NullsNotDistinct {
		return false // of two equals the later name goes
	}
	fix, _ := Step{Op: Drop, Index: a}.fix(l.d)
	l.add(RuleDuplicate, Error, a, b.Name, fix, "index %q has the same keys as %q and serves no query that %q does not", a.Name, b.Name, b.Name)
	return true
}

// redundant reports a when its keys are the first keys of b.
func (l *linter) redundant(a, b Index) bool {
	if a.Unique || a.Method != BTree || len(a.Keys) >= len(b.Keys) || !l.prefix(a, b) {
		return false
	}
	var keyCols []string
	for _, k := range b.Keys {
		keyCols = append(keyCols, k.Column)
	}
	if !subset(a.Include, b.Include, keyCols) {
		return false
	}
	sev, more := Warning, ""
	if len(b.Keys)+len(b.Include)-len(a.Keys) > 2 || l.muchWider(a, b) {
		sev, more = Info, ", though that one is much wider"
	}
	fix, _ := Step{Op: Drop, Index: a}.fix(l.d)
	l.add(RuleRedundant, sev, a, b.Name, fix, "the keys of index %q are the first keys of %q%s", a.Name, b.Name, more)
	return true
}

// fix is the statement of a step with its semicolon.
func (s Step) fix(d Dialect) (string, error) {
	st, err := s.statements(d, true)
	if err != nil {
		return "", err
	}
	return st[0].SQL + ";", nil
}

// prefix reports whether a's keys begin b's, all in the same direction or all in
// the opposite one, which a backward scan serves.
func (l *linter) prefix(a, b Index) bool {
	forward, backward := true, true
	for i, k := range a.Keys {
		other := b.Keys[i]
		forward = forward && k.signature(l.d) == other.signature(l.d)
		backward = backward && k.reversed(l.d).signature(l.d) == other.signature(l.d)
	}
	return forward || backward && a.Method == BTree
}

// reversed is the key as a backward scan reads it.
func (k Key) reversed(d Dialect) Key {
	first := k.Nulls == NullsFirst || k.Nulls == NullsDefault && d.nullsFirst(k.Desc)
	k.Desc = !k.Desc
	if k.Nulls = NullsFirst; first {
		k.Nulls = NullsLast
	}
	return k
}

func subset(a, b, c []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) && !slices.Contains(c, s) })
}

// foreignKeys reports references whose columns begin no full index. MySQL and
// MariaDB make that index themselves.
func (l *linter) foreignKeys() {
	if l.d.isMySQL() {
		return
	}
	reported := map[string]bool{}
	for _, fk := range l.s.ForeignKeys {
		if len(fk.Columns) == 0 || slices.ContainsFunc(l.about(fk.Schema, fk.Table).indexes, func(i int) bool { return l.serves(l.indexes[i], fk) }) {
			continue
		}
		ix := Index{Schema: fk.Schema, Table: fk.Table}
		for _, c := range fk.Columns {
			ix.Keys = append(ix.Keys, Asc(c))
		}
		if key := ix.signature(l.d); reported[key] {
			continue
		} else {
			reported[key] = true
		}
		fix, _ := Step{Op: Create, Index: ix}.fix(l.d)
		l.add(RuleForeignKey, Warning, ix, "", fix, "the foreign key on %s to %q has no index: each delete or key change there reads the whole table %q",
			strings.Join(quoteAll(fk.Columns), ", "), fk.RefTable, fk.Table)
		f := &l.out[len(l.out)-1]
		f.File, f.Line = fk.File, fk.Line
	}
}

func quoteAll(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return out
}

// serves reports whether the index finds the rows of one value of a foreign key of its
// table.
func (l *linter) serves(ix Index, fk ForeignKey) bool {
	n := len(fk.Columns)
	if ix.Invalid || ix.Ignored || len(ix.Keys) < n || ix.Method != BTree && ix.Method != Hash {
		return false
	}
	for _, k := range ix.Keys[:n] {
		if k.Column == "" || k.Prefix > 0 || k.Collate != "" || !slices.ContainsFunc(fk.Columns, func(c string) bool {
			return l.d.foldColumn(c) == l.d.foldColumn(k.Column)
		}) {
			return false
		}
	}
	// A row that refers to something has no NULL among the columns.
	var rows []Pred
	for _, c := range fk.Columns {
		rows = append(rows, NotNull(c))
	}
	return ix.Where == nil || Implies(l.d, And(rows...), ix.Where)
}
