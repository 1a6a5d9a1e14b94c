package dbindex

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// SQL returns the CREATE INDEX statement without a final semicolon. It takes the
// table's lock as plain CREATE INDEX does; [Plan] and its migrations use CONCURRENTLY
// where the dialect has it. The error is a [*FeatureError] for what the dialect
// lacks, or matches [ErrIndex] or [ErrOptions].
func (ix Index) SQL(d Dialect) (string, error) { return ix.createSQL(d, false) }

// Check reports what [Index.SQL] would report, without the text: nil means that the
// index can be written in the dialect.
func (ix Index) Check(d Dialect) error {
	_, err := ix.createSQL(d, false)
	return err
}

// createSQL writes the statement; online asks for the dialect's non-blocking form.
func (ix Index) createSQL(d Dialect, online bool) (string, error) {
	if err := d.check(); err != nil {
		return "", err
	}
	if err := ix.checkShape(d); err != nil {
		return "", err
	}
	w := writer{d: d, b: make([]byte, 0, 256)}
	w.add("CREATE ")
	if ix.Unique {
		w.add("UNIQUE ")
	}
	w.add("INDEX ")
	if online && d.family == postgres {
		w.add("CONCURRENTLY ")
	}
	name := ix.name()
	if d.family == sqlite { // the schema qualifies the index there
		w.qualified("index", ix.Schema, name)
		w.add(" ON ")
		w.ident("table", ix.Table)
	} else {
		w.ident("index", name)
		w.add(" ON ")
		w.qualified("table", ix.Schema, ix.Table)
	}
	if ix.Method != BTree {
		w.add(" USING ", ix.Method.String())
	}
	w.add(" (")
	for i, k := range ix.Keys {
		w.comma(i)
		w.key(k)
	}
	w.add(")")
	w.options(ix)
	if ix.Where != nil {
		w.add(" WHERE ")
		w.pred(ix.Where, 0)
	}
	if ix.Ignored {
		w.add(" ", d.ignored(true))
	}
	if online && d.isMySQL() {
		w.add(" ALGORITHM=INPLACE LOCK=NONE")
	}
	if w.err != nil {
		return "", fmt.Errorf("dbindex: index %q: %w", short(name), w.err)
	}
	return string(w.b), nil
}

// ignored is the word for an index that writes maintain and queries do not use.
func (d Dialect) ignored(is bool) string {
	switch {
	case d.family == mysql && is:
		return "INVISIBLE"
	case d.family == mysql:
		return "VISIBLE"
	case is:
		return "IGNORED"
	}
	return "NOT IGNORED"
}

// writer collects the text of a statement and the first error; after an error the
// text is of no use.
type writer struct {
	d   Dialect
	b   []byte
	err error
}

func (w *writer) add(parts ...string) {
	for _, p := range parts {
		w.b = append(w.b, p...)
	}
}

// must keeps the error of what was appended.
func (w *writer) must(b []byte, err error) {
	w.b = b
	if w.err == nil {
		w.err = err
	}
}

// comma writes the separator before all but the first of a list.
func (w *writer) comma(i int) {
	if i > 0 {
		w.add(", ")
	}
}

func (w *writer) ident(kind, s string) { w.must(w.d.appendIdent(w.b, kind, s)) }

// qualified writes schema.name, or name alone when schema is empty.
func (w *writer) qualified(kind, schema, name string) {
	if schema != "" {
		w.ident("schema", schema)
		w.add(".")
	}
	w.ident(kind, name)
}

// dotted writes "name" or "schema.name", as operator classes and collations are given.
func (w *writer) dotted(kind, s string) {
	if schema, name, ok := strings.Cut(s, "."); ok && schema != "" && name != "" {
		w.qualified(kind, schema, name)
		return
	}
	w.ident(kind, s)
}

func (w *writer) raw(r RawSQL) {
	s, err := w.d.rawText(r)
	w.add(s)
	w.must(w.b, err)
}

func (w *writer) key(k Key) {
	if k.Expr != "" {
		w.add("(")
		w.raw(k.Expr)
		w.add(")")
	} else {
		w.ident("column", k.Column)
		if k.Prefix > 0 {
			w.add("(", strconv.Itoa(k.Prefix), ")")
		}
	}
	if k.Collate != "" {
		w.add(" COLLATE ")
		w.dotted("collation", k.Collate)
	}
	if k.OpClass != "" {
		w.add(" ")
		w.dotted("operator class", k.OpClass)
	}
	if k.Desc {
		w.add(" DESC")
	}
	if k.Nulls != NullsDefault && (k.Nulls == NullsFirst) != w.d.nullsFirst(k.Desc) {
		w.add(" NULLS ", strings.ToUpper(k.Nulls.String()))
	}
}

