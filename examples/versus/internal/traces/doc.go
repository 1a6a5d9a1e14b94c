// Package traces reads access traces of caches, in the formats in which they were
// published, and computes what no policy can pass on them.
package traces
