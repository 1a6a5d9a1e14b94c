// Package faulttest shows what a client's retries, breaker and timeouts do to a
// service that fails: it runs many clients against a model of a backend through a
// schedule of faults, in virtual time, and reports what was answered, what load
// the backend had to bear, and how long recovery took.
//
// # Getting started
//
//	func TestMySettings(t *testing.T) {
//		r := faulttest.Run(t, faulttest.Options{}, func(backend faulttest.Call) faulttest.Call {
//			p, err := resilience.New(mySettings()) // one for each client process
//			if err != nil {
//				t.Fatal(err)
//			}
//			return func(ctx context.Context) error { return resilience.Run(ctx, p, backend) }
//		})
//		if down := r.Phase("down"); down.Load() > 0.05 {
//			t.Errorf("load while the backend was down = %.2f per request", down.Load())
//		}
//	}
//
// # Units
//
// Durations are virtual: the default schedule of 220 seconds runs in about a
// second. Rates are requests a second of all clients together; shares and ratios
// are between 0 and 1, or more for a load above one attempt per request.
//
// # Concurrency
//
// [Run] starts a goroutine for each request in flight inside a bubble of
// testing/synctest and returns when all have ended. The client functions are called
// from many of them at once. What a client starts must end by itself: synctest
// fails the test on a goroutine that stays.
//
// # Errors
//
// The backend fails with [ErrDown] and [ErrTimeout], which package resilience
// classifies as unavailable and as a timeout, and with the context's error when the
// context of the call ends first. Bad options end the test.
//
// # Cost
//
// One goroutine for each request in flight, and one counter for each virtual
// second. Nothing is kept of a request but the time it took.
//
// # Limits
//
// The backend is a model: a number of workers with a fixed service time behind a
// bounded queue, which works on for a client that has gone. Runs with equal
// options are alike but not equal, because goroutines that wake at the same virtual
// moment run in any order.
//
// # Background
//
// The schedule is a hard outage, a slow-down by a factor of twenty that fills the
// queue (the start of a metastable failure, see Bronson et al., "Metastable Failures
// in Distributed Systems", HotOS 2021), and a time in which three of ten calls fail.
package faulttest
