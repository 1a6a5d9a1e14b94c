package dbindex

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// Implies reports whether each row that p selects is known to be selected by q too,
// so that an index partial on q serves a query that holds p. A nil predicate selects
// all rows. False means that it is not known: raw SQL is understood as far as it is made
// of the forms that the typed predicates have, and otherwise compared as text. Strings
// are compared for equality only, since their order depends on the collation; so are
// all constants on SQLite, whose columns may compare numbers as texts.
func Implies(d Dialect, p, q Pred) bool {
	return d.check() == nil && (&implication{d: d}).holds(d.typed(p, 0), d.typed(q, 0))
}

// implication counts its steps: predicates made to be slow give "not known".
type implication struct {
	d     Dialect
	steps int
}

const maxImplySteps = 10_000

// holds follows the rules that PostgreSQL's planner has for AND and OR.
func (m *implication) holds(p, q Pred) bool {
	if m.steps++; m.steps > maxImplySteps {
		return false
	}
	if q == nil || p != nil && predString(p) == predString(q) {
		return true
	}
	if p == nil {
		return false
	}
	if parts, ok := parts(q, "AND"); ok {
		return !slices.ContainsFunc(parts, func(part Pred) bool { return !m.holds(p, part) })
	}
	if parts, ok := parts(p, "OR"); ok {
		return !slices.ContainsFunc(parts, func(part Pred) bool { return !m.holds(part, q) })
	}
	if c, ok := p.(compare); ok && c.op == "IN" {
		return !slices.ContainsFunc(c.values, func(v literal) bool { return !m.holds(equals(c.column, v), q) })
	}
	if parts, ok := parts(p, "AND"); ok && slices.ContainsFunc(parts, func(part Pred) bool { return m.holds(part, q) }) {
		return true
	}
	if parts, ok := parts(q, "OR"); ok {
		return slices.ContainsFunc(parts, func(part Pred) bool { return m.holds(p, part) })
	}
	a, ok1 := p.(compare)
	b, ok2 := q.(compare)
	return ok1 && ok2 && a.column == b.column && a.implies(m.d, b)
}

func parts(p Pred, op string) ([]Pred, bool) {
	l, ok := p.(logic)
	return l.preds, ok && l.op == op && len(l.preds) > 0
}

func equals(column string, v literal) Pred {
	return compare{op: "=", column: column, values: []literal{v}}
}

// implies judges two comparisons of one column that are not equal; a is no IN.
func (a compare) implies(d Dialect, b compare) bool {
	switch {
	case a.op == "IS NULL" || b.op == "IS NULL":
		return false
	case b.op == "IS NOT NULL":
		return true // no comparison holds for NULL
	case a.op == "IS NOT NULL":
		return false
	case b.op == "IN":
		return a.op == "=" && slices.ContainsFunc(b.values, func(v literal) bool { c, known := d.order(a.values[0], v); return known && c == 0 })
	}
	c, known := d.order(a.values[0], b.values[0])
	if !known {
		return false
	}
	switch a.op + " " + b.op {
	case "= =", "<> <>", "= <=", "= >=", "< <>", "> <>", "<= <=", ">= >=", "< <", "> >", "< <=", "> >=":
		if c == 0 {
			return true
		}
	}
	switch a.op {
	case "=":
		return c != 0 && (b.op == "<>" || c < 0 == (b.op == "<" || b.op == "<=")) && b.op != "="
	case "<", "<=":
		return c < 0 && (b.op == "<" || b.op == "<=" || b.op == "<>")
	case ">", ">=":
		return c > 0 && (b.op == ">" || b.op == ">=" || b.op == "<>")
	}
	return false
}

// order compares constants as their column does, as far as that is known: a constant
// with itself, numbers, and booleans. The order of strings is the collation's, and in
// SQLite a column may compare numbers as texts.
func (d Dialect) order(v, w literal) (c int, known bool) {
	const exact = 1 << 53 // beyond, a float does not tell integers apart
	small := func(l literal) bool { return l.kind != 'i' || l.i > -exact && l.i < exact }
	asFloat := func(l literal) float64 {
		if l.kind == 'i' {
			return float64(l.i)
		}
		return l.f
	}
	switch {
	case v == w:
		return 0, true
	case d.family == sqlite || v.kind == 's' || w.kind == 's' || (v.kind == 'b') != (w.kind == 'b'):
		return 0, false
	case v.kind == w.kind && v.kind != 'f':
		return cmp.Compare(v.i, w.i), true
	case small(v) && small(w) && !math.IsNaN(v.f) && !math.IsNaN(w.f):
		return cmp.Compare(asFloat(v), asFloat(w)), true
	}
	return 0, false
}

