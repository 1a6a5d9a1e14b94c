// Package classify holds no code, only the test that provokes real errors, from
// live sockets, servers and drivers, and compares what resilience.Classify says
// of each with what the standard or the manual behind the error says.
package classify
