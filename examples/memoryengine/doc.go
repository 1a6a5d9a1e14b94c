// Package memoryengine runs a cache of package cache over a cache of package memory,
// to show how an engine is written.
package memoryengine
