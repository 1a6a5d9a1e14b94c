package advisor

import (
	"encoding/json"
	"fmt"
)

// node is one node of EXPLAIN (VERBOSE, FORMAT JSON).
type node struct {
	Type      string   `json:"Node Type"`
	Schema    string   `json:"Schema"`
	Relation  string   `json:"Relation Name"`
	Alias     string   `json:"Alias"`
	Index     string   `json:"Index Name"`
	Cost      float64  `json:"Total Cost"`
	Rows      float64  `json:"Plan Rows"`
	Filter    string   `json:"Filter"`
	IndexCond string   `json:"Index Cond"`
	Recheck   string   `json:"Recheck Cond"`
	Order     string   `json:"Order By"`
	HashCond  string   `json:"Hash Cond"`
	MergeCond string   `json:"Merge Cond"`
	Join      string   `json:"Join Filter"`
	SortKey   []string `json:"Sort Key"`
	GroupKey  []string `json:"Group Key"`
	Output    []string `json:"Output"`
	Plans     []*node  `json:"Plans"`
}

// parsePlan reads what EXPLAIN printed.
func parsePlan(text []byte) (*node, error) {
	var doc []struct{ Plan *node }
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("dbindex/advisor: read plan: %w", err)
	}
	if len(doc) == 0 || doc[0].Plan == nil {
		return nil, fmt.Errorf("dbindex/advisor: read plan: EXPLAIN shows none")
	}
	return doc[0].Plan, nil
}

// walk calls fn for each node, parents first.
func (n *node) walk(fn func(*node)) {
	fn(n)
	for _, p := range n.Plans {
		p.walk(fn)
	}
}

// conditions are the node's predicates on rows.
func (n *node) conditions() []string {
	return []string{n.Filter, n.IndexCond, n.Recheck, n.HashCond, n.MergeCond, n.Join}
}

// indexes returns the names of the indexes that the plan reads.
func (n *node) indexes() []string {
	var names []string
	n.walk(func(n *node) {
		if n.Index != "" {
			names = append(names, n.Index)
		}
	})
	return names
}

// accesses turns a plan into what it asks of each table. PostgreSQL prints columns
// with their alias, views expanded and constants folded, so text is enough.
func accesses(plan *node, literals map[string]bool, c *catalog) []*access {
	byAlias := map[string]*access{}
	var order []*access
	plan.walk(func(n *node) {
		if n.Relation == "" || n.Alias == "" || byAlias[n.Alias] != nil {
			return
		}
		t := c.table(n.Schema, n.Relation)
		if t == nil {
			return
		}
		a := newAccess(t, n.Alias)
		byAlias[n.Alias] = a
		order = append(order, a)
	})
	x := extractor{byAlias: byAlias, literals: literals, postgres: true}
	plan.walk(func(n *node) {
		for _, s := range n.conditions() {
			toks := lex(s)
			x.need(toks, inCondition)
			x.condition(toks)
		}
		x.sortKeys(n.SortKey)
		x.groupKeys(n.GroupKey)
		x.order(n.Order)
		x.output(n, n == plan)
	})
	return order
}

// output notes which columns are read. A scan below others may print all columns of
// its table though nobody asked for them, so that says nothing.
func (x *extractor) output(n *node, top bool) {
	a := x.byAlias[n.Alias]
	if a != nil && n.Relation != "" && !top && len(n.Output) == len(a.table.columns) && len(n.Output) > 1 {
		return
	}
	for _, s := range n.Output {
		x.need(lex(s), inOutput)
	}
}
