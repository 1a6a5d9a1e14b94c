package dbindex

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Parse reads one CREATE INDEX statement, as [Index.SQL] writes it, as migration
// files hold it, or as a database prints it. Expressions and predicates come back as
// [RawSQL]; CONCURRENTLY, IF NOT EXISTS and ONLY are read over. Plain PostgreSQL strings
// are read as standard_conforming_strings = on has them. The error is a
// [*RawSQLError] for text that the tokenizer refuses, and else matches [ErrIndex].
func Parse(d Dialect, sql string) (Index, error) {
	if err := d.check(); err != nil {
		return Index{}, err
	}
	toks, err := d.tokenizeAs(strings.TrimSuffix(strings.TrimSpace(sql), ";"), true)
	if err != nil {
		return Index{}, err
	}
	p := parser{d: d, toks: toks}
	ix := p.statement()
	if p.err == nil && len(p.toks) > 0 {
		p.fail("unexpected text")
	}
	if p.err != nil {
		return Index{}, p.err
	}
	return ix, nil
}

// parser consumes tokens from the front; after an error it consumes no more.
type parser struct {
	d    Dialect
	toks []token
	err  error
}

func (p *parser) fail(what string) {
	if p.err == nil {
		off := -1
		if len(p.toks) > 0 {
			off = p.toks[0].off
		}
		p.err = fmt.Errorf("%w: parse CREATE INDEX: %s at byte %d", ErrIndex, what, off)
	}
	p.toks = nil
}

// take consumes the given words or symbols, which spaces separate, if they all follow.
func (p *parser) take(words string) bool {
	n := 0
	for w := range strings.SplitSeq(words, " ") {
		if n == len(p.toks) || !p.toks[n].is(w) {
			return false
		}
		n++
	}
	p.toks = p.toks[n:]
	return true
}

func (p *parser) need(words string) {
	if !p.take(words) {
		p.fail("want " + strings.ToUpper(words))
	}
}

// at reports whether the given word or symbol is next.
func (p *parser) at(w string) bool { return len(p.toks) > 0 && p.toks[0].is(w) }

// name consumes an identifier; PostgreSQL folds bare ones.
func (p *parser) name() string {
	if len(p.toks) == 0 || p.toks[0].kind != word && p.toks[0].kind != quoted {
		p.fail("want a name")
		return ""
	}
	t := p.toks[0]
	p.toks = p.toks[1:]
	if t.kind == word && p.d.family != postgres {
		return t.text
	}
	return t.val
}

// dotted consumes name or schema.name.
func (p *parser) dotted() (schema, name string) {
	if name = p.name(); p.take(".") {
		schema, name = name, p.name()
	}
	return schema, name
}

// group consumes a parenthesised list and returns its items.
func (p *parser) group() (items [][]token) {
	if !p.at("(") {
		p.fail("want (")
		return nil
	}
	end := closing(p.toks, 0)
	items = split(p.toks[1:end], ",")
	p.toks = p.toks[end+1:]
	return items
}

func (p *parser) statement() (ix Index) {
	p.need("create")
	ix.Unique = p.take("unique")
	p.need("index")
	p.take("concurrently")
	p.take("if not exists")
	var schema string
	if !p.take("on") {
		schema, ix.Name = p.dotted()
		if p.d.isMySQL() {
			ix.Method = p.method()
		}
		p.need("on")
	}
	p.take("only")
	ix.Schema, ix.Table = p.dotted()
	if schema != "" && ix.Schema == "" {
		ix.Schema = schema
	}
	if p.err == nil && len(p.toks) > 0 && p.toks[0].kind == word {
		ix.Method = p.method()
	}
	for _, item := range p.group() {
		ix.Keys = append(ix.Keys, p.key(item))
	}
	p.clauses(&ix)
	return ix
}

// method consumes USING and a method name, if they are there.
func (p *parser) method() Method {
	var m Method
	if p.take("using") {
		if err := m.UnmarshalText([]byte(strings.ToLower(p.name()))); err != nil && p.err == nil {
			p.fail("unknown index method")
		}
	}
	return m
}

