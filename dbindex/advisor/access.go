package advisor

import (
	"maps"
	"slices"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// opKind is what a condition asks of its key.
type opKind uint8

const (
	opEq      opKind = iota // equals a value, or one of several
	opRange                 // compared with a bound
	opNull                  // IS NULL
	opNotNull               // IS NOT NULL
	opTrue                  // a boolean column by itself
	opFalse                 // NOT of one
	opPrefix                // LIKE 'abc%'
	opSearch                // LIKE '%abc%', regular expressions
	opContain               // jsonb and arrays: @>, ?, &&
	opText                  // full text: @@
	opNear                  // ORDER BY a <-> b
)

// cond is one condition of a query on one table.
type cond struct {
	key    dbindex.Key // column or expression, without alias
	op     opKind
	value  string       // the constant, if there is one
	pred   dbindex.Pred // the same as a predicate, if it may stand in an index
	join   bool         // the other side is another table
	or     bool         // it is one part of an OR
	clause string       // operator, for opContain
}

// sortKey is one key that rows are wanted in the order of.
type sortKey struct {
	key   dbindex.Key
	desc  bool
	nulls dbindex.Nulls
}

// access is what a query asks of one table.
type access struct {
	table  *table
	alias  string
	conds  []cond
	orders [][]sortKey
	groups [][]dbindex.Key
	needed map[string]use // columns read anywhere
}

// use says where a column is read; a predicate that an index implies is not checked
// again, so its column need not be there.
type use uint8

const (
	inCondition use = 1 << iota
	inOutput
)

func newAccess(t *table, alias string) *access {
	return &access{table: t, alias: alias, needed: map[string]use{}}
}

// same reports whether two conditions ask for the same; constants aside, so that
// samples of one query do.
func (c cond) same(o cond) bool {
	return c.key == o.key && c.op == o.op && c.join == o.join && c.or == o.or && (c.pred == nil) == (o.pred == nil)
}

// put notes a condition; one below an OR does not hold for all rows, so it is no
// predicate.
func (x *extractor) put(a *access, c cond) {
	if c.or = x.or; c.or {
		c.pred = nil
	}
	a.add(c)
}

func (a *access) add(c cond) {
	same := func(o cond) bool {
		return o.key == c.key && o.op == c.op && o.value == c.value && o.join == c.join && o.or == c.or
	}
	if !slices.ContainsFunc(a.conds, same) {
		a.conds = append(a.conds, c)
	}
}

// names reports whether the access compares, sorts or groups by a key.
func (a *access) names(k dbindex.Key) bool {
	same := func(o dbindex.Key) bool { return o.Column == k.Column && o.Expr == k.Expr }
	return slices.ContainsFunc(a.conds, func(c cond) bool { return same(c.key) }) ||
		slices.ContainsFunc(a.orders, func(o []sortKey) bool { return same(o[0].key) }) ||
		slices.ContainsFunc(a.groups, func(g []dbindex.Key) bool { return slices.ContainsFunc(g, same) })
}

// within reports whether an index holds all columns that the access reads.
func (a *access) within(ix dbindex.Index) bool {
	for c := range a.needed {
		if !slices.Contains(ix.Include, c) && !slices.ContainsFunc(ix.Keys, func(k dbindex.Key) bool { return k.Column == c }) &&
			!slices.Contains(ix.Columns(), c) {
			return false
		}
	}
	return true
}

// sameAs reports whether another access asks for the same.
func (a *access) sameAs(b *access) bool {
	return a.table == b.table && a.alias == b.alias && slices.EqualFunc(a.conds, b.conds, cond.same) && maps.Equal(a.needed, b.needed) &&
		slices.EqualFunc(a.orders, b.orders, slices.Equal) && slices.EqualFunc(a.groups, b.groups, slices.Equal)
}

// extractor reads deparsed expressions into accesses.
type extractor struct {
	byAlias  map[string]*access
	literals map[string]bool // constants that stand in the text of the query
	postgres bool
	or       bool // inside an OR
}

// refAt reads alias.column at i, or a bare column of the only table.
func (x *extractor) refAt(toks []token, i int) (a *access, column string, n int) {
	if !toks[i].isName() {
		return nil, "", 0
	}
	if i+2 < len(toks) && toks[i+1].isSymbol(".") && toks[i+2].isName() {
		if a := x.byAlias[toks[i].val]; a != nil && a.table.column(toks[i+2].val) != nil {
			return a, a.table.column(toks[i+2].val).name, 3
		}
		return nil, "", 3
	}
	if i+1 < len(toks) && toks[i+1].isSymbol("(") || i > 0 && (toks[i-1].isSymbol("::") || toks[i-1].isSymbol(".")) {
		return nil, "", 0
	}
	if !x.postgres || len(x.byAlias) == 1 {
		var found *access
		for _, a := range x.byAlias {
			if a.table.column(toks[i].val) != nil {
				if found != nil {
					return nil, "", 0
				}
				found = a
			}
		}
		if found != nil {
			return found, found.table.column(toks[i].val).name, 1
		}
	}
	return nil, "", 0
}

// need notes all columns that the tokens name.
func (x *extractor) need(toks []token, u use) {
	for i := 0; i < len(toks); {
		a, column, n := x.refAt(toks, i)
		if a != nil {
			a.needed[column] |= u
		}
		i += max(n, 1)
	}
}

// side is one side of a comparison.
type side struct {
	a     *access // nil without columns
	key   dbindex.Key
	value string
	lit   bool // a constant
	mixed bool // columns of several tables
}

// side reads an operand: a column, an expression over one table, or a value.
func (x *extractor) side(toks []token) side {
	toks = stripParens(toks)
	var s side
	var expr strings.Builder
	refs, last := 0, 0
	for i := 0; i < len(toks); {
		a, column, n := x.refAt(toks, i)
		if a == nil {
			i += max(n, 1)
			continue
		}
		if s.a != nil && s.a != a {
			return side{mixed: true}
		}
		s.a = a
		refs++
		s.key = dbindex.Asc(column)
		expr.WriteString(between(toks, last, i) + quoteIdent(column))
		i += n
		last = i
	}
	if s.a == nil {
		s.value, s.lit = constant(toks)
		return s
	}
	if refs == 1 && isColumn(toks, s.a.table.column(s.key.Column)) {
		return s
	}
	expr.WriteString(between(toks, last, len(toks)))
	s.key = dbindex.Expr(dbindex.RawSQL(strings.TrimSpace(expr.String())))
	return s
}

// between writes the tokens from i to j with the space before and after them.
func between(toks []token, i, j int) string {
	if i == j {
		return ""
	}
	s := joinTokens(toks[i:j])
	if i > 0 && toks[i-1].end < toks[i].off {
		s = " " + s
	}
	if j < len(toks) && toks[j-1].end < toks[j].off {
		s += " "
	}
	return s
}

func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// isColumn reports whether an operand with one reference is no more than a column,
// written out or cast from varchar to text, which changes nothing.
func isColumn(toks []token, c *column) bool {
	n := len(toks)
	if n > 3 && toks[n-2].isSymbol("::") && toks[n-1].isWord("text") && (c.kind == "character varying" || c.kind == "name") {
		toks = stripParens(toks[:n-2])
		n = len(toks)
	}
	return n == 1 || n == 3 && toks[1].isSymbol(".")
}

// constant reads a literal with or without cast.
func constant(toks []token) (string, bool) {
	if len(toks) > 1 && toks[1].isSymbol("::") {
		toks = toks[:1]
	}
	if len(toks) == 2 && toks[0].isSymbol("-") && toks[1].kind == number {
		return "-" + toks[1].text, true
	}
	if len(toks) != 1 {
		return "", false
	}
	switch t := toks[0]; {
	case t.kind == str:
		return t.val, true
	case t.kind == number, t.isWord("true"), t.isWord("false"):
		return t.text, true
	}
	return "", false
}

// condition takes a predicate apart. Below an OR each part counts alone.
func (x *extractor) condition(toks []token) {
	toks = stripParens(toks)
	if len(toks) == 0 {
		return
	}
	if parts := splitAt(toks, func(t token) bool { return t.isWord("or") }); len(parts) > 1 {
		outer := x.or
		x.or = true
		for _, p := range parts {
			x.condition(p)
		}
		x.or = outer
		return
	}
	if parts := splitAnd(toks); len(parts) > 1 {
		for _, p := range parts {
			x.condition(p)
		}
		return
	}
	if toks[0].isWord("not") && len(toks) > 1 {
		if s := x.side(toks[1:]); s.a != nil && s.key.Column != "" {
			x.boolean(s, opFalse)
		}
		return
	}
	if x.isTest(toks) {
		return
	}
	if i := operatorAt(toks); i > 0 {
		x.comparison(toks[:i], toks[i:])
		return
	}
	if s := x.side(toks); s.a != nil && s.key.Column != "" {
		x.boolean(s, opTrue)
	}
}

// splitAnd cuts at AND, except that of BETWEEN.
func splitAnd(toks []token) [][]token {
	open := false
	return splitAt(toks, func(t token) bool {
		switch {
		case t.isWord("between"):
			open = true
		case t.isWord("and") && open:
			open = false
		case t.isWord("and"):
			return true
		}
		return false
	})
}

func (x *extractor) boolean(s side, op opKind) {
	c := cond{key: s.key, op: op}
	if s.a.table.column(s.key.Column).kind == "boolean" {
		c.pred = dbindex.Eq(s.key.Column, op == opTrue)
	}
	x.put(s.a, c)
}

// isTest reads IS NULL, IS NOT NULL, IS TRUE and the like.
func (x *extractor) isTest(toks []token) bool {
	i := slices.IndexFunc(toks, func(t token) bool { return t.isWord("is") })
	if i < 1 || i < len(toks)-3 || closingBefore(toks, i) {
		return false
	}
	var tail strings.Builder
	for _, t := range toks[i+1:] {
		tail.WriteString(t.val + " ")
	}
	s := x.side(toks[:i])
	if s.a == nil || s.key.Column == "" {
		return true
	}
	c := cond{key: s.key}
	switch tail.String() {
	case "null ":
		c.op, c.pred = opNull, dbindex.IsNull(s.key.Column)
	case "not null ":
		c.op, c.pred = opNotNull, dbindex.NotNull(s.key.Column)
	case "true ", "not false ":
		x.boolean(s, opTrue)
		return true
	default:
		return true
	}
	x.put(s.a, c)
	return true
}

// closingBefore reports whether i lies inside brackets.
func closingBefore(toks []token, i int) bool {
	depth := 0
	for _, t := range toks[:i] {
		switch {
		case t.isSymbol("(") || t.isSymbol("["):
			depth++
		case t.isSymbol(")") || t.isSymbol("]"):
			depth--
		}
	}
	return depth != 0
}

// operatorAt finds the comparison outside brackets, or -1.
func operatorAt(toks []token) int {
	depth, found := 0, -1
	for i, t := range toks {
		switch {
		case t.isSymbol("(") || t.isSymbol("["):
			depth++
		case t.isSymbol(")") || t.isSymbol("]"):
			depth--
		case depth > 0:
		case t.isWord("in"), t.isWord("like"), t.isWord("ilike"), t.isWord("between"), t.isWord("glob"):
			return i
		case t.kind == symbol:
			if _, ok := operatorKind(t.text); ok && found < 0 {
				found = i
			}
		}
	}
	return found
}

// operatorKind classifies the operators that an index may serve.
func operatorKind(op string) (opKind, bool) {
	switch op {
	case "=", "==", "IS":
		return opEq, true
	case "<", ">", "<=", ">=":
		return opRange, true
	case "~~", "~", "~~*", "~*":
		return opSearch, true
	case "@>", "<@", "?", "?|", "?&", "&&", "@?":
		return opContain, true
	case "@@":
		return opText, true
	case "<->":
		return opNear, true
	}
	return 0, false
}

// comparison reads left operator right.
func (x *extractor) comparison(left, rest []token) {
	op, right := rest[0], rest[1:]
	l := x.side(left)
	if l.mixed {
		return
	}
	switch {
	case op.isWord("in"), op.isWord("between"), op.isWord("like"), op.isWord("ilike"), op.isWord("glob"):
		x.worded(l, op.val, right)
		return
	}
	kind, _ := operatorKind(op.text)
	if len(right) > 1 && (right[0].isWord("any") || right[0].isWord("all")) {
		if l.a != nil && right[0].isWord("any") {
			x.put(l.a, cond{key: l.key, op: kind})
		}
		return
	}
	r := x.side(right)
	if r.mixed {
		return
	}
	x.operand(l, r, kind, op.text)
	if kind == opEq || kind == opRange {
		x.operand(r, l, kind, op.text)
	}
}

// operand notes the condition that s is compared with other.
func (x *extractor) operand(s, other side, kind opKind, op string) {
	if s.a == nil || s.a == other.a {
		return
	}
	c := cond{key: s.key, op: kind, value: other.value, join: other.a != nil, clause: op}
	if kind == opSearch && other.lit && op == "~~" {
		if p := likePrefix(other.value); p != "" {
			c.op = opPrefix
		}
	}
	if kind == opEq && other.lit && s.key.Column != "" && x.literals[other.value] {
		c.pred = constantPred(s.a.table.column(s.key.Column), other.value)
	}
	x.put(s.a, c)
}

// worded reads the forms that only the text of a query has.
func (x *extractor) worded(l side, op string, right []token) {
	if l.a == nil {
		return
	}
	c := cond{key: l.key}
	switch op {
	case "between":
		c.op = opRange
	case "like", "ilike", "glob":
		r := x.side(right)
		c.op, c.clause = opSearch, "~~*"
		if r.lit && op == "like" && likePrefix(r.value) != "" {
			c.op = opPrefix
		}
	}
	x.put(l.a, c)
}

// likePrefix is the part of a pattern before its first wildcard.
func likePrefix(pattern string) string {
	if i := strings.IndexAny(pattern, `%_\`); i >= 0 {
		return pattern[:i]
	}
	return pattern
}

// sortKeys reads the keys of a Sort node. Those of one table from the front count.
func (x *extractor) sortKeys(keys []string) {
	var order []sortKey
	var of *access
	for _, k := range keys {
		toks := lex(k)
		x.need(toks, inOutput)
		s, sk := x.sortKey(toks)
		if s.a == nil || of != nil && s.a != of {
			break
		}
		of = s.a
		order = append(order, sk)
	}
	if of != nil {
		of.orders = append(of.orders, order)
	}
}

// sortKey reads one key with its direction.
func (x *extractor) sortKey(toks []token) (side, sortKey) {
	var k sortKey
	n := len(toks)
	if n > 2 && toks[n-2].isWord("nulls") {
		k.nulls = dbindex.NullsLast
		if toks[n-1].isWord("first") {
			k.nulls = dbindex.NullsFirst
		}
		n -= 2
	}
	if n > 1 && (toks[n-1].isWord("desc") || toks[n-1].isWord("asc")) {
		k.desc = toks[n-1].isWord("desc")
		n--
	}
	s := x.side(toks[:n])
	k.key = s.key
	return s, k
}

func (x *extractor) groupKeys(keys []string) {
	byAccess := map[*access][]dbindex.Key{}
	for _, k := range keys {
		toks := lex(k)
		x.need(toks, inOutput)
		if s := x.side(toks); s.a != nil {
			byAccess[s.a] = append(byAccess[s.a], s.key)
		}
	}
	for a, keys := range byAccess {
		a.groups = append(a.groups, keys)
	}
}

// order reads the distance that an ordered scan sorts by.
func (x *extractor) order(s string) {
	toks := lex(s)
	x.need(toks, inOutput)
	if i := operatorAt(stripParens(toks)); i > 0 {
		t := stripParens(toks)
		x.comparison(t[:i], t[i:])
	}
}
