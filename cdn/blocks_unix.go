//go:build darwin || freebsd || linux || netbsd || openbsd

package cdn

import "syscall"

// newBlock is blockSize bytes outside the heap, or on it where the system refuses.
func newBlock() []byte {
	p, err := syscall.Mmap(-1, 0, blockSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]byte, blockSize)
	}
	return p
}

// freeBlock gives a block of newBlock back. One that lies on the heap is refused, and
// the collector's.
func freeBlock(p []byte) { _ = syscall.Munmap(p) }
