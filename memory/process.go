package memory

import (
	"context"
	"iter"
	"runtime"
	"sync"
)

// maxWorkers bounds the goroutines of one Process.
const maxWorkers = 1 << 16

// ProcessOptions configures [Process]. The zero value runs one worker for each
// processor, holds at most 64 MiB of items, and keeps their order.
type ProcessOptions[T any] struct {
	// Workers is how many items are worked on at once, at most 65536. Default
	// GOMAXPROCS; negative is an error.
	Workers int
	// MaxBytes bounds the items in flight: from when they are handed to a worker
	// until the consumer comes back for the next result. A larger item runs alone.
	// Default 64 MiB; negative is an error.
	MaxBytes int64
	// Unordered yields results as they come instead of in the order of the source.
	Unordered bool
	// SizeOf reports the size of an item in bytes, its result included if that is
	// large. Default: the function [SizeOf] of the item.
	SizeOf func(T) int64
	// Monitor narrows MaxBytes while memory is short, as in SemaphoreOptions.
	Monitor *Monitor
}

func (o ProcessOptions[T]) withDefaults() (ProcessOptions[T], error) {
	var p problems
	p.check(o.Workers >= 0 && o.Workers <= maxWorkers, "Workers %d is not in [0, %d]", o.Workers, maxWorkers)
	p.check(o.MaxBytes >= 0, "MaxBytes %d is negative", o.MaxBytes)
	setDefault(&o.Workers, runtime.GOMAXPROCS(0))
	setDefault(&o.MaxBytes, int64(defaultStreamBytes))
	if o.SizeOf == nil {
		o.SizeOf = SizeOf[T]
	}
	return o, p.err("process")
}

// Process applies fn to the items of src on several goroutines and yields the
// results, in the order of src unless Unordered, holding no more than MaxBytes of
// items in flight (plus the one that src is giving). At most twice as many items as
// workers are in flight, whatever their size. The first error, of src or fn or the
// end of ctx, is yielded last with a zero result and cancels the ctx of the other
// calls; a panic becomes a [*PanicError]. When the iteration ends, for whatever
// reason, every goroutine has ended too, so src and fn should follow ctx. src runs
// on another goroutine than the consumer.
func Process[T, R any](ctx context.Context, src iter.Seq2[T, error], fn func(context.Context, T) (R, error), o ProcessOptions[T]) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		var zero R
		o, err := o.withDefaults()
		if err != nil {
			yield(zero, err)
			return
		}
		sem, err := NewSemaphore(SemaphoreOptions{MaxBytes: o.MaxBytes, RunAlone: true, Monitor: o.Monitor})
		if err != nil {
			yield(zero, err)
			return
		}
		defer sem.Close()
		runCtx, cancel := context.WithCancel(ctx)
		p := &processor[T, R]{
			o: o, fn: fn, sem: sem,
			slots:   make(chan struct{}, 2*o.Workers),
			work:    make(chan *task[T, R], o.Workers),
			results: make(chan *task[T, R], 2*o.Workers),
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() { p.produce(runCtx, src) })
		for range o.Workers {
			wg.Go(func() { p.worker(runCtx) })
		}
		p.consume(ctx, yield)
	}
}

// task is one item on its way.
type task[T, R any] struct {
	item    T
	result  R
	err     error
	done    chan struct{} // closed when result and err are set
	release func()        // nil for the error of the source
}

type processor[T, R any] struct {
	o       ProcessOptions[T]
	fn      func(context.Context, T) (R, error)
	sem     *Semaphore
	slots   chan struct{}    // one token for each item in flight
	work    chan *task[T, R] // to the workers; closed by produce
	results chan *task[T, R] // to the consumer, ordered: before they are done
	pending sync.WaitGroup   // unordered: tasks not yet sent to results
}

// produce reads the source and hands its items out, until it ends or ctx does.
func (p *processor[T, R]) produce(ctx context.Context, src iter.Seq2[T, error]) {
	guard(func() error {
		for item, err := range src {
			if err != nil {
				return err
			}
			if !p.dispatch(ctx, item) {
				return nil // the consumer sees the end of ctx itself
			}
		}
		return nil
	}, func(err error) {
		close(p.work)
		p.pending.Wait()
		if err != nil {
			t := &task[T, R]{err: err, done: make(chan struct{})}
			close(t.done)
			p.send(ctx, p.results, t)
		}
		close(p.results)
	})
}

// dispatch takes room for item and gives it to a worker; false means stop.
func (p *processor[T, R]) dispatch(ctx context.Context, item T) bool {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	release, err := p.sem.Acquire(ctx, max(0, p.o.SizeOf(item)))
	if err != nil {
		return false
	}
	t := &task[T, R]{item: item, done: make(chan struct{}), release: release}
	if !p.o.Unordered && !p.send(ctx, p.results, t) {
		return false
	}
	if p.o.Unordered {
		p.pending.Add(1)
	}
	if !p.send(ctx, p.work, t) {
		if p.o.Unordered {
			p.pending.Done()
		}
		return false
	}
	return true
}

func (p *processor[T, R]) send(ctx context.Context, to chan<- *task[T, R], t *task[T, R]) bool {
	select {
	case to <- t:
		return true
	case <-ctx.Done():
		return false
	}
}

// worker runs fn on items until there are no more; after ctx has ended it only
// empties the queue.
func (p *processor[T, R]) worker(ctx context.Context) {
	for t := range p.work {
		if ctx.Err() == nil {
			p.run(ctx, t)
		} else {
			t.err = contextError(ctx, "process")
			close(t.done)
		}
		if p.o.Unordered {
			p.send(ctx, p.results, t)
			p.pending.Done()
		}
	}
}

// run calls fn on a goroutine of its own, so that a Goexit in fn does not take the
// worker with it.
func (p *processor[T, R]) run(ctx context.Context, t *task[T, R]) {
	go guard(func() (err error) {
		t.result, err = p.fn(ctx, t.item)
		return err
	}, func(err error) {
		t.err = err
		close(t.done)
	})
	<-t.done
}

// consume yields results until the first error or until the consumer stops.
func (p *processor[T, R]) consume(ctx context.Context, yield func(R, error) bool) {
	var zero R
	for {
		t, ok, err := p.next(ctx)
		switch {
		case err != nil:
			yield(zero, err)
			return
		case !ok:
			return
		case t.err != nil:
			yield(zero, t.err)
			return
		}
		result := t.result
		t.result = zero
		goOn := yield(result, nil)
		t.release()
		<-p.slots
		if !goOn {
			return
		}
	}
}

// next waits for the next finished task; ok is false at the end.
func (p *processor[T, R]) next(ctx context.Context) (t *task[T, R], ok bool, err error) {
	select {
	case t, ok = <-p.results:
	case <-ctx.Done():
		return nil, false, contextError(ctx, "process")
	}
	if !ok {
		if ctx.Err() != nil {
			return nil, false, contextError(ctx, "process")
		}
		return nil, false, nil
	}
	select {
	case <-t.done:
		return t, true, nil
	case <-ctx.Done():
		return nil, false, contextError(ctx, "process")
	}
}