// options writes what stands between the keys and the predicate.
func (w *writer) options(ix Index) {
	if len(ix.Include) > 0 {
		w.add(" INCLUDE (")
		for i, c := range ix.Include {
			w.comma(i)
			w.ident("column", c)
		}
		w.add(")")
	}
	if ix.NullsNotDistinct {
		w.add(" NULLS NOT DISTINCT")
	}
	if len(ix.With) > 0 {
		w.add(" WITH (")
		w.with(ix.With)
		w.add(")")
	}
	if ix.Tablespace != "" {
		w.add(" TABLESPACE ")
		w.ident("tablespace", ix.Tablespace)
	}
}

// with writes storage parameters in the order of their names.
func (w *writer) with(with map[string]string) {
	for i, k := range sortedKeys(with) {
		v := with[k]
		if !isPlainName(k) {
			w.must(w.b, &IdentError{Kind: "storage parameter", Ident: short(k), Reason: "is not a plain lower-case word"})
		}
		if v == "" || strings.ContainsFunc(v, notParamRune) {
			w.must(w.b, fmt.Errorf("%w: storage parameter %s: the value may hold only letters, digits, and . _ + -", ErrIndex, k))
		}
		w.comma(i)
		w.add(k, " = '", v, "'")
	}
}

func notParamRune(r rune) bool {
	return r >= 0x80 || !isWordByte(byte(r)) && !strings.ContainsRune(".+-", r)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// sortBy sorts in place and keeps the order of equals. [slices.SortStableFunc] would do,
// but the compiler writes it out for each type, 10 kB of program at a time.
func sortBy[T any](list []T, compare func(a, b T) int) {
	sort.SliceStable(list, func(i, j int) bool { return compare(list[i], list[j]) < 0 })
}

func short(s string) string { return s[:min(len(s), 80)] }

// checkShape reports contradictions and missing features, all of them.
func (ix Index) checkShape(d Dialect) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: index %q: %s", ErrIndex, short(ix.name()), fmt.Sprintf(format, args...)))
	}
	lacks := func(feature, alternative string) {
		errs = append(errs, &FeatureError{Dialect: d, Index: short(ix.name()), Feature: feature, Alternative: alternative})
	}
	if ix.Constraint != NoConstraint {
		bad("it belongs to a constraint (%s): change the constraint", ix.Constraint)
	}
	if len(ix.Keys) == 0 {
		bad("it has no keys")
	}
	if n, limit := len(ix.Keys)+len(ix.Include), d.maxKeys(); n > limit {
		bad("%d columns, the limit is %d", n, limit)
	}
	if int(ix.Method) >= len(methodNames) {
		bad("unknown method %d", ix.Method)
	}
	if ix.NullsNotDistinct && !ix.Unique {
		bad("NullsNotDistinct needs Unique")
	}
	for i, k := range ix.Keys {
		switch {
		case (k.Column == "") == (k.Expr == ""):
			bad("key %d needs either a Column or an Expr", i+1)
		case k.Prefix < 0 || k.Prefix > 3072:
			bad("key %d: Prefix %d is outside 0 to 3072", i+1, k.Prefix)
		case int(k.Nulls) >= len(nullsNames):
			bad("key %d: unknown Nulls %d", i+1, k.Nulls)
		}
	}
	if d.family == postgres {
		ix.postgresFeatures(d, lacks)
	} else {
		ix.otherFeatures(d, lacks)
	}
	return errors.Join(errs...)
}

func (d Dialect) maxKeys() int {
	switch {
	case d.isMySQL():
		return 16
	case d.family == sqlite:
		return 2000
	}
	return 32
}

func (ix Index) postgresFeatures(d Dialect, lacks func(feature, alternative string)) {
	if int(ix.Method) >= len(methodNames) {
		return
	}
	m := ix.Method
	if ix.Unique && m != BTree {
		lacks("unique "+m.String()+" index", "use Method BTree, or an exclusion constraint")
	}
	if ix.NullsNotDistinct && d.major < 15 {
		lacks("NULLS NOT DISTINCT", "add a second unique index, partial on IsNull of the column")
	}
	if len(ix.Include) > 0 {
		switch {
		case d.major < 11, m == GiST && d.major < 12, m == SPGiST && d.major < 14:
			lacks("INCLUDE columns on "+m.String(), "append them to Keys if the index is not unique")
		case m != BTree && m != GiST && m != SPGiST:
			lacks("INCLUDE columns on "+m.String(), "use Method BTree, or leave them out")
		}
	}
	if len(ix.Keys) > 1 && (m == Hash || m == SPGiST) {
		lacks("composite "+m.String()+" index", "use Method BTree, or one index for each key")
	}
	for _, k := range ix.Keys {
		if m != BTree && (k.Desc || k.Nulls != NullsDefault) {
			lacks("key order on "+m.String(), "leave out Desc and Nulls: only btree is ordered")
			break
		}
	}
	for _, k := range ix.Keys {
		if k.Prefix > 0 {
			lacks("prefix length of a key", "use an expression key such as left(column, n)")
			break
		}
	}
	if ix.Ignored {
		lacks("ignored indexes", "drop the index; to try what its loss means, hide it in a transaction that is rolled back")
	}
}

