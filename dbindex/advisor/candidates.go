package advisor

import (
	"cmp"
	"slices"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// generator makes the indexes that could serve an access.
type generator struct {
	c       *catalog
	methods []dbindex.Method // allowed; empty means all
	maxKeys int
}

func (g *generator) allows(m dbindex.Method) bool {
	return len(g.methods) == 0 || slices.Contains(g.methods, m)
}

// maxPerAccess bounds the candidates of one access, against plans with dozens of
// conditions.
const maxPerAccess = 60

// candidates returns the indexes for one access, the most specific first.
func (g *generator) candidates(a *access) []dbindex.Index {
	if a.table.refused != "" {
		return nil
	}
	b := builder{g: g, a: a, seen: map[string]bool{}}
	b.special()
	if g.allows(dbindex.BTree) {
		b.btrees()
	}
	return b.out
}

// builder collects the candidates of one access.
type builder struct {
	g    *generator
	a    *access
	out  []dbindex.Index
	seen map[string]bool // statements tried
}

// btrees combines equal columns, then a range or an order, with predicates and with
// the other columns that the query reads.
func (b *builder) btrees() {
	var fixed, joins, ranges []cond
	for _, c := range b.a.conds {
		switch {
		case c.or:
			b.single(c)
		case c.op == opEq && c.join:
			joins = append(joins, c)
		case c.op == opEq, c.op == opTrue, c.op == opFalse:
			fixed = append(fixed, c)
		case c.op == opRange, c.op == opPrefix:
			ranges = append(ranges, c)
		}
	}
	tails := b.tails(ranges)
	for _, preds := range b.predicates() {
		for _, eq := range b.equals(fixed, joins, preds) {
			for _, tail := range tails {
				b.btree(eq, tail, preds)
			}
		}
	}
}

// single makes an index for one part of an OR.
func (b *builder) single(c cond) {
	if c.op == opEq || c.op == opRange || c.op == opPrefix {
		b.emit(dbindex.Index{Keys: []dbindex.Key{b.rangeKey(c)}})
	}
}

// tails are what may follow the equal columns: nothing, one range, one order, one
// group.
func (b *builder) tails(ranges []cond) [][]dbindex.Key {
	tails := [][]dbindex.Key{nil}
	for _, r := range ranges {
		tails = append(tails, []dbindex.Key{b.rangeKey(r)})
	}
	for _, order := range b.a.orders {
		tails = append(tails, orderKeys(order))
	}
	return append(tails, b.a.groups...)
}

// rangeKey is the key for a range; a prefix of text needs an operator class where
// text sorts by a language.
func (b *builder) rangeKey(c cond) dbindex.Key {
	k := c.key
	if c.op == opPrefix && b.g.c.locale {
		k.OpClass = b.g.c.opclass["text_pattern_ops"]
	}
	return k
}

// orderKeys writes an order as keys. One direction in all keys needs no DESC, since
// a btree is read both ways.
func orderKeys(order []sortKey) []dbindex.Key {
	flip := order[0].desc && order[0].nulls == dbindex.NullsDefault
	for _, k := range order {
		flip = flip && k.desc && k.nulls == dbindex.NullsDefault
	}
	keys := make([]dbindex.Key, len(order))
	for i, k := range order {
		keys[i] = k.key
		keys[i].Desc = k.desc && !flip
		keys[i].Nulls = k.nulls
	}
	return keys
}

// predicates are the choices of partial index: none, all that hold, each by itself.
func (b *builder) predicates() [][]cond {
	var all []cond
	for _, c := range b.a.conds {
		if c.pred != nil && !c.or {
			all = append(all, c)
		}
	}
	choices := [][]cond{nil}
	if len(all) > 0 {
		choices = append(choices, all)
	}
	if len(all) > 1 && len(all) <= 4 {
		for _, c := range all {
			choices = append(choices, []cond{c})
		}
	}
	return choices
}

// equals are the choices of leading columns: those compared with values, with one
// join column or without, in several orders.
func (b *builder) equals(fixed, joins, preds []cond) [][]dbindex.Key {
	var base []dbindex.Key
	for _, c := range fixed {
		if !slices.ContainsFunc(preds, func(p cond) bool { return p.key == c.key }) {
			base = append(base, c.key)
		}
	}
	// The most selective first: it serves other queries by itself.
	slices.SortStableFunc(base, func(x, y dbindex.Key) int {
		return cmp.Compare(b.a.table.distinctOf([]dbindex.Key{y}), b.a.table.distinctOf([]dbindex.Key{x}))
	})
	base = slices.Compact(base)
	sets := orders(base)
	for _, k := range base {
		sets = append(sets, []dbindex.Key{k})
	}
	for _, j := range joins {
		sets = append(sets, []dbindex.Key{j.key})
		if len(base) > 0 {
			sets = append(sets, append([]dbindex.Key{j.key}, base...), append(slices.Clone(base), j.key))
		}
	}
	if len(base) > 0 {
		sets = append(sets, nil)
	}
	return sets
}

// orders are the permutations of up to three keys, or the one order of more.
func orders(keys []dbindex.Key) [][]dbindex.Key {
	if len(keys) < 2 || len(keys) > 3 {
		return [][]dbindex.Key{keys}
	}
	var all [][]dbindex.Key
	for i, first := range keys {
		for _, rest := range orders(slices.Delete(slices.Clone(keys), i, i+1)) {
			all = append(all, append([]dbindex.Key{first}, rest...))
		}
	}
	return all
}

// btree emits one combination, plain and with the other columns read.
func (b *builder) btree(eq, tail []dbindex.Key, preds []cond) {
	var keys []dbindex.Key
	for _, k := range slices.Concat(eq, tail) {
		if !slices.ContainsFunc(keys, func(h dbindex.Key) bool { return h.Column == k.Column && h.Expr == k.Expr }) {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 && len(preds) > 0 && preds[0].op != opNull {
		keys = append(keys, preds[0].key)
	}
	if len(keys) == 0 || len(keys) > b.g.maxKeys {
		return
	}
	ix := dbindex.Index{Keys: keys, Where: predOf(preds)}
	b.emit(ix)
	inc := b.include(keys, preds)
	switch {
	case len(inc) == 0:
	case b.g.c.dialect.Name() == "postgres":
		ix.Include = inc
		b.emit(ix)
	case len(keys)+len(inc) <= b.g.maxKeys+2: // no INCLUDE there: more keys do
		for _, c := range inc {
			ix.Keys = append(slices.Clip(ix.Keys), dbindex.Asc(c))
		}
		b.emit(ix)
	}
}

func predOf(preds []cond) dbindex.Pred {
	switch len(preds) {
	case 0:
		return nil
	case 1:
		return preds[0].pred
	}
	list := make([]dbindex.Pred, len(preds))
	for i, p := range preds {
		list[i] = p.pred
	}
	return dbindex.And(list...)
}

// Bounds of what is added to an index so that the table need not be read.
const (
	maxInclude      = 4
	maxIncludeWidth = 64 // bytes
)

// include returns the columns that the query reads beside the keys, if they are few
// and narrow.
func (b *builder) include(keys []dbindex.Key, preds []cond) []string {
	var cols []string
	width := 0.0
	for _, c := range b.a.table.columns {
		has := func(k dbindex.Key) bool { return k.Column == c.name }
		if b.a.needed[c.name] == 0 || slices.ContainsFunc(keys, has) {
			continue
		}
		if slices.ContainsFunc(preds, func(p cond) bool { return p.key.Column == c.name }) && b.a.needed[c.name]&inOutput == 0 {
			continue
		}
		cols = append(cols, c.name)
		width += c.width
	}
	if len(cols) > maxInclude || width > maxIncludeWidth {
		return nil
	}
	return cols
}

// special emits what a btree cannot serve, and summaries of ordered tables.
func (b *builder) special() {
	for _, c := range b.a.conds {
		switch c.op {
		case opSearch:
			b.gin(c, "gin_trgm_ops")
		case opContain:
			b.contain(c)
		case opText:
			b.gin(c, "")
		case opNear:
			b.method(dbindex.GiST, c.key)
		case opRange:
			b.brin(c)
		}
	}
}

// contain picks the operator class by type: jsonb has a smaller one for @>.
func (b *builder) contain(c cond) {
	t := b.a.table.column(c.key.Column)
	switch {
	case t != nil && t.kind == "jsonb" && (c.clause == "@>" || c.clause == "@?"):
		b.gin(c, "jsonb_path_ops")
	case t != nil && strings.Contains(t.kind, "range"):
		b.method(dbindex.GiST, c.key)
	default:
		b.gin(c, "")
	}
}

func (b *builder) gin(c cond, class string) {
	k := c.key
	if class != "" {
		if k.OpClass = b.g.c.opclass[class]; k.OpClass == "" {
			return
		}
	}
	b.method(dbindex.GIN, k)
}

func (b *builder) method(m dbindex.Method, k dbindex.Key) {
	if b.g.allows(m) {
		b.emit(dbindex.Index{Keys: []dbindex.Key{k}, Method: m})
	}
}

// brin is for big tables whose rows lie in the order of the column.
func (b *builder) brin(c cond) {
	if b.a.table.ordered(c.key.Column) && !c.join {
		b.method(dbindex.BRIN, c.key)
	}
}

// emit adds a candidate that the dialect can write, once.
func (b *builder) emit(ix dbindex.Index) {
	if len(b.out) >= maxPerAccess || len(b.seen) >= 10*maxPerAccess {
		return
	}
	ix.Schema, ix.Table = b.a.table.schema, b.a.table.name
	text, err := ix.SQL(b.g.c.dialect)
	if err != nil || b.seen[text] {
		return
	}
	b.seen[text] = true
	if !b.a.table.uniquePrefix(ix) {
		b.out = append(b.out, ix)
	}
}
