package resiliencehttp

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/priority"
)

// ShedOptions bounds how the adaptive limiter may set its limit of concurrent
// requests.
type ShedOptions struct {
	// MinLimit, InitialLimit and MaxLimit of requests at once. Defaults 16, 64, 1024.
	MinLimit, InitialLimit, MaxLimit int
	// RetryAfter is what rejected clients are told. Default 1 s.
	RetryAfter time.Duration
	// Priority ranks a request, by failsafe-go's priorities; one out of their range
	// counts as the nearest. Then a request that finds no place waits for one, and
	// as more wait, those of the lowest ranks are rejected. Nil: all are equal, and
	// none waits.
	Priority func(*http.Request) priority.Priority
	// MaxWait is how long a request waits at most for a place. Default 500 ms. It
	// is used with Priority only.
	MaxWait time.Duration
}

func (s *ShedOptions) normalize(check func(bool, string, ...any)) {
	if s.MinLimit == 0 {
		s.MinLimit = 16
	}
	if s.InitialLimit == 0 {
		s.InitialLimit = max(64, s.MinLimit)
	}
	if s.MaxLimit == 0 {
		s.MaxLimit = max(1024, s.InitialLimit)
	}
	if s.RetryAfter == 0 {
		s.RetryAfter = time.Second
	}
	if s.MaxWait == 0 {
		s.MaxWait = 500 * time.Millisecond
	}
	check(0 < s.MinLimit && s.MinLimit <= s.InitialLimit && s.InitialLimit <= s.MaxLimit,
		"Shed limits %d, %d, %d are not positive and in order", s.MinLimit, s.InitialLimit, s.MaxLimit)
	check(s.RetryAfter > 0, "Shed.RetryAfter %v is negative", s.RetryAfter)
	check(s.MaxWait > 0, "Shed.MaxWait %v is negative", s.MaxWait)
}

// place is the leave to handle one request. Record and Drop give it back.
type place = adaptivelimiter.Permit

// shedder gives places to requests as long as there are some.
type shedder struct {
	opts   ShedOptions
	plain  adaptivelimiter.AdaptiveLimiter[any]
	ranked adaptivelimiter.PriorityLimiter[any] // instead of plain, with Priority

	ranks   priority.Prioritizer
	started time.Time
	next    atomic.Int64 // when ranks are to be calibrated, after started
}

func newShedder(o ShedOptions) *shedder {
	b := adaptivelimiter.NewBuilder[any]().WithLimits(uint(o.MinLimit), uint(o.MaxLimit), uint(o.InitialLimit))
	s := &shedder{opts: o, started: time.Now()}
	if o.Priority == nil {
		s.plain = b.Build()
		return s
	}
	s.ranks = adaptivelimiter.NewPrioritizer()
	s.ranked = b.WithQueueing(queueFrom, queueTo).BuildPrioritized(s.ranks)
	return s
}

// enter returns a place for the request, or nil when there is none.
func (s *shedder) enter(r *http.Request) place {
	if s.plain != nil {
		p, ok := s.plain.TryAcquirePermit()
		if !ok {
			return nil
		}
		return p
	}
	s.calibrate()
	rank := min(max(s.opts.Priority(r), priority.VeryLow), priority.VeryHigh)
	ctx := priority.ContextWithLevel(r.Context(), rank.RandomLevel())
	p, err := s.ranked.AcquirePermitWithMaxWait(ctx, s.opts.MaxWait)
	if err != nil {
		return nil
	}
	return p
}

// Requests of low rank are rejected when as many wait as queueFrom times the limit,
// and all from queueTo on. Between them the share of those rejected grows; a narrower
// band is passed through before the next calibration, and then the highest are
// rejected with the lowest.
const queueFrom, queueTo = 1, 3

// calibration is how often the ranks that are rejected are chosen afresh. A request
// does it, so that nothing has to be closed.
const calibration = 20 * time.Millisecond

func (s *shedder) calibrate() {
	now, next := time.Since(s.started), s.next.Load()
	if int64(now) >= next && s.next.CompareAndSwap(next, int64(now+calibration)) {
		s.ranks.Calibrate()
	}
}

func (s *shedder) limit() int {
	if s.plain != nil {
		return s.plain.Limit()
	}
	return s.ranked.Limit()
}

func (s *shedder) problem() Problem {
	return Problem{Status: http.StatusServiceUnavailable, Code: "overloaded", RetryAfter: s.opts.RetryAfter}
}
