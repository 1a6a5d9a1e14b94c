package resilience_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

func benchPipeline(b *testing.B) *resilience.Pipeline {
	br, err := resilience.NewBreaker(resilience.BreakerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	p, err := resilience.New(resilience.Options{Breaker: br})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func succeed(context.Context) (int, error) { return 1, nil }

func BenchmarkDo(b *testing.B) {
	p, ctx := benchPipeline(b), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = resilience.Do(ctx, p, succeed)
	}
}

// BenchmarkDoParallel shows what the shards of window and counter are for.
func BenchmarkDoParallel(b *testing.B) {
	p, ctx := benchPipeline(b), context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = resilience.Do(ctx, p, succeed)
		}
	})
}

func BenchmarkBreakerReject(b *testing.B) {
	br, err := resilience.NewBreaker(resilience.BreakerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	br.ForceOpen()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = br.Acquire()
	}
}

func BenchmarkClassify(b *testing.B) {
	for _, c := range []struct {
		name string
		err  error
	}{
		{"deadline", context.DeadlineExceeded},
		{"canceled", context.Canceled},
		{"timeout", resilience.ErrTimeout},
		{"eof", io.EOF},
		{"norows", sql.ErrNoRows},
		{"errno", &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}},
		{"refused", dial(syscall.ECONNREFUSED)},
		{"sqlstate1", fmt.Errorf("query: %w", sqlState("40001"))},
		{"sqlstate", wrapped(sqlState("40001"))},
		{"http503", statusErr{status: 503}},
		{"joined", errors.Join(errBoom, io.EOF)},
		{"unknown1", errBoom},
		{"unknown", wrapped(errBoom)},
	} {
		b.Run("err="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = resilience.Classify(c.err)
			}
		})
	}
}

func BenchmarkGuardSuppressed(b *testing.B) {
	g, err := resilience.NewGuard(resilience.GuardOptions{First: 1, Every: -1})
	if err != nil {
		b.Fatal(err)
	}
	h, ctx := g.Handler(slog.DiscardHandler), context.Background()
	r := slog.NewRecord(time.Time{}, slog.LevelError, "cannot reach upstream", 1)
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Handle(ctx, r)
	}
	_ = g.Close()
}

// BenchmarkDoFailing makes four attempts without delay, each of which fails.
func BenchmarkDoFailing(b *testing.B) {
	p, err := resilience.New(resilience.Options{Retry: resilience.RetryOptions{BaseDelay: -1}, DisableBudget: true})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	fail := func(context.Context) (int, error) { return 0, resilience.ErrTimeout }
	b.ReportAllocs()
	for b.Loop() {
		_, _ = resilience.Do(ctx, p, fail)
	}
}
