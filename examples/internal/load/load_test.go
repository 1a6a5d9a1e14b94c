package load_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/examples/internal/load"
)

// service answers each request after 10 ms, but not at all from stop to resume.
func service(start time.Time, stop, resume time.Duration) func() {
	return func() {
		if at := time.Since(start); at >= stop && at < resume {
			time.Sleep(resume - at)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestRunPopulation: as many users as asked for, and the same run from the same seed.
func TestRunPopulation(t *testing.T) {
	run := func() (samples []load.Sample) {
		synctest.Test(t, func(t *testing.T) {
			answer := service(time.Now(), 0, 0)
			samples = load.Run(t.Context(), load.Options{Users: 300, Actions: 4, Warmup: 30 * time.Second, Measure: 2 * time.Minute, Swing: 0.3, Seed: 1}, func(ctx context.Context, u *load.User) {
				for u.Do(ctx, func(context.Context) load.Outcome { answer(); return load.Outcome{Class: "x", Right: true} }) {
				}
			})
		})
		return samples
	}
	a, b := run(), run()
	s := load.Summarize(a, 0, 2*time.Minute, nil)
	if s.PerSecond < 85 || s.PerSecond > 115 { // 300 users / 3 s
		t.Errorf("%.1f actions per second; want about 100", s.PerSecond)
	}
	if s.Good != s.N || s.P99 > 11*time.Millisecond {
		t.Errorf("of %d answers %d are good, p99 %v", s.N, s.Good, s.P99)
	}
	noon := load.Summarize(a, 50*time.Second, 70*time.Second, nil).PerSecond
	night := load.Summarize(a, 0, 15*time.Second, nil).PerSecond
	if noon < 1.1*night {
		t.Errorf("%.1f per second at noon, %.1f at night; want a day", noon, night)
	}
	if len(a) != len(b) {
		t.Errorf("two runs of one seed had %d and %d actions", len(a), len(b))
	}
}

// TestPauseShows: a service that stands still for two seconds has it in its p99, though
// it answers every request that it sees within ten milliseconds afterwards.
func TestPauseShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := service(time.Now(), 20*time.Second, 22*time.Second)
		samples := load.Run(t.Context(), load.Options{Users: 100, Measure: 40 * time.Second, Seed: 2}, func(ctx context.Context, u *load.User) {
			for u.Do(ctx, func(context.Context) load.Outcome { answer(); return load.Outcome{Right: true} }) {
			}
		})
		s := load.Summarize(samples, 0, 40*time.Second, nil)
		if s.P99 < time.Second || s.P50 > 20*time.Millisecond {
			t.Errorf("p50 %v, p99 %v; want 10 ms and more than a second", s.P50, s.P99)
		}
		if bad := s.N - s.Good; bad < 5 {
			t.Errorf("%d answers were bad; want those of the first half second of the pause", bad)
		}
	})
}

// TestSlowServiceIsNotExcused: latencies of a service that cannot keep up count from
// when the answers were wanted, and what was never begun counts as bad.
func TestSlowServiceIsNotExcused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lock := make(chan struct{}, 1)
		samples := load.Run(t.Context(), load.Options{Users: 100, Measure: 30 * time.Second, Grace: time.Second, Seed: 3}, func(ctx context.Context, u *load.User) {
			for u.Do(ctx, func(ctx context.Context) load.Outcome {
				select {
				case lock <- struct{}{}:
				case <-ctx.Done():
					return load.Outcome{}
				}
				time.Sleep(100 * time.Millisecond) // 10 a second, 33 are wanted
				<-lock
				return load.Outcome{Right: true}
			}) {
			}
		})
		s := load.Summarize(samples, 0, 30*time.Second, nil)
		if s.GoodShare() > 0.5 || s.P50 < 2*time.Second {
			t.Errorf("good %.2f, p50 %v; want few and late", s.GoodShare(), s.P50)
		}
		if !slices.ContainsFunc(samples, func(x load.Sample) bool { return x.Class == "not begun" || x.Status == 0 && !x.Right }) {
			t.Error("nothing is counted that was not answered")
		}
	})
}

