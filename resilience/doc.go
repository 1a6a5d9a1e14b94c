// Package resilience handles failures of the things a service calls: it says what
// an error is, repeats what may be repeated, stops calling what is down, and keeps
// logs readable meanwhile.
//
// # Getting started
//
// Make one [Pipeline] for each upstream with [New], and call through it:
//
//	b, err := resilience.NewBreaker(resilience.BreakerOptions{Name: "openai"})
//	p, err := resilience.New(resilience.Options{
//		Name: "openai", Breaker: b, Timeout: 10 * time.Second, AttemptTimeout: 3 * time.Second,
//	})
//	answer, err := resilience.Do(ctx, p, func(ctx context.Context) (string, error) {
//		return client.Ask(ctx, question)
//	})
//
// [DoOr] adds a fallback, [Run] serves functions without a value, [Wrap] and the
// decorators [WithRetry] and [WithCircuitBreaker] give a function of the same shape
// back. HTTP clients and servers are served by the package resiliencehttp. [Guard]
// wraps a slog.Handler against floods of like errors.
//
// # Units
//
// Every duration is a [time.Duration]; every rate is a share in (0, 1]; a budget is
// counted in tokens. A zero option is its default; where a zero must mean
// something else, the option says so.
//
// # Concurrency
//
// Everything here is safe for concurrent use. The package starts no goroutine, but
// for [Options].Hedge, which runs the function on goroutines that end when the
// function does, and for the timer at the end of a [Guard]'s window, for which
// [Guard.Close] waits. Functions and hooks run on the caller's goroutine and under
// no lock; the changes of one breaker are told in order and one at a time. A panic
// in a function releases every permit and goes on.
//
// # Errors
//
// Constructors return errors matching [ErrOptions]. The error of a call matches, by
// errors.Is and errors.As, the failure of its last attempt, on every way out:
//
//   - the failure itself, when one attempt was made and no other wanted;
//   - *[AttemptsError] with the number of attempts, the reason to stop and the last
//     failures; it matches [ErrBudget] when the budget was spent, and the context's
//     error and cause when the context ended;
//   - *[BreakerOpenError], matching [ErrOpen], when the breaker let nothing through;
//   - [ErrFull] when the bulkhead was full; [ErrTimeout], beside the function's own
//     error, when Options.Timeout or AttemptTimeout stopped it. ErrTimeout is also
//     the cause of the contexts that ended so.
//
// What an error is, [Classify] says. In order of precedence: marks, the outermost
// first ([Mark], [Permanent], [Retryable], [WithCode], [WithRetryAfter]); the rules
// of a [Classifier]; the outermost error that implements [Classified]; built-in
// knowledge. Of several findings in one chain the most specific wins, in this order:
// the end of a context; the code of a driver, an API or a protocol (SQLSTATE, MySQL,
// SQLite, SQL Server, gRPC, Connect, AWS, Redis, MongoDB, TLS alerts, HTTP/2); an
// errno, a known value or type, or an HTTP status; a method Timeout() bool; the
// failed operation of package net. Of two of one kind the outer wins. NotSent,
// RetryAfter and HTTPStatus add up over the chain, so that an API's code and the
// HTTP status around it are both in the [Info]; what fails while connecting is
// NotSent whatever it is. Of joined errors the most specific says what it is, but the
// call is retryable and not sent only if that holds for each. Methods that panic and
// chains that are cycles are survived.
//
// Values are compared by identity, types by their names, and the errors of
// errors.New in the standard library and of a few drivers, which have neither, by
// their whole text: an error of another type, or a text around such a text, is not
// taken for it. A call is repeated only if its failure is retryable and it is
// idempotent or was not sent.
//
// A caller that cancels is neutral: nothing is counted or repeated. A deadline that
// passes during an attempt counts as a timeout of the other side.
//
// # Cost
//
// A call that succeeds allocates nothing, with retry, breaker, budget and classifier
// (TestDoAllocs); neither does the rejection by an open breaker, nor, for the errors
// of context, net and SQL, Classify (TestClassifyAllocs). A closure that captures
// variables costs its maker one allocation. Options.Timeout and AttemptTimeout cost
// a context each, unless the caller's deadline is nearer. The breaker's window is
// split in shards; a success adds to one without a lock, a failure reads them all,
// and a rejection by an open breaker takes no lock either. Guard takes one shard's
// lock, and one more for what may pass.
//
// TestFaultSchedule prints what the defaults cost an upstream that fails, and its
// callers, in virtual time: ten processes send 60 calls a second each, with attempts
// of 250 ms, to a server for 600 to 1,000. Of one run: the attempts for each call
// during 30 s of outage, how soon 99 of 100 calls that failed then had failed, what
// succeeded in the 30 s after the outage and in the 60 s after ten seconds of
// slowness, and while 30 % of the attempts failed:
//
//	                 load    failed within   after outage   after slowness   30 % errors
//	no breaker       1.012   1 ms            100 %          88.5 %           99.3 %
//	default breaker  0.045   247 ms          99.96 %        99.7 %           98.8 %
//	MaxOpenFor 10 s  0.010   218 ms          88.2 %         93.0 %           99.0 %
//
// With the default breaker the last call fails less than a second after a fault's
// end. The load is for each call: with a tenth of the calls it is 0.40, because each
// process probes as often. A call that fails in an outage waits up to
// Options.MaxOpenWait, 250 ms, for the breaker; a negative one makes it fail at once,
// and more calls fail after the outage. The package faulttest runs the same schedule
// with other settings; README.md beside this file has a table of what each default
// does, and one of the names that other libraries have for things.
//
// # Limits
//
// An attempt is stopped through its context only: a function that ignores it keeps
// its caller. Types of drivers that offer no interface without an import are read by
// reflection, planned once for each type: go-sql-driver/mysql, modernc.org/sqlite,
// mattn/go-sqlite3, ncruces/go-sqlite3, grpc-go, connect-go, pgx, mongo-driver,
// smithy-go, googleapi, Kubernetes, Azure; other drivers need an [AsRule]. Unknown on
// purpose are texts with nothing but common words, such as the status of a proxy that
// refuses CONNECT, and the failures of handlers, which only their authors can know.
// Decoders' errors are ClassInvalid whoever sent the bytes. Windows of a breaker move
// in tenths. Budgets, breakers and guards are per process. database/sql repeats
// driver.ErrBadConn by itself, and net/http repeats idempotent requests on stale
// connections: a retry on top multiplies these attempts. A policy in
// Options.Policies, or the hedge, sees a panic of the function as an error. What
// failsafe-go's limits and breakers refuse there is ClassRejected and does not count.
//
// # Background
//
// Full jitter and the retry token bucket follow the AWS SDK's standard retry mode;
// the breaker is that of Nygard, "Release It!", with the generations of gobreaker;
// Retry-After is RFC 9110, 10.2.3; problem bodies are RFC 9457.
package resilience
