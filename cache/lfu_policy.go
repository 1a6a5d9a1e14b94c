package cache

import (
	"cmp"
	"math"
	"slices"
)

// queue is one of the queues of the policy, each from the coldest to the warmest.
type queue uint8

const (
	queueNone      queue = iota // of cells that have left
	queueWindow                 // newcomers
	queueProbation              // what left the window and was not used since, or not lately
	queueProtected              // what was used after it left the window
	queues
)

// How the window's share of the bound is found: it climbs the hit ratio, as Caffeine's
// does. The first steps come soon, since much is won where only recency counts; later ones
// follow longer looks. Over 29 rows of published traces, and their first 60,000 requests,
// a simulation has 56.2 and 46.1 % with these figures, and 55.6 and 44.9 with Caffeine's.
const (
	windowFirst    = 0.05
	windowLeast    = 0.01
	windowMost     = 0.8
	protectedShare = 0.8    // of what is not window
	climbPeriod    = 2      // lookups for each entry before the first step;
	climbSlower    = 1.2    // each period is so much longer than the one before,
	climbSlowest   = 10     // up to this
	climbStep      = 0.0625 // of the bound
	climbDecay     = 0.98   // of the steps
	climbAgain     = 0.05   // a change of the hit ratio that makes the steps large again
	movesMax       = 1000   // cells that one step or one Set moves between queues
)

// lfuPolicy chooses who has to go, by W-TinyLFU: newcomers enter a window in order of
// recency; who leaves it must have been seen more often than the one that would have to go
// for it. The engine's mu is held for all of it.
type lfuPolicy struct {
	queues [queues]cellQueue
	sketch lfuSketch
	count  int // cells

	max       int64
	window    float64 // share of max that the window may have
	windowMax int64   // and its weight
	mainMax   int64   // the weight that protected cells may have

	evicts       bool    // the bound is reached, so that the hit ratio tells something
	hits, misses int     // since the last step
	ratio        float64 // of hits before the last step
	step         float64 // share of max, to be added to the window at the next step
	period       float64 // lookups for each entry until then
}

type cellQueue struct {
	first, last *cell // the coldest and the warmest
	weight      int64
}

func (q *cellQueue) push(c *cell) {
	c.colder, c.warmer = q.last, nil
	if q.last == nil {
		q.first = c
	} else {
		q.last.warmer = c
	}
	q.last = c
}

func (q *cellQueue) unlink(c *cell) {
	if c.colder == nil {
		q.first = c.warmer
	} else {
		c.colder.warmer = c.warmer
	}
	if c.warmer == nil {
		q.last = c.colder
	} else {
		c.warmer.colder = c.colder
	}
	c.colder, c.warmer = nil, nil
}

// coldest returns the first cell but keep, or nil.
func (q *cellQueue) coldest(keep *cell) *cell {
	if c := q.first; c == nil || c != keep {
		return c
	}
	return keep.warmer
}

func (p *lfuPolicy) init(max int64) {
	p.step, p.period = -climbStep, climbPeriod
	p.window = windowFirst
	p.resize(max)
}

// resize tells of another bound.
func (p *lfuPolicy) resize(max int64) {
	p.max = max
	p.share()
}

func (p *lfuPolicy) share() {
	p.windowMax = int64(p.window * float64(p.max))
	p.mainMax = int64(protectedShare * float64(p.max-p.windowMax))
}

// start makes uses count.
func (p *lfuPolicy) start() { p.sketch.fit(p.count) }

// add takes c, of weight w, as a newcomer.
func (p *lfuPolicy) add(c *cell, w int64) {
	p.count++
	if len(p.sketch.blocks) > 0 {
		p.sketch.fit(p.count)
	}
	p.sketch.add(c.hash, p.count)
	p.misses++
	c.queue = queueWindow
	p.queues[queueWindow].push(c)
	p.queues[queueWindow].weight += w
	p.trimWindow()
	p.climb()
}

// trimWindow takes from the window what it has no room for, but not the latest: a heavy
// one has to stand up to another too.
func (p *lfuPolicy) trimWindow() {
	w := &p.queues[queueWindow]
	for range movesMax {
		if w.weight <= p.windowMax || w.first == w.last {
			return
		}
		p.move(w.first, queueProbation)
	}
}

