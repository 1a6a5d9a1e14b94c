// Package cachetest checks that an engine keeps the contract of [cache.Engine].
//
// # Getting started
//
// Call [Run] from a test of the engine:
//
//	func TestEngine(t *testing.T) { cachetest.Run(t, myengine.New) }
//
// # Units
//
// Weights are those of [cache.Item.Weight], here in bytes.
//
// # Concurrency
//
// Run uses several goroutines and is meant to run under the race detector too. It
// makes a fresh engine for each subtest and closes it.
//
// # Errors
//
// Each broken rule is a failed subtest named after the rule.
//
// # Cost
//
// A run takes a few seconds at most and holds some megabytes.
//
// # Limits
//
// It does not judge hit ratio, memory or speed, and a race that did not happen in a
// run is not found.
//
// # Background
//
// The rules are those that admission queues, asynchronous updates and replaced
// entries are known to break in caches that are good enough for a lower promise.
package cachetest
