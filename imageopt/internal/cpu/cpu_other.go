//go:build !amd64 || purego

package cpu

// AVX2 tells that no vectors are to be used: there are no kernels for them here.
func AVX2() bool { return false }
