package cache_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
)

func BenchmarkViewLoadHit(b *testing.B) {
	for _, tags := range []int{0, 3} {
		for name, ctx := range map[string]context.Context{"background": context.Background(), "deep": deepCtx()} {
			b.Run(fmt.Sprintf("tags=%d/ctx=%s", tags, name), func(b *testing.B) {
				c := newCache(b, cache.Options{})
				v := add(b, c, cache.Strategy[int]{Name: "s", TTL: -1})
				load := func(_ context.Context, e *cache.Entry[int]) (int, error) {
					for i := range tags {
						e.DependsOn(fmt.Sprint(i))
					}
					return 1, nil
				}
				b.ReportAllocs()
				for b.Loop() {
					_, _ = v.Load(ctx, "k", load)
				}
			})
		}
	}
}

func BenchmarkViewSet(b *testing.B) {
	c := newCache(b, cache.Options{})
	v := add(b, c, cache.Strategy[int]{Name: "s"})
	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_ = v.Set(context.Background(), keys[i%len(keys)], i)
		i++
	}
}

func BenchmarkCacheDeleteTag(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			c := newCache(b, cache.Options{MaxBytes: 1 << 30})
			v := add(b, c, cache.Strategy[int]{Name: "s", Tags: []string{"all"}})
			for i := range n {
				_ = v.Set(context.Background(), fmt.Sprint(i), i)
			}
			b.ReportAllocs()
			for b.Loop() {
				_ = c.DeleteTag(context.Background(), "all")
			}
		})
	}
}
