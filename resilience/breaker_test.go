package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

var errBoom = errors.New("boom")

func newBreaker(t *testing.T, o resilience.BreakerOptions) *resilience.Breaker {
	t.Helper()
	b, err := resilience.NewBreaker(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// call makes one call through b and reports whether it was admitted.
func call(b *resilience.Breaker, err error) bool {
	p, rejected := b.Acquire()
	if rejected != nil {
		return false
	}
	p.Done(err)
	return true
}

func TestBreakerOptions(t *testing.T) {
	_, err := resilience.NewBreaker(resilience.BreakerOptions{Window: -1, FailureRate: 2, Probes: -1})
	if !errors.Is(err, resilience.ErrOptions) {
		t.Fatalf("NewBreaker = %v; want ErrOptions", err)
	}
	for _, field := range []string{"Window", "FailureRate", "Probes"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("error %q does not name %s", err, field)
		}
	}
}

func TestBreakerConsecutive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Name: "up", Consecutive: 3, OpenJitter: -1})
		call(b, errBoom)
		call(b, errBoom)
		call(b, nil)
		for range 3 {
			call(b, errBoom)
		}
		_, err := b.Acquire()
		open, ok := errors.AsType[*resilience.BreakerOpenError](err)
		if !ok || !errors.Is(err, resilience.ErrOpen) {
			t.Fatalf("Acquire = %v; want a BreakerOpenError", err)
		}
		if open.Name != "up" || open.RetryAfter() != 200*time.Millisecond || !errors.Is(open.Cause, errBoom) {
			t.Errorf("open = %q, %v, %v; want up, 200ms, boom", open.Name, open.RetryAfter(), open.Cause)
		}
		time.Sleep(200 * time.Millisecond)
		if s := b.State(); s != resilience.StateHalfOpen {
			t.Fatalf("State = %v; want half_open", s)
		}
		for range 3 {
			call(b, nil)
		}
		if s := b.State(); s != resilience.StateClosed {
			t.Errorf("State = %v; want closed", s)
		}
	})
}

func TestBreakerRateIsExact(t *testing.T) {
	for _, c := range []struct {
		failures, calls int
		rate            float64
		open            bool
	}{
		{2, 2000, 0.001, true},
		{1, 2000, 0.001, false},
		{495, 1000, 0.5, false},
		{500, 1000, 0.5, true},
	} {
		b := newBreaker(t, resilience.BreakerOptions{FailureRate: c.rate, MinCalls: c.calls, Consecutive: -1, Window: time.Hour})
		for range c.calls - c.failures {
			call(b, nil)
		}
		for range c.failures {
			call(b, errBoom)
		}
		if got := b.State() == resilience.StateOpen; got != c.open {
			t.Errorf("%d/%d at rate %v: open = %v; want %v", c.failures, c.calls, c.rate, got, c.open)
		}
	}
}

// TestBreakerRateAsWritten reaches each rate of two digits as it is written, such as
// 7 of 100 calls for 0.07, whose product is more than 7 in floating point.
func TestBreakerRateAsWritten(t *testing.T) {
	const calls = 100
	for want := 1; want <= calls; want++ {
		rate, err := strconv.ParseFloat(fmt.Sprintf("%d.%02d", want/calls, want%calls), 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, failures := range []int{want - 1, want} {
			b := newBreaker(t, resilience.BreakerOptions{FailureRate: rate, MinCalls: calls, Consecutive: -1, Window: time.Hour})
			for i := range calls {
				call(b, map[bool]error{true: errBoom}[i >= calls-failures])
			}
			if open := b.State() == resilience.StateOpen; open != (failures == want) {
				t.Errorf("%d of %d at rate %v: open = %v", failures, calls, rate, open)
			}
		}
	}
}

func TestBreakerWindowForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{MinCalls: 4, Consecutive: -1, Window: time.Second})
		for range 3 {
			call(b, errBoom)
		}
		time.Sleep(time.Second)
		if s := b.Stats(); s.Results != 0 || s.FailureRate() != 0 {
			t.Errorf("after the window: %d results, rate %v; want none", s.Results, s.FailureRate())
		}
		call(b, errBoom)
		if s := b.State(); s != resilience.StateClosed {
			t.Errorf("State = %v; want closed: old failures are out of the window", s)
		}
	})
}

func TestBreakerSlowCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{SlowCall: time.Second, SlowRate: 0.5, MinCalls: 4, Window: time.Minute})
		for i := range 4 {
			p, err := b.Acquire()
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 1 {
				time.Sleep(time.Second)
			}
			p.Success()
		}
		if s := b.State(); s != resilience.StateOpen {
			t.Errorf("State = %v; want open: half of the calls were slow", s)
		}
	})
}

func TestBreakerIgnoresLateResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1, SuccessToClose: 1, Probes: 1, OpenJitter: -1})
		late, _ := b.Acquire()
		call(b, errBoom)
		time.Sleep(200 * time.Millisecond)
		probe, err := b.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		late.Success() // Begun while closed: says nothing about now.
		if s := b.State(); s != resilience.StateHalfOpen {
			t.Fatalf("State = %v; want half_open: a late success must not close", s)
		}
		probe.Failure(errBoom)
		if s := b.Stats(); s.State != resilience.StateOpen || s.Late != 1 {
			t.Errorf("State = %v, Late = %d; want open, 1", s.State, s.Late)
		}
	})
}

func TestBreakerNeutralProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1, Probes: 1, SuccessToClose: 1, OpenJitter: -1})
		call(b, errBoom)
		time.Sleep(200 * time.Millisecond)
		if !call(b, context.Canceled) {
			t.Fatal("probe rejected")
		}
		if s := b.State(); s != resilience.StateHalfOpen {
			t.Fatalf("State = %v; want half_open: a cancel is neutral", s)
		}
		if !call(b, nil) {
			t.Fatal("the place of a cancelled probe was not freed")
		}
		if s := b.State(); s != resilience.StateClosed {
			t.Errorf("State = %v; want closed", s)
		}
	})
}

func TestBreakerHungProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1, Probes: 1, SuccessToClose: 1, ProbeTimeout: time.Second, OpenJitter: -1})
		call(b, errBoom)
		time.Sleep(200 * time.Millisecond)
		hung, err := b.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		if call(b, nil) {
			t.Fatal("a second probe was admitted")
		}
		time.Sleep(time.Second)
		if s := b.State(); s != resilience.StateOpen {
			t.Fatalf("State = %v; want open: the probe is lost", s)
		}
		time.Sleep(400 * time.Millisecond)
		if !call(b, nil) {
			t.Fatal("wedged by the hung probe")
		}
		hung.Failure(errBoom)
		if s := b.State(); s != resilience.StateClosed {
			t.Errorf("State = %v; want closed", s)
		}
	})
}

func TestBreakerOpenTimeGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened []time.Duration
		b := newBreaker(t, resilience.BreakerOptions{
			Consecutive: 1, Probes: 1, SuccessToClose: 1, OpenFor: time.Second, MaxOpenFor: 5 * time.Second, OpenJitter: -1,
			Hooks: resilience.BreakerHooks{StateChanged: func(c resilience.StateChange) {
				if c.To == resilience.StateOpen {
					opened = append(opened, c.OpenFor)
				}
			}},
		})
		for range 5 {
			call(b, errBoom)
			time.Sleep(5 * time.Second)
		}
		call(b, nil)
		call(b, errBoom)
		want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second, time.Second}
		if !slices.Equal(opened, want) {
			t.Errorf("open periods %v; want %v", opened, want)
		}
	})
}

func TestBreakerManual(t *testing.T) {
	b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1})
	b.ForceOpen()
	_, err := b.Acquire()
	if !errors.Is(err, resilience.ErrOpen) || b.State() != resilience.StateForcedOpen {
		t.Errorf("forced: %v, %v; want ErrOpen, forced_open", err, b.State())
	}
	if err := b.Wait(t.Context()); !errors.Is(err, resilience.ErrOpen) {
		t.Errorf("Wait = %v; want ErrOpen at once", err)
	}
	b.Disable()
	for range 3 {
		if !call(b, errBoom) {
			t.Fatal("a disabled breaker rejected")
		}
	}
	b.Reset()
	if s := b.State(); s != resilience.StateClosed {
		t.Errorf("State = %v; want closed", s)
	}
	if d := newBreaker(t, resilience.BreakerOptions{Disabled: true}); d.State() != resilience.StateDisabled {
		t.Errorf("State = %v; want disabled", d.State())
	}
}

func TestBreakerWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1, OpenJitter: -1})
		call(b, errBoom)
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := b.Wait(short); !errors.Is(err, resilience.ErrOpen) || time.Since(start) != 0 {
			t.Errorf("Wait(100ms left) = %v after %v; want ErrOpen at once", err, time.Since(start))
		}
		if err := b.Wait(t.Context()); err != nil || time.Since(start) != 200*time.Millisecond {
			t.Errorf("Wait = %v after %v; want nil after 200ms", err, time.Since(start))
		}
	})
}

func TestBreakerHookOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *resilience.Breaker
		var seen []string
		b = newBreaker(t, resilience.BreakerOptions{
			Consecutive: 1, OpenJitter: -1,
			Hooks: resilience.BreakerHooks{StateChanged: func(c resilience.StateChange) {
				seen = append(seen, c.From.String()+">"+c.To.String())
				if c.To == resilience.StateOpen {
					b.ForceOpen() // Under no lock: this would block otherwise.
				}
			}},
		})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { call(b, errBoom) })
		}
		wg.Wait()
		want := []string{"closed>open", "open>forced_open"}
		if !slices.Equal(seen, want) {
			t.Errorf("events %v; want %v", seen, want)
		}
	})
}

func TestBreakerHookPanic(t *testing.T) {
	calls := 0
	b := newBreaker(t, resilience.BreakerOptions{Hooks: resilience.BreakerHooks{StateChanged: func(resilience.StateChange) {
		if calls++; calls == 1 {
			panic("hook")
		}
	}}})
	func() {
		defer func() { _ = recover() }()
		b.ForceOpen()
	}()
	b.Reset()
	if calls != 2 {
		t.Errorf("hook called %d times; want 2: a panic must not silence it", calls)
	}
}

func TestPermitReportsOnce(t *testing.T) {
	b := newBreaker(t, resilience.BreakerOptions{Consecutive: 2})
	p, _ := b.Acquire()
	p.Failure(errBoom)
	p.Failure(errBoom)
	if s := b.Stats(); s.Failures != 1 || s.State != resilience.StateClosed {
		t.Errorf("two reports of one permit: %d failures, %v; want 1, closed", s.Failures, s.State)
	}
	var zero resilience.Permit
	zero.Done(errBoom)
}

func TestBreakerRejectAllocs(t *testing.T) {
	b := newBreaker(t, resilience.BreakerOptions{})
	b.ForceOpen()
	if n := testing.AllocsPerRun(100, func() { call(b, nil) }); n != 0 {
		t.Errorf("a rejection allocates %v times; want 0", n)
	}
}

func TestBreakerMetrics(t *testing.T) {
	b := newBreaker(t, resilience.BreakerOptions{Name: "a\"b\\\n"})
	call(b, errBoom)
	got := maps.Collect(b.Metrics())
	for name, want := range map[string]float64{
		`resilience_breaker_window_failures{breaker="a\"b\\\n"}`:           1,
		`resilience_breaker_state{breaker="a\"b\\\n",state="closed"}`:      1,
		`resilience_breaker_state{breaker="a\"b\\\n",state="forced_open"}`: 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v, %v; want %v", name, v, ok, want)
		}
	}
	for range b.Metrics() {
		break
	}
}

func TestEnumsText(t *testing.T) {
	for s := range resilience.StateDisabled + 1 {
		text, err := s.MarshalText()
		var back resilience.State
		if err != nil || back.UnmarshalText(text) != nil || back != s {
			t.Errorf("state %d: %q, %v, back %v", s, text, err, back)
		}
	}
	for c := range resilience.ClassRejected + 1 {
		text, err := c.MarshalText()
		var back resilience.Class
		if err != nil || back.UnmarshalText(text) != nil || back != c {
			t.Errorf("class %d: %q, %v, back %v", c, text, err, back)
		}
	}
	for j := range resilience.JitterNone + 1 {
		text, err := j.MarshalText()
		var back resilience.Jitter
		if err != nil || back.UnmarshalText(text) != nil || back != j {
			t.Errorf("jitter %d: %q, %v, back %v", j, text, err, back)
		}
	}
	var c resilience.Class
	if err := c.UnmarshalText([]byte("nonsense")); !errors.Is(err, resilience.ErrOptions) {
		t.Errorf("UnmarshalText(nonsense) = %v; want ErrOptions", err)
	}
	if got := fmt.Sprint(resilience.Class(99), resilience.State(99), resilience.Jitter(99)); got != "class(99) state(99) jitter(99)" {
		t.Errorf("undefined values print as %q", got)
	}
}
