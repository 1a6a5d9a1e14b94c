package cache

import (
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Tags work by stamps. An invalidation raises the stamps of its tag and of all tags
// below it to a new epoch, and then publishes the epoch. An entry holds its nodes
// and the epoch that was read before its value was loaded; a node with a higher
// stamp makes it invalid. So nothing has to be found, and a load that raced an
// invalidation is judged by the epoch at its start.

const (
	tagShards = 64
	limboMax  = 1 << 14 // nodes kept although nothing refers to them
	edgesMax  = 1 << 20 // of depend
)

// node is one tag.
type node struct {
	name string
	hard atomic.Uint64 // epoch of the last Delete
	soft atomic.Uint64 // epoch of the last Expire

	refs    int  // guarded by the shard's mu: entries, running loads, edges
	inLimbo bool // guarded by the shard's mu
	again   bool // guarded by the shard's mu: acquired since it came into the limbo

	children map[*node]struct{} // guarded by tagTable.mu: by Depend
	parents  map[*node]struct{} // guarded by tagTable.mu: by Depend
	derived  map[*node]struct{} // guarded by tagTable.mu: nodes of entries that this tag's entry depends on
	below    map[*node]struct{} // guarded by tagTable.mu: inverse of derived
	linked   atomic.Bool        // somebody named this entry's tag: keep derived
}

type tagShard struct {
	mu sync.Mutex
	m  map[string]*node // guarded by mu
}

type tagTable struct {
	epoch  atomic.Uint64 // starts at 1
	floor  atomic.Uint64 // highest stamp of any forgotten node
	seed   maphash.Seed
	linked atomic.Int64 // nodes with linked set; 0 spares all linking
	entry  atomic.Int64 // nodes of entries; 0 spares looking for them

	mu     sync.Mutex // serialises invalidations and the graph; above shard locks
	edges  int        // guarded by mu: of depend
	shards [tagShards]tagShard

	limboMu sync.Mutex // below mu, above the shard locks
	limbo   []*node    // guarded by limboMu, oldest first
}

func newTagTable() *tagTable {
	t := &tagTable{seed: maphash.MakeSeed()}
	t.epoch.Store(1)
	for i := range t.shards {
		t.shards[i].m = make(map[string]*node)
	}
	return t
}

func (t *tagTable) shard(name string) *tagShard {
	return &t.shards[maphash.String(t.seed, name)%tagShards]
}

// find returns the node of name, or nil.
func (t *tagTable) find(name string) *node {
	s := t.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[name]
}

// acquire returns the node of name with one more reference.
func (t *tagTable) acquire(name string) *node {
	s := t.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.m[name]
	if n == nil {
		n = &node{name: name}
		// The tag may have been invalidated and forgotten: nothing that was loaded
		// before the newest forgotten stamp can be vouched for.
		n.hard.Store(t.floor.Load())
		s.m[name] = n
		if isEntryTag(name) {
			t.entry.Add(1)
		}
	}
	n.refs++
	n.again = n.inLimbo
	return n
}

// retain adds a reference to a node that the caller has one of.
func (t *tagTable) retain(n *node) {
	s := t.shard(n.name)
	s.mu.Lock()
	n.refs++
	s.mu.Unlock()
}

// release gives references back. The caller does not hold t.mu.
func (t *tagTable) release(nodes ...*node) {
	for len(nodes) > 0 {
		var loose []*node
		for _, n := range nodes {
			s := t.shard(n.name)
			s.mu.Lock()
			n.refs--
			park := n.refs == 0 && !n.inLimbo
			if park {
				n.inLimbo = true
			}
			s.mu.Unlock()
			if park {
				loose = append(loose, t.park(n)...)
			}
		}
		nodes = t.unlink(loose)
	}
}

// park puts n at the end of the limbo and forgets the oldest nodes beyond its size,
// but for those that were used since. The limbo keeps recent stamps, so that the floor
// trails the running loads. It returns forgotten nodes that still have derived edges.
func (t *tagTable) park(n *node) (loose []*node) {
	t.limboMu.Lock()
	defer t.limboMu.Unlock()
	t.limbo = append(t.limbo, n)
	for len(t.limbo) > limboMax {
		old := t.limbo[0]
		t.limbo[0] = nil
		t.limbo = t.limbo[1:]
		switch forgotten, again := t.forget(old); {
		case again:
			t.limbo = append(t.limbo, old)
		case forgotten && old.linked.Load():
			loose = append(loose, old)
		}
	}
	return loose
}

// forget removes n from the table unless something refers to it, or did since n came
// into the limbo: then n stays there once more.
func (t *tagTable) forget(n *node) (forgotten, again bool) {
	s := t.shard(n.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.refs == 0 && n.again {
		n.again = false
		return false, true
	}
	n.inLimbo = false
	if n.refs > 0 {
		return false, false
	}
	stamp := max(n.hard.Load(), n.soft.Load())
	for {
		f := t.floor.Load()
		if f >= stamp || t.floor.CompareAndSwap(f, stamp) {
			break
		}
	}
	delete(s.m, n.name)
	if isEntryTag(n.name) {
		t.entry.Add(-1)
	}
	if n.linked.Load() {
		t.linked.Add(-1)
	}
	return true, false
}

// unlink removes the derived edges of forgotten nodes and returns the nodes whose
// references they held.
func (t *tagTable) unlink(loose []*node) (held []*node) {
	if len(loose) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range loose {
		for p := range n.derived {
			delete(p.below, n)
			held = append(held, p)
		}
		n.derived = nil
	}
	return held
}

// link replaces the derived parents of n, the node of an entry that somebody named
// as a tag, by the nodes of that entry as it is now stored. It tells whether the
// entry no longer depends on something that it depended on before.
func (t *tagTable) link(n *node, nodes []*node) (changed bool) {
	for _, p := range nodes {
		t.retain(p)
	}
	t.mu.Lock()
	old := n.derived
	n.derived = nil
	held := make([]*node, 0, len(old)+len(nodes))
	for p := range old {
		delete(p.below, n)
		held = append(held, p)
	}
	for _, p := range nodes {
		if _, dup := n.derived[p]; dup || p == n {
			held = append(held, p)
			continue
		}
		delete(old, p)
		addTo(&n.derived, p)
		addTo(&p.below, n)
		t.inheritLocked(p, n)
	}
	changed = len(old) > 0
	t.mu.Unlock()
	t.release(held...)
	return changed
}

// linkMore adds nodes to the derived parents of n. The caller has references of them.
func (t *tagTable) linkMore(n *node, nodes []*node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range nodes {
		if _, dup := n.derived[p]; dup || p == n {
			continue
		}
		t.retain(p)
		addTo(&n.derived, p)
		addTo(&p.below, n)
		t.inheritLocked(p, n)
	}
}

// size returns the number of nodes in the table.
func (t *tagTable) size() int {
	total := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		total += len(s.m)
		s.mu.Unlock()
	}
	return total
}

// closureLocked returns the nodes and all nodes below them. t.mu is held.
func closureLocked(nodes []*node) []*node {
	seen := make(map[*node]struct{}, len(nodes))
	var out []*node
	add := func(n *node) {
		if _, ok := seen[n]; !ok {
			seen[n] = struct{}{}
			out = append(out, n)
		}
	}
	for _, n := range nodes {
		add(n)
	}
	for i := 0; i < len(out); i++ {
		for ch := range out[i].children {
			add(ch)
		}
		for ch := range out[i].below {
			add(ch)
		}
	}
	return out
}

// closure is closureLocked under the lock.
func (t *tagTable) closure(nodes []*node) []*node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return closureLocked(nodes)
}

