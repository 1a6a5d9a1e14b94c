package schedule

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/faulttest"
	"github.com/sony/gobreaker/v2"
)

type client = func(faulttest.Call) faulttest.Call

func ours(t *testing.T, breaker bool) client {
	return func(backend faulttest.Call) faulttest.Call {
		var o resilience.Options
		if breaker {
			b, err := resilience.NewBreaker(resilience.BreakerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			o.Breaker = b
		}
		p, err := resilience.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context) error { return resilience.Run(ctx, p, backend) }
	}
}

// failsafeGo makes as many attempts as ours, with a pause, jitter, budget and breaker.
func failsafeGo(backend faulttest.Call) faulttest.Call {
	retry := retrypolicy.NewBuilder[any]().WithMaxRetries(3).WithBackoff(100*time.Millisecond, 5*time.Second).WithJitterFactor(0.5).
		AbortOnErrors(circuitbreaker.ErrOpen).WithBudget(budget.New()).Build()
	cb := circuitbreaker.NewBuilder[any]().WithFailureRateThreshold(0.5, 20, 10*time.Second).WithSuccessThreshold(3).WithDelay(time.Second).Build()
	exec := failsafe.With[any](retry, cb)
	return func(ctx context.Context) error {
		return exec.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error { return backend(e.Context()) })
	}
}

func backoffGobreaker(backend faulttest.Call) faulttest.Call {
	cb := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{
		Interval: 10 * time.Second, BucketPeriod: time.Second, Timeout: time.Second, MaxRequests: 3,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.Requests >= 20 && c.TotalFailures*2 >= c.Requests },
	})
	return func(ctx context.Context) error {
		b := backoff.NewExponentialBackOff()
		b.InitialInterval = 100 * time.Millisecond
		_, err := backoff.Retry(ctx, func() (int, error) {
			return cb.Execute(func() (int, error) { return 0, backend(ctx) })
		}, backoff.WithMaxTries(4), backoff.WithBackOff(b))
		return err
	}
}

func naive(backend faulttest.Call) faulttest.Call {
	return func(ctx context.Context) (err error) {
		for range 4 {
			if err = backend(ctx); err == nil {
				return nil
			}
		}
		return err
	}
}

var clients = []struct {
	name   string
	client func(*testing.T) client
}{
	{"perfblocks", func(t *testing.T) client { return ours(t, true) }},
	{"perfblocks, no breaker", func(t *testing.T) client { return ours(t, false) }},
	{"failsafe-go retry+budget+breaker", func(*testing.T) client { return failsafeGo }},
	{"backoff+gobreaker", func(*testing.T) client { return backoffGobreaker }},
	{"no retry", func(*testing.T) client { return func(b faulttest.Call) faulttest.Call { return b } }},
	{"four attempts at once", func(*testing.T) client { return naive }},
}

// measure is one figure of a run and the bar for it.
type measure struct {
	name, unit, goal string
	of               func(faulttest.Report) float64
	ok               func(float64) bool
}

func atMost(limit float64) func(float64) bool  { return func(v float64) bool { return v <= limit } }
func atLeast(limit float64) func(float64) bool { return func(v float64) bool { return v >= limit } }

// rows turns the reports of all clients, ours first, into a row for each measure.
func rows(reports []faulttest.Report, measures []measure) []bench.Row {
	var rows []bench.Row
	for _, m := range measures {
		v := m.of(reports[0])
		row := bench.Row{Measure: m.name, Unit: m.unit, Ours: v, Goal: m.goal, OK: m.ok == nil || m.ok(v)}
		for i, r := range reports[1:] {
			row.Peers = append(row.Peers, bench.Value{Name: clients[i+1].name, Value: m.of(r)})
		}
		rows = append(rows, row)
	}
	return rows
}

// scheduleRuns is how often the schedule is run: a figure is the median of its
// runs, since goroutines that wake at one moment run in any order.
const scheduleRuns = 3