// typed rewrites a predicate for judgement: raw SQL into typed predicates where its
// form is known, negations inward, names of columns as the dialect compares them.
func (d Dialect) typed(p Pred, depth int) Pred {
	if depth > maxPredDepth {
		return p
	}
	switch p := p.(type) {
	case RawSQL:
		toks, err := d.tokenizeAs(string(p), true)
		if err != nil || len(toks) == 0 {
			return p
		}
		r := reader{d: d}
		return r.pred(toks, depth+1)
	case compare:
		p.column = d.foldColumn(p.column)
		if p.op == "IN" && len(p.values) == 1 {
			p.op = "="
		}
		return p
	case logic:
		list := make([]Pred, len(p.preds))
		for i, q := range p.preds {
			list[i] = d.typed(q, depth+1)
		}
		if len(list) == 1 {
			return list[0]
		}
		return newLogic(p.op, list)
	case negation:
		return d.negate(d.typed(p.pred, depth+1), depth+1)
	}
	return p
}

// negate returns what holds where p is false; p is typed.
func (d Dialect) negate(p Pred, depth int) Pred {
	if depth > maxPredDepth {
		return negation{p}
	}
	switch p := p.(type) {
	case negation:
		return p.pred
	case logic:
		list := make([]Pred, len(p.preds))
		for i, q := range p.preds {
			list[i] = d.negate(q, depth+1)
		}
		return newLogic(map[string]string{"AND": "OR", "OR": "AND"}[p.op], list)
	case compare:
		if p.op == "IN" {
			var list []Pred
			for _, v := range p.values {
				list = append(list, d.negate(equals(p.column, v), depth))
			}
			return newLogic("AND", list)
		}
		if p.op == "=" && p.values[0].kind == 'b' && d.family == postgres { // elsewhere, any number is a boolean
			return equals(p.column, boolLiteral(p.values[0].i == 0))
		}
		p.op = [...]string{"IS NULL", "IS NOT NULL", "=", "<>", "<", ">=", ">", "<="}[slices.Index(operators(), p.op)^1]
		return p
	}
	return negation{p}
}

// operators come in pairs of opposites.
func operators() []string {
	return []string{"IS NULL", "IS NOT NULL", "=", "<>", "<", ">=", ">", "<="}
}

// reader turns tokens into typed predicates. What it does not know becomes RawSQL in
// canonical form.
type reader struct{ d Dialect }

func (r reader) pred(toks []token, depth int) Pred {
	toks = stripParens(toks)
	if depth > maxPredDepth {
		return RawSQL(r.d.canonical(toks))
	}
	if len(split(toks, "case")) > 1 { // an AND in it joins nothing outside
		return RawSQL(r.d.canonical(toks))
	}
	for _, op := range []string{"or", "and"} {
		cut := split(toks, op)
		if len(cut) < 2 || op == "and" && len(split(toks, "between")) > 1 {
			continue
		}
		list := make([]Pred, len(cut))
		for i, part := range cut {
			list[i] = r.pred(part, depth+1)
		}
		return newLogic(strings.ToUpper(op), list)
	}
	if len(toks) > 1 && toks[0].kind == word && toks[0].val == "not" {
		return r.d.negate(r.pred(toks[1:], depth+1), depth+1)
	}
	if p := r.atom(toks); p != nil {
		return p
	}
	return RawSQL(r.d.canonical(toks))
}

// atom reads one comparison of a column with constants, or gives nil.
func (r reader) atom(toks []token) Pred {
	col, rest, ok := r.column(toks)
	if !ok {
		return nil
	}
	p := parser{d: r.d, toks: rest}
	switch {
	case len(rest) == 0 && r.d.family == postgres:
		return equals(col, boolLiteral(true))
	case p.take("is null") && len(p.toks) == 0:
		return compare{op: "IS NULL", column: col}
	case p.take("is not null") && len(p.toks) == 0:
		return compare{op: "IS NOT NULL", column: col}
	case p.take("= any ( array ["):
		return r.in(col, p.toks, 2) // the array may have a cast behind it
	case p.take("in ("):
		return r.in(col, p.toks, 1)
	}
	n := 0
	for n < len(rest) && n < 2 && rest[n].kind == symbol && strings.ContainsAny(rest[n].text, "=<>!") {
		n++
	}
	op := joinText(rest[:n])
	if op == "!=" {
		op = "<>"
	}
	if i := slices.Index(operators(), op); i < 2 || strings.Contains(op, " ") {
		return nil
	}
	v, rest, ok := r.literal(rest[n:])
	if !ok || len(rest) > 0 {
		return nil
	}
	return compare{op: op, column: col, values: []literal{v}}
}

