package resilience

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// validator collects everything wrong with an Options value.
type validator struct{ errs []error }

func (v *validator) check(ok bool, format string, args ...any) {
	if !ok {
		v.errs = append(v.errs, fmt.Errorf(format, args...))
	}
}

func (v *validator) rate(name string, r float64) { v.check(r <= 1, "%s %v is not in (0, 1]", name, r) }

func (v *validator) rangeDuration(name string, d, least time.Duration) {
	v.check(d == 0 || d >= least, "%s %v is less than %v", name, d, least)
}

func (v *validator) err(what string) error {
	if len(v.errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrOptions, what, errors.Join(v.errs...))
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// scale returns d*f, or the longest duration there is if that is less.
func scale(d time.Duration, f float64) time.Duration {
	if f == 1 {
		return d
	}
	if s := float64(d) * f; s < math.MaxInt64 {
		return time.Duration(s)
	}
	return math.MaxInt64
}

// later returns now+d, or the end of time if that is sooner.
func later(now, d time.Duration) time.Duration { return now + min(d, math.MaxInt64-now) }
