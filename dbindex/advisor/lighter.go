package advisor

import (
	"context"
	"slices"

	"github.com/perfblocks/perfblocks/dbindex"
)

// heavyShare is the part of MaxBytes from which on an index is worth making smaller.
const heavyShare = 1.0 / 100

// lighter are smaller indexes that do a part of what one does: without included columns
// or without one of them, without the last key, as a summary.
func (g *generator) lighter(ix dbindex.Index) (list []dbindex.Index) {
	if ix.Method != dbindex.BTree {
		return nil
	}
	with := func(keys []dbindex.Key, include []string) {
		v := ix
		v.Keys, v.Include = keys, include
		list = append(list, v)
	}
	if len(ix.Include) > 0 {
		with(ix.Keys, nil)
	}
	if len(ix.Include) > 1 {
		for i := range ix.Include {
			with(ix.Keys, slices.Delete(slices.Clone(ix.Include), i, i+1))
		}
	}
	if last := len(ix.Keys) - 1; last > 0 {
		with(ix.Keys[:last], nil)
		if len(ix.Include) > 0 {
			with(ix.Keys[:last], ix.Include)
		}
	}
	if t := g.c.of(ix); len(ix.Keys) == 1 && ix.Where == nil && g.allows(dbindex.BRIN) && t.ordered(ix.Keys[0].Column) {
		list = append(list, dbindex.Index{Schema: ix.Schema, Table: ix.Table, Keys: ix.Keys, Method: dbindex.BRIN})
	}
	return list
}

// lighten proposes what is lighter than the heavy ones of the choice.
func (s *search) lighten(ctx context.Context) error {
	from := len(s.all)
	for _, h := range s.chosen {
		if s.heavy(h) {
			for _, ix := range s.gen.lighter(h.index) {
				s.propose(ix)
			}
		}
	}
	return s.ready(ctx, from)
}

// heavy reports whether an index takes enough of the budget to be worth replacing.
func (s *search) heavy(c *candidate) bool {
	return s.o.MaxBytes > 0 && float64(c.bytes) >= heavyShare*float64(s.o.MaxBytes)
}
