package memory

// The rings of a shard under PolicyScanResistant. Other policies use the first.
const (
	ringWindow    = iota // newcomers
	ringProbation        // admitted, not used since
	ringProtected        // used since they were admitted
	rings
)

// How the window's share of a shard is found: it climbs the hit ratio, as Caffeine's
// does. Steps are more frequent, shrink more slowly and reach further than there:
// where only recency counts, the first ones tell little, and a climb that has slowed
// down before it comes to the slope ends short of the top, which is LRU. A replay of
// 35 rows of published traces has the same mean with either, within 0.05 points;
// steps of 1/16 or a larger first window cost 0.1 to 0.6.
const (
	windowFirst = 0.01
	windowMin   = 0.01
	windowMax   = 0.99
	climbPeriod = 5 // accesses for each entry between two steps
	climbStep   = 0.055
	climbDecay  = 0.99
	climbAgain  = 0.05 // a change of the hit ratio that makes the steps large again
	protected   = 0.8  // share of what is not window
)

// scan is what a shard knows under PolicyScanResistant (W-TinyLFU): newcomers enter
// a window in order of recency; who leaves the window must have been used more
// often than the one that would have to go for it. Guarded by the shard's mu.
type scan struct {
	sketch
	bytes  [rings]int64 // charged to the entries of each ring
	window float64      // share of the bytes that the window may have
	debt   int64        // bytes that the window has to hand over since its share fell

	counts uint64 // of uses since the last halving, half of those before it included
	due    int    // uses until scanDue

	hits, misses int     // since the last step
	ratio        float64 // of hits before the last step
	step         float64
}

func newScan() *scan { return &scan{window: windowFirst, step: climbStep} }

func (n *scan) total() int64 {
	return n.bytes[ringWindow] + n.bytes[ringProbation] + n.bytes[ringProtected]
}

func (n *scan) target() int64 { return int64(n.window * float64(n.total())) }

// use notes a use that raised the counts by that many, and tells whether scanDue is due.
func (n *scan) use(counted uint64) bool {
	n.counts += counted
	n.hits++
	n.due--
	return n.due <= 0
}

// scanDue does what is due after some uses: it halves all counts or moves the
// window's share, and reckons how many uses there are at least until the next.
func (s *shard[K, V]) scanDue() {
	n := s.scan
	most := uint64(sketchAge * blockEntries * max(1, len(n.blocks)))
	if n.counts >= most {
		n.halve()
		n.counts /= 2
		for i := uint32(1); i < s.used; i++ {
			e := s.at(i)
			e.setFrequency(e.frequency() / 2)
		}
	}
	s.climb()
	n.due = int(min(most-n.counts, uint64(max(1, climbPeriod*s.count-n.hits-n.misses))))
}

// scanInsert notes that an entry has come. full tells that another had to leave.
func (s *shard[K, V]) scanInsert(idx uint32, full bool) {
	n, e := s.scan, s.at(idx)
	n.fit(s.count)
	e.setFrequency(min(counterMax, n.frequency(e.hash)+1))
	n.counts++
	n.misses++
	for range 2 {
		last := s.ends[ringWindow].last
		over := n.bytes[ringWindow] > n.target()+e.size()
		if last == idx || n.debt <= 0 && (full || !over) {
			break // who leaves the window of a full shard has to be compared first
		}
		n.debt = max(0, n.debt-s.at(last).size())
		s.move(last, ringProbation)
	}
	if n.due--; n.due <= 0 {
		s.scanDue()
	}
}

// scanVictim returns the entry to evict next other than keep, or 0. Uses since the last
// search have only left marks: they are settled first. If the window is over its share,
// its last entry is compared with the last of the others: the less used one goes, and a
// winner from the window joins the others.
func (s *shard[K, V]) scanVictim(keep uint32) uint32 {
	n := s.scan
	newer, older := s.oldest(ringWindow, keep), s.oldestAdmitted(keep)
	switch {
	case newer == 0:
		return older
	case older == 0:
		return newer
	case n.bytes[ringWindow] <= n.target():
		return older
	case s.at(newer).frequency() > s.at(older).frequency():
		s.move(newer, ringProbation)
		return older
	}
	return newer
}

// oldestAdmitted returns the entry that is next to go of those that have left the
// window, other than keep, or 0. Those used meanwhile become protected instead.
func (s *shard[K, V]) oldestAdmitted(keep uint32) uint32 {
	r := &s.ends[ringProbation]
	for range chances {
		if r.last == 0 || r.last != keep && !s.at(r.last).used() {
			break
		}
		s.move(r.last, ringProtected)
		s.demote()
	}
	idx := r.last
	if idx == keep && keep != 0 {
		idx = s.at(keep).prev
	}
	if idx == 0 {
		idx = s.oldest(ringProtected, keep)
	}
	return idx
}

// demote takes from the protected entries what is above their share.
func (s *shard[K, V]) demote() {
	n := s.scan
	most := int64(protected * (1 - n.window) * float64(n.total()))
	for range 2 { // entries differ in size: what is left over goes another time
		if n.bytes[ringProtected] <= most {
			return
		}
		if last := s.oldest(ringProtected, 0); last != s.ends[ringProtected].first {
			s.move(last, ringProbation)
		}
	}
}

// climb moves the window's share a step further if the hit ratio has risen since the
// last step, and back if it has fallen, once in a period. A larger window fills with
// newcomers; a smaller one hands over an entry or two with each that comes.
func (s *shard[K, V]) climb() {
	n := s.scan
	seen := n.hits + n.misses
	if seen < climbPeriod*s.count {
		return
	}
	ratio := float64(n.hits) / float64(seen)
	change := ratio - n.ratio
	step := n.step
	if change < 0 {
		step = -step
	}
	before := n.window
	n.window = min(max(before+step, windowMin), windowMax)
	n.debt = max(0, int64((before-n.window)*float64(n.total())))
	switch {
	case change < climbAgain && change > -climbAgain:
		n.step = climbDecay * step
	case step < 0:
		n.step = -climbStep
	default:
		n.step = climbStep
	}
	n.ratio, n.hits, n.misses = ratio, 0, 0
}