// clauses consumes what may follow the keys.
func (p *parser) clauses(ix *Index) {
	if p.take("include") {
		for _, item := range p.group() {
			sub := parser{d: p.d, toks: item}
			ix.Include = append(ix.Include, sub.name())
			if sub.err != nil || len(sub.toks) > 0 {
				p.fail("an INCLUDE that is no column")
			}
		}
	}
	ix.NullsNotDistinct = p.take("nulls not distinct")
	_ = !ix.NullsNotDistinct && p.take("nulls distinct")
	if p.take("with") {
		ix.With = map[string]string{}
		for _, item := range p.group() {
			if len(item) != 3 || item[1].text != "=" {
				p.fail("a storage parameter that is not name = value")
				return
			}
			ix.With[item[0].val] = strings.Trim(item[2].text, "'")
		}
	}
	if p.take("tablespace") {
		ix.Tablespace = p.name()
	}
	if p.d.isMySQL() {
		ix.Ignored = p.take("ignored") || p.take("invisible")
		_ = !ix.Ignored && (p.take("not ignored") || p.take("visible"))
		_ = p.take("algorithm =") && p.name() != ""
		_ = p.take("lock =") && p.name() != ""
	}
	if p.take("where") {
		if len(p.toks) == 0 {
			p.fail("an empty WHERE")
			return
		}
		ix.Where = RawSQL(joinText(stripParens(p.toks)))
		p.toks = nil
	}
}

// key reads one item of the key list.
func (p *parser) key(item []token) (k Key) {
	if p.err != nil {
		return k
	}
	sub := parser{d: p.d, toks: item}
	ends := func(words string) bool {
		n := len(sub.toks) - 1 - strings.Count(words, " ")
		if n < 1 || !(&parser{d: p.d, toks: sub.toks[n:]}).take(words) {
			return false
		}
		sub.toks = sub.toks[:n]
		return true
	}
	switch {
	case ends("nulls first"):
		k.Nulls = NullsFirst
	case ends("nulls last"):
		k.Nulls = NullsLast
	}
	if k.Desc = ends("desc"); !k.Desc {
		ends("asc")
	}
	if p.d.family == postgres {
		sub.headPostgres(&k)
	} else {
		sub.head(&k)
	}
	if sub.err == nil && len(sub.toks) > 0 {
		sub.fail("a key that is not understood")
	}
	if sub.err != nil && p.err == nil {
		p.err, p.toks = sub.err, nil
	}
	if k.Nulls != NullsDefault && (k.Nulls == NullsFirst) == p.d.nullsFirst(k.Desc) {
		k.Nulls = NullsDefault
	}
	return k
}

// headPostgres reads a column, a function call or a parenthesised expression, then
// COLLATE and operator class.
func (p *parser) headPostgres(k *Key) {
	open := slices.IndexFunc(p.toks, func(t token) bool { return t.is("(") })
	isCall := open == 1 || open == 3 && p.toks[1].text == "."
	switch {
	case len(p.toks) == 0:
		p.fail("an empty key")
		return
	case open == 0 || isCall && p.toks[0].kind != symbol:
		end := closing(p.toks, open)
		k.Expr = RawSQL(joinText(stripParens(p.toks[:end+1])))
		p.toks = p.toks[end+1:]
	default:
		k.Column = p.name()
	}
	if p.take("collate") {
		k.Collate = joinDotted(p.dotted())
	}
	if len(p.toks) > 0 && p.err == nil {
		k.OpClass = joinDotted(p.dotted())
	}
}

func joinDotted(schema, name string) string {
	if schema != "" {
		return schema + "." + name
	}
	return name
}

// head reads a column, with a prefix length on MySQL, or any expression, then
// COLLATE.
func (p *parser) head(k *Key) {
	n := len(p.toks)
	if n > 2 && p.toks[n-2].kind == word && p.toks[n-2].val == "collate" && p.toks[n-1].kind <= quoted {
		tail := parser{d: p.d, toks: p.toks[n-1:]}
		k.Collate = tail.name()
		p.toks = p.toks[:n-2]
		n -= 2
	}
	switch {
	case n == 0:
		p.fail("an empty key")
	case n == 1:
		k.Column = p.name()
	case n == 4 && p.d.isMySQL() && p.toks[1].text == "(" && p.toks[2].kind == number:
		k.Column = p.name()
		k.Prefix, _ = strconv.Atoi(p.toks[1].text)
		p.toks = nil
	default:
		k.Expr = RawSQL(joinText(stripParens(p.toks)))
		p.toks = nil
	}
}

// Columns returns the columns that the definition names outside raw SQL, in order
// and without repeats: keys, included columns, predicate.
func (ix Index) Columns() []string {
	var cols []string
	add := func(c string) {
		if c != "" && !slices.Contains(cols, c) {
			cols = append(cols, c)
		}
	}
	for _, k := range ix.Keys {
		add(k.Column)
	}
	for _, c := range ix.Include {
		add(c)
	}
	var walk func(p Pred, depth int)
	walk = func(p Pred, depth int) {
		if depth > maxPredDepth {
			return
		}
		switch p := p.(type) {
		case compare:
			add(p.column)
		case logic:
			for _, q := range p.preds {
				walk(q, depth+1)
			}
		case negation:
			walk(p.pred, depth+1)
		}
	}
	walk(ix.Where, 0)
	return cols
}