// namesAbove returns the tag self and the names of the nodes, and of all above them:
// other processes, which do not know these edges, invalidate by any of the names.
func (t *tagTable) namesAbove(nodes []*node, self string) []string {
	own := t.find(self)
	if own == nil {
		own = &node{name: self}
	}
	seen := map[*node]struct{}{own: {}}
	todo := []*node{own}
	add := func(n *node) {
		if _, ok := seen[n]; !ok {
			seen[n] = struct{}{}
			todo = append(todo, n)
		}
	}
	for _, n := range nodes {
		add(n)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := 0; i < len(todo); i++ {
		for p := range todo[i].parents {
			add(p)
		}
		for p := range todo[i].derived {
			add(p)
		}
	}
	return namesOf(todo)
}

// stamp invalidates the nodes and all below them, and returns those. Stamps are
// written first and the epoch last: whoever sees the epoch sees the stamps.
func (t *tagTable) stamp(nodes []*node, hard bool) []*node {
	t.mu.Lock()
	defer t.mu.Unlock()
	reached := closureLocked(nodes)
	e := t.epoch.Load() + 1
	for _, n := range reached {
		if hard {
			n.hard.Store(e)
		} else {
			n.soft.Store(e)
		}
	}
	t.epoch.Store(e)
	return reached
}

// inheritLocked raises the stamps of child to those of parent, and so on downwards,
// so that a new edge also tells of what happened before it was there. It returns
// whether anything rose. t.mu is held.
func (t *tagTable) inheritLocked(parent, child *node) bool {
	rose := false
	h, s := parent.hard.Load(), parent.soft.Load()
	for _, n := range closureLocked([]*node{child}) {
		if n.hard.Load() < h {
			n.hard.Store(h)
			rose = true
		}
		if n.soft.Load() < s {
			n.soft.Store(s)
			rose = true
		}
	}
	if rose {
		// Entries below were checked against lower stamps: have them look again.
		t.epoch.Store(t.epoch.Load() + 1)
	}
	return rose
}

// depend adds edges from the parents to child. Names are given so that nothing is
// acquired for edges that exist.
func (t *tagTable) depend(child string, parents []string) error {
	c := t.acquire(child)
	defer t.release(c)
	ps := make([]*node, len(parents))
	for i, p := range parents {
		ps[i] = t.acquire(p)
	}
	defer t.release(ps...)
	t.mu.Lock()
	defer t.mu.Unlock()
	below := reachable(c)
	for _, p := range ps {
		if _, ok := below[p]; ok {
			return ErrCycle
		}
	}
	if t.edges+len(ps) > edgesMax {
		return errEdges
	}
	for _, p := range ps {
		if _, ok := c.parents[p]; ok {
			continue
		}
		t.edges++
		t.retain(c)
		t.retain(p)
		addTo(&c.parents, p)
		addTo(&p.children, c)
		t.inheritLocked(p, c)
	}
	return nil
}

var errEdges = errors.New("too many edges")

// reachable returns n and all nodes below it by declared edges.
func reachable(n *node) map[*node]struct{} {
	seen := map[*node]struct{}{n: {}}
	todo := []*node{n}
	for len(todo) > 0 {
		n, todo = todo[len(todo)-1], todo[:len(todo)-1]
		for ch := range n.children {
			if _, ok := seen[ch]; !ok {
				seen[ch] = struct{}{}
				todo = append(todo, ch)
			}
		}
	}
	return seen
}

func addTo(m *map[*node]struct{}, n *node) {
	if *m == nil {
		*m = make(map[*node]struct{})
	}
	(*m)[n] = struct{}{}
}

// isEntryTag tells whether tag is one that View.Tag made.
func isEntryTag(tag string) bool { return len(tag) > 0 && tag[0] == entryMark }

const entryMark = '@'
