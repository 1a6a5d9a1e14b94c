package cdn

import (
	"io"
	"math/bits"
	"sync"
	"sync/atomic"
)

// budget bounds the buffers of all uploads together.
type budget struct {
	limit int64
	used  atomic.Int64

	mu   sync.Mutex
	free [4][][]byte // guarded by mu; of minBuffer, its double, … blockSize; empty when nothing is used
}

// take reserves n bytes if they are to be had.
func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// give returns n bytes. The last to do so lets go of the blocks.
func (b *budget) give(n int64) {
	if b.used.Add(-n) != 0 || n == 0 {
		return
	}
	b.mu.Lock()
	free := b.free[len(b.free)-1]
	b.free = [4][][]byte{}
	b.mu.Unlock()
	for _, p := range free {
		freeBlock(p[:blockSize])
	}
}

// class is the index in budget.free of blocks of size bytes.
func class(size int) int { return bits.Len(uint(size/minBuffer)) - 1 }

// block is an empty block of size bytes: minBuffer, its double, … blockSize.
func (b *budget) block(size int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := &b.free[class(size)]
	if n := len(*list); n > 0 {
		p := (*list)[n-1]
		*list = (*list)[:n-1]
		return p
	}
	if size < blockSize {
		return make([]byte, 0, size)
	}
	return newBlock()[:0]
}

// recycle keeps a block for the next upload.
func (b *budget) recycle(p []byte) {
	b.mu.Lock()
	list := &b.free[class(cap(p))]
	*list = append(*list, p[:0])
	b.mu.Unlock()
}

// blockSize is the unit in which streams are held in memory. A body's first block
// begins at minBuffer and grows to it, so that a small body holds little. Whole blocks
// lie outside the heap where the system allows: on it, the collector would let the heap
// grow to twice what they hold before it runs.
const blockSize = 256 << 10

// blocks is content in memory, in blocks of the budget, which other uploads use again.
// Nobody may read it once it was released: its body sees to that.
type blocks struct {
	memory *budget
	list   [][]byte // all but the last are full
	held   int64    // of memory
	long   bool     // it will be large: no small block comes first
	// wait, if not nil, waits until some of the memory may be free again; false: there
	// is nothing to wait for.
	wait func() bool
}

// take reserves n bytes.
func (s *blocks) take(n int64) bool {
	for !s.memory.take(n) {
		if s.wait == nil || !s.wait() {
			return false
		}
	}
	s.held += n
	return true
}

// room is where the next bytes go, or nil when the budget has no more for it. What was
// written there counts after grown.
func (s *blocks) room() []byte {
	n := len(s.list)
	if n > 0 && len(s.list[n-1]) < cap(s.list[n-1]) {
		last := s.list[n-1]
		return last[len(last):cap(last)]
	}
	size := minBuffer
	if n == 1 {
		size = min(2*cap(s.list[0]), blockSize)
	}
	if n > 1 || s.long {
		size = blockSize
	}
	if !s.take(int64(size)) {
		return nil
	}
	p := s.memory.block(size)
	if n == 1 && cap(s.list[0]) < blockSize { // the first one grows
		old := s.list[0]
		s.list[0] = append(p, old...)
		s.memory.recycle(old)
		s.held -= int64(cap(old))
		s.memory.give(int64(cap(old)))
	} else {
		s.list = append(s.list, p)
	}
	last := s.list[len(s.list)-1]
	return last[len(last):cap(last)]
}

// grown counts n bytes that were written to room.
func (s *blocks) grown(n int) {
	last := &s.list[len(s.list)-1]
	*last = (*last)[:len(*last)+n]
}

// ReadAt implements io.ReaderAt.
func (s *blocks) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		i, at := 0, off
		if len(s.list) > 1 { // and so all but the last have blockSize
			i, at = int(off/blockSize), off%blockSize
		}
		if i >= len(s.list) || at >= int64(len(s.list[i])) {
			return n, io.EOF
		}
		c := copy(p[n:], s.list[i][at:])
		n += c
		off += int64(c)
	}
	return n, nil
}

// release gives the memory back; nobody may read any more.
func (s *blocks) release() {
	for _, b := range s.list {
		s.memory.recycle(b)
	}
	s.list = nil
	s.memory.give(s.held)
	s.held = 0
}
