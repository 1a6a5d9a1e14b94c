// Package linear checks random histories of caches for linearizability with
// porcupine. It holds only tests.
package linear
