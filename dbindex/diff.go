package dbindex

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Diff returns the plan that turns have into want. Indexes are matched by table and
// name, then by definition: an index of another name and the same definition is
// renamed, one of the same name and another definition is replaced, an invalid one
// is built again. What is not wanted is dropped, except what belongs to a
// constraint or is Referenced; [Plan.Without] leaves drops out.
//
// Texts are compared token by token, not by meaning, so use live.Diff against a
// database that rewrites expressions, as PostgreSQL does. Every bad index of want is
// reported: a [*FeatureError], or an error matching [ErrIndex]. Equal arguments give
// equal plans, whatever their order.
func Diff(d Dialect, want, have []Index) (Plan, error) {
	if err := d.check(); err != nil {
		return Plan{}, err
	}
	wanted, err := d.named(want)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Dialect: d}
	free := map[string]Index{} // have, by name, what no wanted index has claimed yet
	for _, ix := range have {
		ix.Name = ix.name()
		free[d.nameKey(ix)] = ix
	}
	var missing []Index
	for _, w := range wanted {
		h, ok := free[d.nameKey(w)]
		if !ok {
			missing = append(missing, w)
			continue
		}
		delete(free, d.nameKey(w))
		if h.Constraint != NoConstraint {
			if !w.covers(d, h) {
				return Plan{}, fmt.Errorf("%w: index %q: the name belongs to a constraint (%s) of table %q", ErrIndex, w.Name, h.Constraint, h.Table)
			}
			continue
		}
		if h.Invalid || !w.Equivalent(d, h) {
			p.Steps = append(p.Steps, Step{Op: Replace, Index: w, Old: h})
		}
	}
	p.Steps = append(p.Steps, d.createOrRename(missing, free)...)
	for _, h := range free {
		if h.Constraint == NoConstraint && !h.Referenced {
			p.Steps = append(p.Steps, Step{Op: Drop, Index: h})
		}
	}
	sortBy(p.Steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(stepRank[a.Op], stepRank[b.Op]), cmp.Compare(a.Index.Schema, b.Index.Schema),
			cmp.Compare(a.Index.Table, b.Index.Table), cmp.Compare(a.Index.Name, b.Index.Name))
	})
	return p, nil
}

// stepRank orders a plan: renames free names, creations come before drops.
var stepRank = [...]int{Rename: 0, Create: 1, Replace: 2, Drop: 3}

// createOrRename plans the indexes whose names are missing, and takes what it
// renames out of free.
func (d Dialect) createOrRename(missing []Index, free map[string]Index) (steps []Step) {
	bySig := map[string][]string{}
	for key, h := range free {
		if h.Constraint == NoConstraint && !h.Invalid {
			sig := h.signature(d)
			bySig[sig] = append(bySig[sig], key)
		}
	}
	for _, keys := range bySig {
		slices.Sort(keys)
	}
	for _, w := range missing {
		sig := w.signature(d)
		if keys := bySig[sig]; len(keys) > 0 {
			steps = append(steps, Step{Op: Rename, Index: w, Old: free[keys[0]]})
			delete(free, keys[0])
			bySig[sig] = keys[1:]
			continue
		}
		steps = append(steps, Step{Op: Create, Index: w})
	}
	return steps
}

// named checks the wanted indexes, fills in their names, and sorts them. Two of one
// name are an error.
func (d Dialect) named(want []Index) ([]Index, error) {
	var errs []error
	seen := map[string]Index{}
	out := slices.Clone(want)
	for i := range out {
		ix := &out[i]
		ix.Name = ix.name()
		if err := ix.Check(d); err != nil {
			errs = append(errs, err)
			continue
		}
		if first, ok := seen[d.nameKey(*ix)]; ok {
			errs = append(errs, fmt.Errorf("%w: index %q is declared twice (tables %q and %q): remove one or set Name", ErrIndex, ix.Name, first.Table, ix.Table))
		}
		seen[d.nameKey(*ix)] = *ix
	}
	sortBy(out, func(a, b Index) int { return cmp.Compare(d.nameKey(a), d.nameKey(b)) })
	return out, errors.Join(errs...)
}

// nameKey is what must be unique: the name in its schema, on MySQL in its table.
func (d Dialect) nameKey(ix Index) string {
	name, table := ix.Name, ""
	if d.foldsNames() {
		name = d.fold(name)
	}
	if d.isMySQL() {
		table = ix.Table
	}
	return ix.Schema + "\x00" + table + "\x00" + name
}

// Equivalent reports whether both would build the same index in the dialect, names
// aside: same table, keys, order, predicate text, uniqueness, method and storage.
// Defaults written out equal defaults left out. Whether one is invalid or belongs to
// a constraint does not count.
func (ix Index) Equivalent(d Dialect, other Index) bool {
	return ix.signature(d) == other.signature(d)
}

// covers reports whether a constraint's index h does what w declares.
func (ix Index) covers(d Dialect, h Index) bool {
	return h.Constraint != Exclusion && ix.Equivalent(d, h)
}

// signature is equal for equivalent indexes of one dialect.
func (ix Index) signature(d Dialect) string {
	b := fmt.Appendf(nil, "%q %q %v %v %v %q", ix.Schema, d.foldTable(ix.Table), ix.Unique, ix.NullsNotDistinct, ix.Method, ix.Tablespace)
	for _, k := range ix.Keys {
		b = fmt.Appendf(b, " | %s", k.signature(d))
	}
	for _, c := range slices.Sorted(slices.Values(ix.Include)) {
		b = fmt.Appendf(b, " include %q", c)
	}
	b = fmt.Appendf(b, " where %s", d.canonicalPred(ix.Where))
	for _, k := range sortedKeys(ix.With) {
		b = fmt.Appendf(b, " with %q %q", k, ix.With[k])
	}
	if ix.Ignored {
		b = append(b, " ignored"...)
	}
	return string(b)
}

func (d Dialect) foldTable(s string) string {
	if d.family == sqlite {
		return d.fold(s)
	}
	return s
}

// signature describes one key; a bare column as expression equals the column.
func (k Key) signature(d Dialect) string {
	nulls := k.Nulls
	if nulls == NullsDefault {
		if nulls = NullsLast; d.nullsFirst(k.Desc) {
			nulls = NullsFirst
		}
	}
	collate := k.Collate
	if d.family == sqlite {
		collate = strings.ToUpper(collate)
	}
	what := fmt.Sprintf("%q", d.foldColumn(k.Column))
	if k.Expr != "" {
		what = d.canonicalRaw(k.Expr)
	}
	return fmt.Sprintf("%s %v %v %q %q %d", what, k.Desc, nulls, k.OpClass, collate, k.Prefix)
}

func (d Dialect) foldColumn(s string) string {
	if d.family == postgres {
		return s
	}
	return d.fold(s)
}

// canonicalPred returns the comparable text of a predicate, "" for none.
func (d Dialect) canonicalPred(p Pred) string {
	if p == nil {
		return ""
	}
	s, err := renderPred(d, p)
	if err != nil {
		return "invalid " + p.String()
	}
	return d.canonicalRaw(RawSQL(s))
}

func (d Dialect) canonicalRaw(r RawSQL) string {
	toks, err := d.tokenize(string(r))
	if err != nil {
		return "invalid " + string(r)
	}
	return d.canonical(toks)
}
