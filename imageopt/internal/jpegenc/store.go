package jpegenc

// store holds quantised blocks without their zeros, which are most of them.
type store struct {
	means  []int16  // the first coefficient of each block
	masks  []uint64 // which of the others, in zig-zag order, are not zero
	places []uint32 // where their values begin
	values [][]int16
	used   int // values taken
}

// chunk is how many values are allocated at once. Those of a block are in one chunk.
const chunk = 1 << 14

// reset makes room for n blocks, which are all zero.
func (s *store) reset(n int) {
	if cap(s.means) >= n {
		s.means, s.masks, s.places = s.means[:n], s.masks[:n], s.places[:n]
		clear(s.means)
		clear(s.masks)
	} else {
		s.means, s.masks, s.places = make([]int16, n), make([]uint64, n), make([]uint32, n)
	}
	s.used = 0
}

// add quantises a block and keeps it as number i.
func (s *store) add(i int, q *quantiser, b *[64]int32) {
	if chunk-s.used%chunk < 64 {
		s.used += chunk - s.used%chunk
	}
	if s.used/chunk == len(s.values) {
		s.values = append(s.values, make([]int16, chunk))
	}
	out := (*coefs)(s.values[s.used/chunk][s.used%chunk:])
	var n int
	s.places[i] = uint32(s.used)
	s.means[i], s.masks[i], n = q.block(out, b)
	s.used += n
}

// block returns the mask of block i and the values that it tells of.
func (s *store) block(i int) (mask uint64, values []int16) {
	if mask = s.masks[i]; mask != 0 {
		at := s.places[i]
		values = s.values[at/chunk][at%chunk:]
	}
	return mask, values
}
