package dbindex

import (
	"errors"
	"fmt"
	"maps"
	"slices"
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
	r := renderer{d: d}
	r.add("CREATE")
	if ix.Unique {
		r.add("UNIQUE")
	}
	r.add("INDEX")
	if online && d.family == postgres {
		r.add("CONCURRENTLY")
	}
	if d.family == sqlite { // the schema qualifies the index there
		r.add(r.must(d.quoteQualified("index", ix.Schema, ix.name())), "ON", r.must(d.quote("table", ix.Table)))
	} else {
		r.add(r.must(d.quote("index", ix.name())), "ON", r.must(d.quoteQualified("table", ix.Schema, ix.Table)))
	}
	if ix.Method != BTree {
		r.add("USING", ix.Method.String())
	}
	keys := make([]string, len(ix.Keys))
	for i, k := range ix.Keys {
		keys[i] = r.must(k.render(d))
	}
	r.add("(" + strings.Join(keys, ", ") + ")")
	if len(ix.Include) > 0 {
		cols := make([]string, len(ix.Include))
		for i, c := range ix.Include {
			cols[i] = r.must(d.quote("column", c))
		}
		r.add("INCLUDE (" + strings.Join(cols, ", ") + ")")
	}
	if ix.NullsNotDistinct {
		r.add("NULLS NOT DISTINCT")
	}
	if len(ix.With) > 0 {
		r.add("WITH (" + r.must(renderWith(ix.With)) + ")")
	}
	if ix.Tablespace != "" {
		r.add("TABLESPACE", r.must(d.quote("tablespace", ix.Tablespace)))
	}
	if ix.Where != nil {
		r.add("WHERE", r.must(renderPred(d, ix.Where, 0)))
	}
	if online && d.isMySQL() {
		r.add("ALGORITHM=INPLACE LOCK=NONE")
	}
	if r.err != nil {
		return "", fmt.Errorf("dbindex: index %q: %w", short(ix.name()), r.err)
	}
	return strings.Join(r.parts, " "), nil
}

// renderer collects parts and the first error.
type renderer struct {
	d     Dialect
	parts []string
	err   error
}

func (r *renderer) add(parts ...string) { r.parts = append(r.parts, parts...) }

func (r *renderer) must(s string, err error) string {
	if r.err == nil {
		r.err = err
	}
	return s
}

func (k Key) render(d Dialect) (string, error) {
	r := renderer{d: d}
	switch {
	case k.Expr != "":
		r.add("(" + r.must(k.Expr.render(d, 0)) + ")")
	default:
		col := r.must(d.quote("column", k.Column))
		if k.Prefix > 0 {
			col += "(" + strconv.Itoa(k.Prefix) + ")"
		}
		r.add(col)
	}
	if k.Collate != "" {
		r.add("COLLATE", r.must(d.quoteDotted("collation", k.Collate)))
	}
	if k.OpClass != "" {
		r.add(r.must(d.quoteDotted("operator class", k.OpClass)))
	}
	if k.Desc {
		r.add("DESC")
	}
	if k.Nulls != NullsDefault && (k.Nulls == NullsFirst) != d.nullsFirst(k.Desc) {
		r.add("NULLS", strings.ToUpper(k.Nulls.String()))
	}
	return strings.Join(r.parts, " "), r.err
}

// renderWith writes storage parameters in the order of their names.
func renderWith(with map[string]string) (string, error) {
	var parts []string
	for _, k := range sortedKeys(with) {
		v := with[k]
		if !isPlainName(k) {
			return "", &IdentError{Kind: "storage parameter", Ident: short(k), Reason: "is not a plain lower-case word"}
		}
		if v == "" || strings.ContainsFunc(v, notParamRune) {
			return "", fmt.Errorf("%w: storage parameter %s: the value may hold only letters, digits, and . _ + -", ErrIndex, k)
		}
		parts = append(parts, k+" = '"+v+"'")
	}
	return strings.Join(parts, ", "), nil
}

func notParamRune(r rune) bool {
	return r >= 0x80 || !isWordByte(byte(r)) && !strings.ContainsRune(".+-", r)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

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
	if ix.Where != nil && d.isMySQL() {
		lacks("partial indexes", "put the predicate's columns first in Keys, or index a generated column that is NULL outside the predicate")
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

// dropSQL removes the index by its name.
func (ix Index) dropSQL(d Dialect, online bool) (string, error) {
	if err := d.check(); err != nil {
		return "", err
	}
	if d.isMySQL() {
		r := renderer{d: d}
		name, table := r.must(d.quote("index", ix.name())), r.must(d.quoteQualified("table", ix.Schema, ix.Table))
		if online { // MariaDB's DROP INDEX takes no options
			return "ALTER TABLE " + table + " DROP INDEX " + name + ", ALGORITHM=INPLACE, LOCK=NONE", r.err
		}
		return "DROP INDEX " + name + " ON " + table, r.err
	}
	name, err := d.quoteQualified("index", ix.Schema, ix.name())
	if online && d.family == postgres {
		return "DROP INDEX CONCURRENTLY " + name, err
	}
	return "DROP INDEX " + name, err
}

func (d Dialect) canRename() bool {
	return d.family == postgres || d.family == mysql || d.family == mariadb && (d.major > 10 || d.atLeast(10, 6))
}

// renameSQL gives the index that is called from a new name.
func (ix Index) renameSQL(d Dialect, from string) (string, error) {
	r := renderer{d: d}
	to := r.must(d.quote("index", ix.name()))
	if d.isMySQL() {
		table := r.must(d.quoteQualified("table", ix.Schema, ix.Table))
		old := r.must(d.quote("index", from))
		return "ALTER TABLE " + table + " RENAME INDEX " + old + " TO " + to, r.err
	}
	old := r.must(d.quoteQualified("index", ix.Schema, from))
	return "ALTER INDEX " + old + " RENAME TO " + to, r.err
}
