package memory

import (
	"container/list"
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
)

const defaultSemaphoreBytes = 64 << 20

// SemaphoreOptions configures a [Semaphore]. The zero value hands out 64 MiB.
type SemaphoreOptions struct {
	// Name labels the semaphore in metrics. Default "semaphore".
	Name string
	// MaxBytes is how many bytes can be held at once. Default 64 MiB; negative is
	// an error.
	MaxBytes int64
	// RunAlone admits a request larger than MaxBytes once nothing else is held,
	// and holds everybody else back until it is done. Default: ErrTooLarge.
	RunAlone bool
	// Monitor narrows the semaphore while memory is short: to one half at
	// LevelHigh, to one quarter at LevelCritical. One request at a time always runs,
	// so that work goes on. nil means that only MaxBytes counts.
	Monitor *Monitor
	// Disabled grants everything at once and counts nothing.
	Disabled bool
}

// SemaphoreStats is a snapshot of a [Semaphore]; counters are since NewSemaphore.
type SemaphoreStats struct {
	// MaxBytes is the bound; Available is the part that memory pressure leaves.
	MaxBytes, Available int64
	// InUse is held now, Peak is the most ever held, in bytes.
	InUse, Peak int64
	// Waiting is the number of requests that wait now.
	Waiting int
	// Granted counts requests served, Waited those that had to wait first.
	Granted, Waited uint64
	// Refused counts requests that ended with an error, and TryAcquires without success.
	Refused uint64
}

// Semaphore hands out bytes of a budget, first come, first served. It is safe for
// concurrent use and must not be copied. It bounds what the holders declare, not
// what they really allocate.
type Semaphore struct {
	opts   SemaphoreOptions
	cancel func() // ends the watch on the Monitor; nil without one

	mu      sync.Mutex
	max     int64          // guarded by mu
	inUse   int64          // guarded by mu
	queue   list.List      // guarded by mu; of *request, the oldest first
	closed  bool           // guarded by mu
	figures SemaphoreStats // guarded by mu; the counters
}

// request is one Acquire that waits.
type request struct {
	n    int64
	done chan struct{} // closed when err is set; nil err means granted
	err  error
}

// NewSemaphore returns a semaphore of which nothing is held, and starts nothing.
// An error matches [ErrOptions].
func NewSemaphore(o SemaphoreOptions) (*Semaphore, error) {
	var p problems
	p.check(o.MaxBytes >= 0, "MaxBytes %d is negative", o.MaxBytes)
	if err := p.err("semaphore"); err != nil {
		return nil, err
	}
	setDefault(&o.MaxBytes, int64(defaultSemaphoreBytes))
	if o.Name == "" {
		o.Name = "semaphore"
	}
	s := &Semaphore{opts: o, max: o.MaxBytes}
	if o.Monitor != nil {
		s.cancel = o.Monitor.OnChange(func(ChangeEvent) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.grantLocked()
		})
	}
	return s, nil
}

// Acquire takes n bytes, waiting behind earlier requests until they are free, and
// returns the function that gives them back; calling it again does nothing. It
// returns an error matching [ErrTooLarge] at once if n is above the bound (see
// SemaphoreOptions.RunAlone), ctx.Err when ctx ends first, [ErrClosed] after Close,
// [ErrOptions] if n is negative. On error release is nil and nothing is held. n of 0
// never waits.
func (s *Semaphore) Acquire(ctx context.Context, n int64) (release func(), err error) {
	if ctx.Err() != nil {
		return nil, contextError(ctx, "acquire")
	}
	s.mu.Lock()
	ok, err := s.tryLocked(n)
	if ok || err != nil {
		s.mu.Unlock()
		return s.granted(n, err)
	}
	r := &request{n: n, done: make(chan struct{})}
	place := s.queue.PushBack(r)
	s.figures.Waited++
	s.mu.Unlock()

	select {
	case <-r.done:
		return s.granted(n, r.err)
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-r.done: // granted at the same moment: pass it on
		if r.err != nil {
			return nil, r.err
		}
		s.inUse -= n
		s.figures.Granted--
	default:
		s.queue.Remove(place)
	}
	s.figures.Refused++
	s.grantLocked()
	return nil, contextError(ctx, "acquire")
}

// TryAcquire takes n bytes if they are free and nobody waits for more; ok tells
// whether it did. It does not wait. release is nil if ok is false.
func (s *Semaphore) TryAcquire(n int64) (release func(), ok bool) {
	s.mu.Lock()
	ok, err := s.tryLocked(n)
	if !ok && err == nil {
		s.figures.Refused++
	}
	s.mu.Unlock()
	if !ok {
		return nil, false
	}
	release, _ = s.granted(n, nil)
	return release, true
}

