//go:build amd64 && !purego

package cpu

// AVX2 tells whether the processor and the system have AVX2. It asks each time, which a
// virtual machine may take for slow.
//
//go:noescape
func AVX2() bool