// median makes the median of several runs of a figure of one run.
func median(runs [][]faulttest.Report, client int, of func(faulttest.Report) float64) float64 {
	var v []float64
	for _, reports := range runs {
		v = append(v, of(reports[client]))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// TestSchedule runs the default schedule. The bars are judged by whoever reads the
// rows; the test fails where ours is clearly worse than them.
func TestSchedule(t *testing.T) {
	runs := make([][]faulttest.Report, scheduleRuns)
	for i := range runs {
		for _, c := range clients {
			runs[i] = append(runs[i], faulttest.Run(t, faulttest.Options{Seed: uint64(i + 1)}, c.client(t)))
		}
	}
	success := func(phase string) func(faulttest.Report) float64 {
		return func(r faulttest.Report) float64 { return 100 * r.Phase(phase).Success() }
	}
	recovery := func(phase string) func(faulttest.Report) float64 {
		return func(r faulttest.Report) float64 { return r.Phase(phase).Recovery.Seconds() }
	}
	load := func(r faulttest.Report) float64 { return r.Phase("down").Load() }
	measures := []measure{
		{"hard outage: attempts for each call", "×", "≤ 0.05", load, atMost(0.05)},
		{"recovery after the outage", "s", "≤ 2", recovery("after down"), atMost(2)},
		{"recovery after the slowness", "s", "≤ 2", recovery("after slow"), atMost(2)},
		{"recovery after 30 % errors", "s", "≤ 2", recovery("after flaky"), atMost(2)},
		{"success after the outage", "%", "≥ 99.5", success("after down"), atLeast(99.5)},
		{"success after the slowness", "%", "≥ 99.5", success("after slow"), atLeast(99.5)},
		{"success after 30 % errors", "%", "≥ 99.5", success("after flaky"), atLeast(99.5)},
		{"success under 30 % errors", "%", "≥ 98.5", success("flaky"), atLeast(98.5)},
		{"99th percentile of all calls", "ms", "", func(r faulttest.Report) float64 { return float64(r.P99.Milliseconds()) }, nil},
	}
	var out []bench.Row
	for _, m := range measures {
		of := m.of
		row := rows(runs[0], []measure{m})[0]
		row.Ours = median(runs, 0, of)
		row.OK = m.ok == nil || m.ok(row.Ours)
		for i := range row.Peers {
			row.Peers[i].Value = median(runs, i+1, of)
		}
		row.Note = fmt.Sprintf("median of %d seeds, virtual time", scheduleRuns)
		out = append(out, row)
	}
	bare := median(runs, 1, load)
	out = append(out, bench.Row{Measure: "hard outage without a breaker: attempts for each call", Unit: "×", Ours: bare, Goal: "≤ 1.05", OK: bare <= 1.05})
	bench.Emit(t, out...)
	if v := out[0].Ours; v > 0.06 {
		t.Errorf("load in the outage is %.3f attempts for each call; the bar is 0.05", v)
	}
	for _, row := range out[1:4] {
		if row.Ours > 3 {
			t.Errorf("%s took %v s; the bar is 2", row.Measure, row.Ours)
		}
	}
	for _, row := range out[4:8] {
		if row.Ours < 97.5 {
			t.Errorf("%s is %.2f %%; the bars are 99.5 and 98.5", row.Measure, row.Ours)
		}
	}
}

// TestDay runs a day of 40 blips, 3 outages and 3 flaky hours, with what was
// answered before as the fallback.
func TestDay(t *testing.T) {
	rate := 4.0
	if v, err := strconv.ParseFloat(os.Getenv("VERSUS_DAY_RATE"), 64); err == nil {
		rate = v
	}
	var reports []faulttest.Report
	for _, c := range clients {
		reports = append(reports, faulttest.Run(t, faulttest.Options{Phases: faulttest.Day(1), Rate: rate}, c.client(t)))
	}
	total := func(of func(faulttest.PhaseReport) float64) func(faulttest.Report) float64 {
		return func(r faulttest.Report) float64 { return 100 * of(r.Total()) }
	}
	out := rows(reports, []measure{
		{"24 h of faults, stale fallback: served over warm keys", "%", "≥ 99.9", total(faulttest.PhaseReport.WarmShare), atLeast(99.9)},
		{"the same, served in all", "%", "", total(faulttest.PhaseReport.ServedShare), nil},
		{"the same, without the fallback", "%", "", total(faulttest.PhaseReport.Success), nil},
	})
	out[0].Note = fmt.Sprintf("%d calls", reports[0].Total().Requests)
	bench.Emit(t, out...)
	if out[0].Ours < 99.9 {
		t.Errorf("served %.3f %% over warm keys; want at least 99.9", out[0].Ours)
	}
}
