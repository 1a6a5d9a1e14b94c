// Package bench compares our code with other people's in one run: the sides take
// turns round by round, CPU time and allocations are taken beside wall time, and
// each figure is a median with its spread. It never judges by wall time alone.
package bench