// in reads constants up to the closing bracket; at most casts and closers follow.
func (r reader) in(col string, toks []token, closers int) Pred {
	c := compare{op: "IN", column: col}
	for {
		v, rest, ok := r.literal(toks)
		if !ok || len(rest) == 0 {
			return nil
		}
		c.values = append(c.values, v)
		if toks = rest[1:]; rest[0].text != "," {
			break
		}
	}
	_, toks = r.casts(toks)
	if len(toks) != closers-1 {
		return nil
	}
	sortBy(c.values, literal.compare)
	c.values = slices.Compact(c.values)
	if len(c.values) == 1 {
		c.op = "="
	}
	return c
}

// column reads a name, perhaps in brackets; its casts become part of it, since a
// comparison of the column as another type is another comparison.
func (r reader) column(toks []token) (name string, rest []token, ok bool) {
	end := 1
	if len(toks) > 2 && toks[0].text == "(" && toks[0].kind == symbol {
		if end = closing(toks, 0) + 1; end != 3 {
			return "", nil, false
		}
		name, _, ok = r.column(toks[1:2])
	} else if len(toks) > 0 && (toks[0].kind == quoted || toks[0].kind == word && isPlainName(toks[0].val)) {
		name, ok = r.d.foldColumn(toks[0].val), true
	}
	if !ok {
		return "", nil, false
	}
	cast, rest := r.casts(toks[end:])
	if cast != "" {
		name += castMark + cast
	}
	return name, rest, true
}

// castMark stands between a column and its casts; no name can hold it.
const castMark = "\x00"

// bare is the column without its casts.
func (p compare) bare() string {
	name, _, _ := strings.Cut(p.column, castMark)
	return name
}

// casts reads any number of ::type.
func (r reader) casts(toks []token) (cast string, rest []token) {
	for len(toks) > 1 && toks[0].text == "::" && toks[0].kind == symbol {
		n := 2
		for n < len(toks) && (toks[n].kind == word && slices.Contains([]string{"varying", "precision", "with", "without", "time", "zone"}, toks[n].val) ||
			toks[n].text == "." || toks[n-1].text == ".") {
			n++
		}
		for n < len(toks) && toks[n].kind == symbol && (toks[n].text == "(" || toks[n].text == "[") {
			n = closing(toks, n) + 1
		}
		cast += joinText(toks[:n])
		toks = toks[n:]
	}
	return cast, toks
}

// literal reads a constant with its casts. A number that a float64 cannot hold
// exactly, or that its cast may round, is none.
func (r reader) literal(toks []token) (v literal, rest []token, ok bool) {
	sign := ""
	if len(toks) > 1 && toks[0].text == "-" && toks[1].kind == number {
		sign, toks = "-", toks[1:]
	}
	if len(toks) == 0 {
		return v, nil, false
	}
	t := toks[0]
	cast, rest := r.casts(toks[1:])
	wide := cast == "::numeric" || cast == "::double precision"
	whole := cast == "::integer" || cast == "::bigint" || cast == "::smallint"
	quoted := t.kind == str && t.text[0] == '\''
	switch {
	case t.kind == number, quoted && (wide || whole):
		v, ok = numberLiteral(sign + strings.Trim(t.text, "'"))
		ok = ok && (cast == "" || wide || whole && v.kind == 'i')
	case quoted:
		v, ok = literal{kind: 's', s: strings.ReplaceAll(t.text[1:len(t.text)-1], "''", "'")}, true
		if strings.Contains(cast, "(") || strings.HasPrefix(cast, "::date") || strings.HasPrefix(cast, "::time") {
			v.s += castMark + cast // such a cast may change what the text says
		}
	case t.kind == word && (t.val == "true" || t.val == "false"):
		v, ok = boolLiteral(t.val == "true"), true
	}
	return v, rest, ok
}