// tryLocked grants n now, or reports that it must wait or cannot be granted.
func (s *Semaphore) tryLocked(n int64) (ok bool, err error) {
	switch {
	case n < 0:
		err = fmt.Errorf("%w: acquire %d bytes: negative", ErrOptions, n)
	case s.closed:
		err = ErrClosed
	case s.opts.Disabled || n == 0:
		return true, nil
	case n > s.max && !s.opts.RunAlone:
		err = fmt.Errorf("%w: acquire %d bytes of %d", ErrTooLarge, n, s.max)
	case s.queue.Len() == 0 && s.fitsLocked(n):
		s.takeLocked(n)
		return true, nil
	}
	if err != nil {
		s.figures.Refused++
	}
	return false, err
}

// fitsLocked: when nothing is held one request always runs, so that neither
// pressure nor an oversize request stops the work.
func (s *Semaphore) fitsLocked(n int64) bool {
	return s.inUse == 0 || n <= s.availableLocked()-s.inUse
}

// availableLocked returns the part of the bound that memory pressure leaves.
func (s *Semaphore) availableLocked() int64 {
	if s.opts.Monitor != nil {
		switch s.opts.Monitor.Level() {
		case LevelHigh:
			return s.max / 2
		case LevelCritical:
			return s.max / 4
		}
	}
	return s.max
}

func (s *Semaphore) takeLocked(n int64) {
	s.inUse += n
	s.figures.Granted++
	s.figures.Peak = max(s.figures.Peak, s.inUse)
}

// grantLocked serves waiting requests in order, as far as there is room.
func (s *Semaphore) grantLocked() {
	for e := s.queue.Front(); e != nil; e = s.queue.Front() {
		r := e.Value.(*request)
		if !s.fitsLocked(r.n) {
			return
		}
		s.takeLocked(r.n)
		s.queue.Remove(e)
		close(r.done)
	}
}

// granted returns the release function of n bytes that are held.
func (s *Semaphore) granted(n int64, err error) (func(), error) {
	if err != nil {
		return nil, err
	}
	if n == 0 || s.opts.Disabled {
		return func() {}, nil
	}
	var released atomic.Bool
	return func() {
		if released.Swap(true) {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inUse -= n
		s.grantLocked()
	}, nil
}

// Resize changes the bound, in bytes, above 0. What is held stays held; waiting
// requests that have become too large are refused with [ErrTooLarge]. An error
// matches [ErrOptions] and changes nothing.
func (s *Semaphore) Resize(maxBytes int64) error {
	if maxBytes <= 0 {
		return fmt.Errorf("%w: semaphore: MaxBytes %d is not above 0", ErrOptions, maxBytes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max = maxBytes
	if !s.opts.RunAlone {
		s.refuseLocked(func(r *request) error {
			if r.n <= maxBytes {
				return nil
			}
			return fmt.Errorf("%w: acquire %d bytes of %d", ErrTooLarge, r.n, maxBytes)
		})
	}
	s.grantLocked()
	return nil
}

// refuseLocked ends the waiting requests for which why returns an error.
func (s *Semaphore) refuseLocked(why func(*request) error) {
	var next *list.Element
	for e := s.queue.Front(); e != nil; e = next {
		next = e.Next()
		r := e.Value.(*request)
		if r.err = why(r); r.err != nil {
			s.queue.Remove(e)
			s.figures.Refused++
			close(r.done)
		}
	}
}

// Close refuses all waiting and later requests with [ErrClosed]; what is held can
// still be released. A Monitor keeps the semaphore reachable until then. It always
// returns nil and may be called again.
func (s *Semaphore) Close() error {
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.refuseLocked(func(*request) error { return ErrClosed })
	return nil
}

// Stats returns the state and the counters as they are now, consistent with each
// other.
func (s *Semaphore) Stats() SemaphoreStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.figures
	f.MaxBytes, f.Available = s.max, s.availableLocked()
	f.InUse, f.Waiting = s.inUse, s.queue.Len()
	return f
}

// Metrics yields the figures of Stats under Prometheus names, in bytes, with the
// label semaphore. Each iteration reads afresh.
func (s *Semaphore) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		f := s.Stats()
		m := metricSet{yield: yield, labels: labels("semaphore", s.opts.Name)}
		m.add("memory_semaphore_max_bytes", float64(f.MaxBytes))
		m.add("memory_semaphore_available_bytes", float64(f.Available))
		m.add("memory_semaphore_in_use_bytes", float64(f.InUse))
		m.add("memory_semaphore_peak_bytes", float64(f.Peak))
		m.add("memory_semaphore_waiting", float64(f.Waiting))
		m.add("memory_semaphore_granted_total", float64(f.Granted))
		m.add("memory_semaphore_waited_total", float64(f.Waited))
		m.add("memory_semaphore_refused_total", float64(f.Refused))
	}
}
