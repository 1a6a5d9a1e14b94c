// Package ristrettocache is an engine for package cache that lets ristretto choose
// what to evict, under the full contract of [cache.Engine].
//
// # Getting started
//
// Name it in the options of the cache; nothing else changes:
//
//	c, err := cache.New(cache.Options{MaxBytes: 64 << 20, Engine: ristrettocache.New})
//
// # Units
//
// Weights are those of [cache.Item.Weight].
//
// # Concurrency
//
// All methods are safe for concurrent use.
//
// # Errors
//
// [New] returns errors matching [cache.ErrOptions].
//
// # Cost
//
// Set waits for ristretto's goroutine once per batch.
//
// # Limits
//
// Close the cache: it ends two goroutines.
//
// # Background
//
// The policy is TinyLFU (Einziger, Friedman and Manes, ACM Transactions on Storage
// 13, 2017) with sampled eviction.
package ristrettocache
