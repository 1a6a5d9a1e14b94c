package recipes_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/resilience"
)

// A source that fails is not asked again and again: its breaker opens. Readers get what
// the cache had, for as long as StaleIfError allows.
func Example_staleOnError() {
	breaker, err := resilience.NewBreaker(resilience.BreakerOptions{Name: "prices", Consecutive: 2, OpenFor: time.Minute, MaxOpenFor: time.Minute})
	check(err)
	source, err := resilience.New(resilience.Options{Name: "prices", Breaker: breaker, Retry: resilience.RetryOptions{MaxAttempts: 1}})
	check(err)
	c, err := cache.New(cache.Options{})
	check(err)
	defer c.Close()
	prices, err := cache.Add(c, cache.Strategy[int]{Name: "price", TTL: time.Hour, StaleIfError: time.Hour})
	check(err)

	down, calls := false, 0
	price := func(ctx context.Context) (int, error) {
		return prices.Load(ctx, "tea", func(ctx context.Context, _ *cache.Entry[int]) (int, error) {
			return resilience.Do(ctx, source, func(context.Context) (int, error) {
				if calls++; down {
					return 0, errors.New("connection refused")
				}
				return 42, nil
			})
		})
	}
	ctx := context.Background()
	fmt.Println(price(ctx))
	down = true
	for range 100 {
		check(prices.Expire(ctx, "tea")) // soft: stale from now on
		if v, err := price(ctx); v != 42 || err != nil {
			fmt.Println(v, err)
		}
	}
	fmt.Println("served 100 times; the source was asked", calls, "times in all; its breaker is", breaker.State())
	// Output:
	// 42 <nil>
	// served 100 times; the source was asked 3 times in all; its breaker is open
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
