// Package cdntest checks that a cdn.Provider keeps its contract, and offers an
// in-memory provider with faults for the tests of code that uploads.
//
// # Getting started
//
//	func TestProvider(t *testing.T) {
//		cdntest.Run(t, func(t *testing.T) cdn.Provider { return newProvider(t) }, cdntest.Options{})
//	}
//
// # Units
//
// Sizes are bytes.
//
// # Concurrency
//
// Run makes parallel calls to the provider but runs its checks one after the other.
// A [Memory] is safe for concurrent use.
//
// # Errors
//
// Run reports through t, and names the clause of the contract that was broken.
//
// # Cost
//
// A run makes some 150 calls and moves about 12 MiB when the provider is a
// cdn.Multiparter, 2 MiB otherwise.
//
// # Limits
//
// Durability and atomicity across a crash cannot be seen from here.
//
// # Background
//
// In the manner of testing/slogtest and of the driver suites of gocloud.dev.
package cdntest
