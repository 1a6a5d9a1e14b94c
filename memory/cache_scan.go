package memory

// The rings of a shard under PolicyScanResistant. Other policies use the first.
const (
	ringWindow    = iota // newcomers
	ringProbation        // admitted, not used since
	ringProtected        // used since they were admitted
	rings
)

// How the window's share of a shard is found: it climbs the hit ratio. The figures
// are those of Caffeine's climber, which a replay of 35 rows of published traces
// confirms: twice the period, half of it, or a larger first window cost 0.1 to 0.6
// points of the mean.
const (
	windowFirst = 0.01
	windowMin   = 0.01
	windowMax   = 0.8
	climbPeriod = 10 // accesses for each entry between two steps
	climbStep   = 0.0625
	climbDecay  = 0.98
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

	hits, misses int     // since the last step
	ratio        float64 // of hits before the last step
	step         float64
}

func newScan() *scan { return &scan{window: windowFirst, step: climbStep} }

func (n *scan) total() int64 {
	return n.bytes[ringWindow] + n.bytes[ringProbation] + n.bytes[ringProtected]
}

func (n *scan) target() int64 { return int64(n.window * float64(n.total())) }

// scanHit notes a use of an entry.
func (s *shard[K, V]) scanHit(idx uint32) {
	n, e := s.scan, s.at(idx)
	n.add(e.hash)
	n.hits++
	if e.ring() == ringWindow {
		s.move(idx, ringWindow)
	} else {
		s.move(idx, ringProtected)
		most := int64(protected * (1 - n.window) * float64(n.total()))
		for range 2 { // entries differ in size: what is left over goes another time
			last := s.ends[ringProtected].last
			if n.bytes[ringProtected] <= most || last == idx {
				break
			}
			s.move(last, ringProbation)
		}
	}
	s.climb()
}

// scanInsert notes that an entry has come. full tells that another had to leave.
func (s *shard[K, V]) scanInsert(idx uint32, full bool) {
	n, e := s.scan, s.at(idx)
	n.fit(s.count)
	n.add(e.hash)
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
	s.climb()
}

// scanVictim returns the entry to evict next other than keep, or 0. If the window is
// over its share, its last entry is compared with the last of the others: the less
// used one goes, and a winner from the window joins the others.
func (s *shard[K, V]) scanVictim(keep uint32) uint32 {
	n := s.scan
	newer, older := s.lastBut(ringWindow, keep), s.lastBut(ringProbation, keep)
	if older == 0 {
		older = s.lastBut(ringProtected, keep)
	}
	switch {
	case newer == 0:
		return older
	case older == 0:
		return newer
	case n.bytes[ringWindow] <= n.target():
		return older
	case n.frequency(s.at(newer).hash) > n.frequency(s.at(older).hash):
		s.move(newer, ringProbation)
		return older
	}
	return newer
}

// lastBut returns the least recently used entry of a ring other than keep, or 0.
func (s *shard[K, V]) lastBut(ring int, keep uint32) uint32 {
	idx := s.ends[ring].last
	if idx != 0 && idx == keep {
		return s.at(idx).prev
	}
	return idx
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
