package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// flaky fails n times and then answers.
func flaky(n int) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		if n--; n >= 0 {
			return "", errors.New("connection lost")
		}
		return "hello", nil
	}
}

func ExampleDo() {
	b, err := resilience.NewBreaker(resilience.BreakerOptions{Name: "openai"})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := resilience.New(resilience.Options{
		Name: "openai", Breaker: b, Timeout: 10 * time.Second,
		Retry: resilience.RetryOptions{MaxAttempts: 3, BaseDelay: time.Millisecond},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := resilience.Do(context.Background(), p, flaky(2))
	fmt.Println(answer, err, p.Stats().Retries)
	// Output: hello <nil> 2
}

func ExampleDoOr() {
	p, err := resilience.New(resilience.Options{Retry: resilience.RetryOptions{MaxAttempts: 1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := resilience.DoOr(context.Background(), p, flaky(9), func(context.Context, error) (string, error) {
		return "a degraded answer", nil
	})
	fmt.Println(answer, err)
	// Output: a degraded answer <nil>
}

func ExampleRun() {
	p, err := resilience.New(resilience.Options{Name: "mail", Retry: resilience.RetryOptions{MaxAttempts: 2, BaseDelay: -1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = resilience.Run(context.Background(), p, func(context.Context) error { return errors.New("mailbox full") })
	if e, ok := errors.AsType[*resilience.AttemptsError](err); ok {
		fmt.Println(e.Attempts, e.Reason, e.Last())
	}
	// Output: 2 attempts mailbox full
}

func ExampleWrap() {
	p, err := resilience.New(resilience.Options{Retry: resilience.RetryOptions{BaseDelay: -1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	greet := resilience.Wrap(p, flaky(1))
	fmt.Println(greet(context.Background()))
	// Output: hello <nil>
}

func ExampleWithRetry() {
	greet := resilience.WithRetry(flaky(2), resilience.RetryOptions{MaxAttempts: 3, BaseDelay: time.Millisecond})
	fmt.Println(greet(context.Background()))
	// Output: hello <nil>
}

func ExampleWithCircuitBreaker() {
	breakers, err := resilience.NewRegistry(resilience.RegistryOptions{Breaker: resilience.BreakerOptions{Consecutive: 2}})
	if err != nil {
		fmt.Println(err)
		return
	}
	greet := resilience.WithCircuitBreaker(breakers, "openai", flaky(9))
	for range 3 {
		_, err = greet(context.Background())
		fmt.Println(err)
	}
	// Output:
	// connection lost
	// connection lost
	// resilience: breaker "openai" open: last failure unknown
}

func ExampleBreaker_Acquire() {
	b, err := resilience.NewBreaker(resilience.BreakerOptions{Name: "db", Consecutive: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	permit, err := b.Acquire()
	if err != nil {
		fmt.Println(err)
		return
	}
	permit.Done(errors.New("no answer"))

	_, err = b.Acquire()
	open, ok := errors.AsType[*resilience.BreakerOpenError](err)
	fmt.Println(b.State(), ok, open.RetryAfter() > 0, open.Cause)
	// Output: open true true no answer
}

func ExampleClassify() {
	err := fmt.Errorf("load user: %w", context.DeadlineExceeded)
	info := resilience.Classify(err)
	fmt.Println(info.Class, info.Retryable, info.Counts)

	err = resilience.WithCode(resilience.Permanent(err), "quota")
	info = resilience.Classify(err)
	fmt.Println(info.Class, info.Code, info.Retryable)
	// Output:
	// timeout true true
	// timeout quota false
}

func ExampleNewClassifier() {
	errQuota := errors.New("quota exceeded")
	c := resilience.NewClassifier(
		resilience.IsRule(errQuota, resilience.Info{Class: resilience.ClassThrottled, Code: "quota", RetryAfter: time.Minute}),
	)
	fmt.Println(c.Classify(fmt.Errorf("ask: %w", errQuota)).Class, c.Classify(context.Canceled).Class)
	// Output: throttled canceled
}

func ExampleGuard_Handler() {
	g, err := resilience.NewGuard(resilience.GuardOptions{First: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	plain := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	log := slog.New(g.Handler(plain))
	for attempt := range 50 {
		log.Error("upstream down", "attempt", attempt)
	}
	if err := g.Close(); err != nil { // Or wait for the end of the window.
		fmt.Println(err)
	}
	// Output:
	// level=ERROR msg="upstream down" attempt=0
	// level=ERROR msg="upstream down" attempt=1
	// level=ERROR msg="upstream down" attempt=2 suppressed=47
}

// Pipelines that call the same service share a budget, so that an outage is not met by
// the retries of each.
func ExampleNewBudget() {
	budget, err := resilience.NewBudget(resilience.BudgetOptions{Name: "openai", Capacity: 10, RetryCost: 5, MinPerSecond: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"chat", "titles"} {
		p, err := resilience.New(resilience.Options{Name: name, Budget: budget, Retry: resilience.RetryOptions{MaxAttempts: 3, BaseDelay: time.Millisecond}})
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = resilience.Do(context.Background(), p, flaky(9))
		fmt.Println(name, p.Stats().Retries, "retries:", err)
	}
	// Output:
	// chat 2 retries: resilience: call "chat": 3 attempts, stopped by attempts: connection lost
	// titles 0 retries: resilience: call "titles": 1 attempt, stopped by budget: connection lost
}

func ExampleWithRetryAfter() {
	err := resilience.WithRetryAfter(errors.New("the queue is full"), 30*time.Second)
	info := resilience.Classify(err)
	fmt.Println(err, info.Retryable, info.RetryAfter)
	// Output: the queue is full true 30s
}