func (ix Index) otherFeatures(d Dialect, lacks func(feature, alternative string)) {
	if m := ix.Method; m != BTree {
		alt := "use Method BTree"
		if m == GIN && d.isMySQL() {
			alt = "use a FULLTEXT index for words, or a generated column with a btree for one JSON path"
		} else if m == GIN {
			alt = "use an FTS5 table for text, or an expression key such as json_extract(column, '$.path') for one JSON path"
		}
		lacks("index method "+m.String(), alt)
	}
	if len(ix.Include) > 0 {
		lacks("INCLUDE columns", "append them to Keys if the index is not unique")
	}
	if ix.NullsNotDistinct {
		lacks("NULLS NOT DISTINCT", "make the columns NOT NULL")
	}
	if len(ix.With) > 0 {
		lacks("storage parameters (With)", "leave them out")
	}
	if ix.Tablespace != "" {
		lacks("tablespace of an index", "leave it out: the index lives with its table")
	}
	if ix.Ignored && (d.family == sqlite || d.family == mysql && d.major < 8 || d.family == mariadb && !d.atLeast(10, 6)) {
		lacks("ignored indexes", "drop the index; SQLite queries can name the index they want (INDEXED BY)")
	}
	if ix.Where != nil && d.isMySQL() {
		lacks("partial indexes", "put the predicate's columns first in Keys, or index a generated column that is NULL outside the predicate")
	}
	if d.isMySQL() && ix.repeats(d) {
		lacks("one column twice in an index", "leave the second one out")
	}
	for _, k := range ix.Keys {
		switch {
		case k.Expr != "" && (d.family == mariadb || d.family == mysql && d.major < 8):
			lacks("expression keys", "index a generated column")
		case k.Desc && (d.family == mariadb && !d.atLeast(10, 8) || d.family == mysql && d.major < 8):
			lacks("descending keys", "leave out Desc: the server would ignore it")
		}
		if k.OpClass != "" {
			lacks("operator classes", "leave OpClass empty")
		}
		if k.Collate != "" && d.isMySQL() {
			lacks("collation of a key", "set the collation of the column")
		}
		if k.Prefix > 0 && d.family == sqlite {
			lacks("prefix length of a key", "use an expression key such as substr(column, 1, n)")
		}
		if k.Prefix > 0 && k.Expr != "" {
			lacks("prefix length of an expression", "put left(…, n) in the expression")
		}
		if k.Nulls != NullsDefault && (k.Nulls == NullsFirst) != d.nullsFirst(k.Desc) {
			lacks("NULLS FIRST or LAST against its own order", "add a key on the expression (column IS NULL) before it")
		}
	}
}

// repeats reports whether a column is a key twice.
func (ix Index) repeats(d Dialect) bool {
	for i, k := range ix.Keys {
		if k.Column != "" && slices.ContainsFunc(ix.Keys[:i], func(o Key) bool { return d.foldColumn(o.Column) == d.foldColumn(k.Column) }) {
			return true
		}
	}
	return false
}

// dropSQL removes the index by its name.
func (ix Index) dropSQL(d Dialect, online bool) (string, error) {
	if err := d.check(); err != nil {
		return "", err
	}
	w := writer{d: d}
	switch {
	case d.isMySQL() && online: // MariaDB's DROP INDEX takes no options
		w.add("ALTER TABLE ")
		w.qualified("table", ix.Schema, ix.Table)
		w.add(" DROP INDEX ")
		w.ident("index", ix.name())
		w.add(", ALGORITHM=INPLACE, LOCK=NONE")
	case d.isMySQL():
		w.add("DROP INDEX ")
		w.ident("index", ix.name())
		w.add(" ON ")
		w.qualified("table", ix.Schema, ix.Table)
	default:
		w.add("DROP INDEX ")
		if online && d.family == postgres {
			w.add("CONCURRENTLY ")
		}
		w.qualified("index", ix.Schema, ix.name())
	}
	return string(w.b), w.err
}

func (d Dialect) canRename() bool {
	return d.family == postgres || d.family == mysql || d.family == mariadb && (d.major > 10 || d.atLeast(10, 6))
}

// renameSQL gives the index that is called from a new name.
func (ix Index) renameSQL(d Dialect, from string) (string, error) {
	w := writer{d: d}
	if d.isMySQL() {
		w.add("ALTER TABLE ")
		w.qualified("table", ix.Schema, ix.Table)
		w.add(" RENAME INDEX ")
		w.ident("index", from)
	} else {
		w.add("ALTER INDEX ")
		w.qualified("index", ix.Schema, from)
		w.add(" RENAME")
	}
	w.add(" TO ")
	w.ident("index", ix.name())
	return string(w.b), w.err
}

// ignoreSQL changes whether queries use the index, which is a change of the catalog
// alone.
func (ix Index) ignoreSQL(d Dialect) (string, error) {
	w := writer{d: d}
	w.add("ALTER TABLE ")
	w.qualified("table", ix.Schema, ix.Table)
	w.add(" ALTER INDEX ")
	w.ident("index", ix.name())
	w.add(" ", d.ignored(ix.Ignored))
	return string(w.b), w.err
}