// TestSummaryBound: the exact bounds, and one bad answer more is never a lower one.
func TestSummaryBound(t *testing.T) {
	for _, c := range []struct {
		n, good int
		want    float64
	}{{0, 0, 1}, {10, 0, 1}, {3000, 3000, 0.000998}, {3000, 2999, 0.00158}, {100, 90, 0.1637}, {10_000, 9_990, 0.001696}, {20_000, 2_000, 0.9035}} {
		if got := (load.Summary{N: c.n, Good: c.good}).Bound(); math.Abs(got-c.want) > 0.005*c.want {
			t.Errorf("Bound(%d of %d) = %v; want %v", c.good, c.n, got, c.want)
		}
	}
	for bad, last := 0, 0.0; bad < 200; bad++ {
		b := (load.Summary{N: 9250, Good: 9250 - bad}).Bound()
		if b <= last {
			t.Errorf("with %d bad answers the bound is %v, with one less %v", bad, b, last)
		}
		last = b
	}
}

// TestSummaryStale: a stale answer is not good, and is counted if it came in time.
func TestSummaryStale(t *testing.T) {
	s := load.Summarize([]load.Sample{
		{Outcome: load.Outcome{Stale: true}, Latency: time.Second},
		{Outcome: load.Outcome{Stale: true}, Latency: 2 * time.Second},
		{Outcome: load.Outcome{Right: true}, Latency: time.Second},
	}, 0, time.Second, nil)
	if s.N != 3 || s.Good != 1 || s.Stale != 1 {
		t.Errorf("%+v; want one good, one stale in time", s)
	}
}

// TestSaturate: each worker acts again as soon as it may, until the time is over.
func TestSaturate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		samples := load.Saturate(t.Context(), 4, time.Second, func(context.Context, int) load.Outcome {
			time.Sleep(10 * time.Millisecond)
			return load.Outcome{Right: true}
		})
		if s := load.Summarize(samples, 0, time.Second, nil); s.N != 400 || s.Good != 400 || s.P50 != 10*time.Millisecond {
			t.Errorf("%+v; want 400 answers of 10 ms", s)
		}
	})
}

// TestPopularity: the shares are those of the law, and the hot set drifts by a third.
func TestPopularity(t *testing.T) {
	const n, draws = 1000, 200_000
	day := time.Minute
	p := load.NewPopularity(n, 0.99, day, 1)
	rnd := rand.New(rand.NewPCG(1, 1))
	top := func(at time.Duration) map[int]bool {
		count := make([]int, n)
		for range draws {
			count[p.Draw(rnd, at)]++
		}
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return count[b] - count[a] })
		if share := float64(count[order[0]]) / draws; at == 0 && (share < 0.11 || share > 0.15) {
			t.Errorf("the most popular has %.3f; 1/H(1000, 0.99) is 0.13", share)
		}
		set := map[int]bool{}
		for _, x := range order[:50] {
			set[x] = true
		}
		return set
	}
	first, later, kept := top(0), top(day), 0
	for x := range first {
		if later[x] {
			kept++
		}
	}
	if kept < 22 || kept > 45 {
		t.Errorf("%d of the 50 most popular are so a day later; want about two thirds", kept)
	}
}

// TestConstant: as many as asked for, evenly, and a pause shows.
func TestConstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := service(time.Now(), 5*time.Second, 7*time.Second)
		samples := load.Constant(t.Context(), 50, 10*time.Second, func(context.Context) load.Outcome { answer(); return load.Outcome{Right: true} })
		s := load.Summarize(samples, 0, 10*time.Second, nil)
		if s.N != 500 || s.PerSecond != 50 || s.P50 != 10*time.Millisecond || s.P99 < 1900*time.Millisecond {
			t.Errorf("%+v; want 500 at 50 a second, the pause in p99", s)
		}
	})
}