// use notes that c was used, if it has not left.
func (p *lfuPolicy) use(c *cell) {
	p.sketch.add(c.hash, p.count)
	p.hits++
	switch c.queue {
	case queueNone:
	case queueProbation:
		p.move(c, queueProtected)
		p.trimProtected()
	default:
		p.move(c, c.queue)
	}
	p.climb()
}

// trimProtected takes from the protected ones what is above their share.
func (p *lfuPolicy) trimProtected() {
	q := &p.queues[queueProtected]
	for range movesMax {
		if q.weight <= p.mainMax || q.first == q.last {
			return
		}
		p.move(q.first, queueProbation)
	}
}

// move makes c the warmest of a queue.
func (p *lfuPolicy) move(c *cell, to queue) {
	p.queues[c.queue].unlink(c)
	if c.queue != to {
		w := c.item.Load().Weight()
		p.queues[c.queue].weight -= w
		p.queues[to].weight += w
		c.queue = to
	}
	p.queues[to].push(c)
}

// grow tells that c has more weight than before, or less if that is negative.
func (p *lfuPolicy) grow(c *cell, more int64) {
	p.queues[c.queue].weight += more
	if more > 0 && c.queue == queueWindow {
		p.trimWindow()
	}
}

// remove forgets c, of weight w.
func (p *lfuPolicy) remove(c *cell, w int64) {
	p.count--
	p.queues[c.queue].unlink(c)
	p.queues[c.queue].weight -= w
	c.queue = queueNone
}

// victim returns the cell that has to go so that others of weight need fit, or nil. It is
// never keep. If the window has no room for them, the coldest of it has to stand up to the
// coldest of the rest.
func (p *lfuPolicy) victim(need int64, keep *cell) *cell {
	p.evicts = true
	newer := p.queues[queueWindow].coldest(keep)
	older := p.queues[queueProbation].coldest(keep)
	if older == nil {
		older = p.queues[queueProtected].coldest(keep)
	}
	switch {
	case newer == nil:
		return older
	case older == nil:
		return newer
	case p.queues[queueWindow].weight+need <= p.windowMax:
		return older
	}
	p.move(newer, queueProbation)
	if p.sketch.admit(newer.hash, older.hash) {
		return older
	}
	return newer
}

// climb moves the window's share a step further if the hit ratio has risen since the last
// step, and back if it has fallen, once in a period.
func (p *lfuPolicy) climb() {
	seen := p.hits + p.misses
	if float64(seen) < p.period*float64(p.count) {
		return
	}
	ratio := float64(p.hits) / float64(max(seen, 1))
	p.hits, p.misses = 0, 0
	if !p.evicts {
		return
	}
	change := ratio - p.ratio
	p.ratio = ratio
	p.period = min(p.period*climbSlower, climbSlowest)
	step := p.step
	if change < 0 {
		step = -step
	}
	switch {
	case change < climbAgain && change > -climbAgain:
		p.step = climbDecay * step
	default:
		p.step = math.Copysign(climbStep, step)
	}
	p.window = min(max(p.window+step, windowLeast), windowMost)
	p.share()
	p.refill()
	p.trimWindow()
	p.trimProtected()
}

// refill gives a window that has grown what is coldest of the others.
func (p *lfuPolicy) refill() {
	w := &p.queues[queueWindow]
	for range movesMax {
		c := p.queues[queueProbation].first
		if c == nil || w.weight+c.item.Load().Weight() > p.windowMax {
			return
		}
		p.move(c, queueWindow)
	}
}

// ranking returns the cells from the one that is kept longest.
func (p *lfuPolicy) ranking() []*cell {
	out := make([]*cell, 0, p.count)
	for c := p.queues[queueProtected].last; c != nil; c = c.colder {
		out = append(out, c)
	}
	rest := len(out)
	for _, q := range []queue{queueProbation, queueWindow} {
		for c := p.queues[q].last; c != nil; c = c.colder {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out[rest:], func(a, b *cell) int {
		return cmp.Compare(p.sketch.frequency(b.hash), p.sketch.frequency(a.hash))
	})
	return out
}
