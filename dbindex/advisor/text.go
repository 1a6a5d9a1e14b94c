package advisor

import "strings"

// Bounds of the text that is read without a database, against hostile input: a clause
// is read to its end, so many of them in a long text take the square of its length.
const (
	maxTokens  = 20000
	maxClauses = 200
)

// textAccesses reads what a statement asks of each table from its text alone, for
// databases whose plans do not say. It sees tables after FROM, JOIN, UPDATE and INTO, and
// the clauses WHERE, ON, ORDER BY and GROUP BY at any depth.
func textAccesses(toks []token, c *catalog) []*access {
	if len(toks) > maxTokens || deep(toks) {
		return nil
	}
	x := extractor{byAlias: map[string]*access{}, literals: literals(toks)}
	var order []*access
	for i := range toks {
		t := tableAt(toks, i, c)
		if t == nil {
			continue
		}
		a := newAccess(t, aliasAfter(toks, i))
		if x.byAlias[a.alias] == nil {
			order = append(order, a)
			x.byAlias[a.alias] = a
		}
	}
	x.need(toks, inOutput)
	clauses := 0
	for i, t := range toks {
		if t.isWord("where") || t.isWord("on") || t.isWord("by") {
			if clauses++; clauses > maxClauses {
				return order
			}
		}
		switch {
		case t.isSymbol("*") && i > 0 && (toks[i-1].isWord("select") || toks[i-1].isSymbol(",") || toks[i-1].isSymbol(".") || toks[i-1].isWord("distinct")):
			for _, a := range order {
				for _, col := range a.table.columns {
					a.needed[col.name] |= inOutput
				}
			}
		case t.isWord("where"), t.isWord("on"):
			x.condition(clause(toks[i+1:]))
		case t.isWord("by") && i > 0 && toks[i-1].isWord("order"):
			x.sortTokens(splitAt(clause(toks[i+1:]), func(t token) bool { return t.text == "," }))
		case t.isWord("by") && i > 0 && toks[i-1].isWord("group"):
			for _, k := range splitAt(clause(toks[i+1:]), func(t token) bool { return t.text == "," }) {
				x.groupKeys([]string{joinTokens(k)})
			}
		}
	}
	return order
}

// deep reports brackets nested deeper than any statement of a person.
func deep(toks []token) bool {
	depth := 0
	for _, t := range toks {
		switch {
		case t.isSymbol("("):
			if depth++; depth > 200 {
				return true
			}
		case t.isSymbol(")"):
			depth--
		}
	}
	return false
}

// tableAt returns the table whose name stands at i, where a table may stand.
func tableAt(toks []token, i int, c *catalog) *table {
	if !toks[i].isName() || i == 0 {
		return nil
	}
	prev := toks[i-1]
	schema := ""
	if prev.isSymbol(".") && i > 2 {
		schema, prev = toks[i-2].val, toks[i-3]
	}
	if !prev.isWord("from") && !prev.isWord("join") && !prev.isWord("update") && !prev.isWord("into") && !prev.isSymbol(",") && !prev.isWord("only") {
		return nil
	}
	if prev.isSymbol(",") && (i+1 < len(toks) && toks[i+1].isSymbol(".")) {
		return nil
	}
	return c.find(schema, toks[i].val)
}

// find looks a table up as a statement names it.
func (c *catalog) find(schema, name string) *table {
	if t := c.table(schema, name); t != nil {
		return t
	}
	if c.dialect.Name() == "postgres" {
		return nil
	}
	for _, t := range c.sorted() {
		if strings.EqualFold(t.name, name) {
			return t
		}
	}
	return nil
}

// aliasAfter is the name by which the table at i is called.
func aliasAfter(toks []token, i int) string {
	j := i + 1
	if j < len(toks) && toks[j].isWord("as") {
		j++
	}
	if j < len(toks) && toks[j].isName() && !(toks[j].kind == word && clauseWord(toks[j].val)) {
		return toks[j].val
	}
	return toks[i].val
}

// clauseWord reports whether a word ends a condition or list.
func clauseWord(w string) bool {
	switch w {
	case "where", "on", "using", "group", "order", "having", "limit", "offset", "fetch", "union", "except", "intersect", "window",
		"join", "inner", "left", "right", "full", "cross", "natural", "lateral", "set", "values", "returning", "for", "select", "indexed", "not":
		return true
	}
	return false
}

// clause returns the tokens up to the next clause or the bracket that ends it.
func clause(toks []token) []token {
	depth := 0
	for i, t := range toks {
		switch {
		case t.isSymbol("("):
			depth++
		case t.isSymbol(")"):
			if depth--; depth < 0 {
				return toks[:i]
			}
		case depth == 0 && t.kind == word && t.val != "not" && clauseWord(t.val):
			return toks[:i]
		}
	}
	return toks
}

// sortTokens notes an order given as token lists.
func (x *extractor) sortTokens(keys [][]token) {
	var texts []string
	for _, k := range keys {
		texts = append(texts, joinTokens(k))
	}
	x.sortKeys(texts)
}
