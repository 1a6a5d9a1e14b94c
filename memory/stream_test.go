package memory_test

import (
	"context"
	"errors"
	"iter"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

// source yields the numbers up to n, then err if that is not nil.
func source(n int, err error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

func TestBatches(t *testing.T) {
	boom := errors.New("boom")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	sizeOf := func(i int) int64 { return int64(i) }
	for _, tc := range []struct {
		name string
		ctx  context.Context
		src  iter.Seq2[int, error]
		opts memory.BatchOptions[int]
		want [][]int
		err  error
	}{
		{"by items", t.Context(), source(5, nil), memory.BatchOptions[int]{MaxItems: 2}, [][]int{{0, 1}, {2, 3}, {4}}, nil},
		{"by bytes", t.Context(), source(6, nil), memory.BatchOptions[int]{MaxBytes: 6, SizeOf: sizeOf}, [][]int{{0, 1, 2, 3}, {4}, {5}}, nil},
		{"oversize", t.Context(), source(4, nil), memory.BatchOptions[int]{MaxBytes: 1, SizeOf: sizeOf}, [][]int{{0, 1}, {2}, {3}}, nil},
		{"negative sizes", t.Context(), source(3, nil), memory.BatchOptions[int]{MaxBytes: 1, SizeOf: func(int) int64 { return -1 }}, [][]int{{0, 1, 2}}, nil},
		{"empty", t.Context(), source(0, nil), memory.BatchOptions[int]{}, nil, nil},
		{"error after items", t.Context(), source(3, boom), memory.BatchOptions[int]{MaxItems: 2}, [][]int{{0, 1}, {2}}, boom},
		{"error at once", t.Context(), source(0, boom), memory.BatchOptions[int]{}, nil, boom},
		{"ended", ended, source(3, nil), memory.BatchOptions[int]{}, nil, context.Canceled},
		{"options", t.Context(), source(3, nil), memory.BatchOptions[int]{MaxItems: -1}, nil, memory.ErrOptions},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got [][]int
			var err error
			for batch, e := range memory.Batches(tc.ctx, tc.src, tc.opts) {
				if err != nil {
					t.Fatal("something came after the error")
				}
				if err = e; e == nil {
					got = append(got, batch)
				}
			}
			if !slices.EqualFunc(got, tc.want, slices.Equal) || !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("Batches = %v, %v; want %v, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestBatchesStopEarly(t *testing.T) {
	read := 0
	src := func(yield func(int, error) bool) {
		for ; yield(read, nil); read++ {
		}
	}
	for range memory.Batches(t.Context(), src, memory.BatchOptions[int]{MaxItems: 3}) {
		break
	}
	if read != 2 {
		t.Errorf("read up to %d; want no further than the batch", read)
	}
}

// TestBatchesTruncated: a source that ends because ctx has must not look complete.
func TestBatchesTruncated(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	src := func(yield func(int, error) bool) {
		yield(1, nil)
		cancel()
	}
	items, last := 0, error(nil)
	for batch, err := range memory.Batches(ctx, src, memory.BatchOptions[int]{}) {
		items += len(batch)
		last = err
	}
	if items != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("Batches = %d items, %v; want 1, then Canceled", items, last)
	}
}

func TestBatchesUnderPressure(t *testing.T) {
	g := newGauge(10, 100)
	m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
	var sizes []int
	for batch := range memory.Batches(t.Context(), source(30, nil), memory.BatchOptions[int]{MaxItems: 16, Monitor: m}) {
		sizes = append(sizes, len(batch))
		g.use(75 + 20*int64(len(sizes)-1))
		m.Check(t.Context())
	}
	if want := []int{16, 8, 2, 2, 2}; !slices.Equal(sizes, want) {
		t.Errorf("batch sizes = %v; want %v", sizes, want)
	}
}

func TestProcessOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The first items take longest.
		fn := func(_ context.Context, i int) (int, error) {
			time.Sleep(time.Duration(10-i%10) * time.Second)
			return i * i, nil
		}
		for _, unordered := range []bool{false, true} {
			var got, want []int
			for v, err := range memory.Process(t.Context(), source(50, nil), fn, memory.ProcessOptions[int]{Workers: 4, Unordered: unordered}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, v)
			}
			for i := range 50 {
				want = append(want, i*i)
			}
			if unordered {
				if slices.IsSorted(got) {
					t.Error("unordered results came in order although later ones were done first")
				}
				slices.Sort(got)
			}
			if !slices.Equal(got, want) {
				t.Errorf("unordered %t: %v; want %v", unordered, got, want)
			}
		}
	})
}

// TestProcessBoundsBytes counts the bytes between the source and the consumer.
func TestProcessBoundsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, unordered := range []bool{false, true} {
			var inFlight, peak atomic.Int64
			size := func(i int) int64 {
				if i == 17 {
					return 500 // alone
				}
				return 30
			}
			fn := func(_ context.Context, i int) (int, error) {
				n := inFlight.Add(size(i))
				for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
				}
				time.Sleep(time.Duration(i%5) * time.Second)
				if i == 17 && n != 500 {
					t.Errorf("the oversize item ran beside others: %d in flight", n)
				}
				return i, nil
			}
			count := 0
			for i, err := range memory.Process(t.Context(), source(40, nil), fn, memory.ProcessOptions[int]{Workers: 8, MaxBytes: 100, SizeOf: size, Unordered: unordered}) {
				if err != nil {
					t.Fatal(err)
				}
				count++
				inFlight.Add(-size(i))
				time.Sleep(100 * time.Millisecond)
			}
			if count != 40 || peak.Load() != 500 {
				t.Errorf("unordered %t: %d results, peak %d; want 40, 500", unordered, count, peak.Load())
			}
		}
	})
}

// TestProcessBoundsItems: items without size are bounded by the workers.
func TestProcessBoundsItems(t *testing.T) {
	for _, unordered := range []bool{false, true} {
		for _, workers := range []int{1, 4} {
			synctest.Test(t, func(t *testing.T) {
				inFlight, peak := 0, 0
				var mu sync.Mutex
				count := func(n int) {
					mu.Lock()
					defer mu.Unlock()
					inFlight += n
					peak = max(peak, inFlight)
				}
				src := func(yield func(int, error) bool) {
					for i := range 100 {
						if count(1); !yield(i, nil) {
							return
						}
					}
				}
				fn := func(_ context.Context, i int) (int, error) { return i, nil }
				o := memory.ProcessOptions[int]{Workers: workers, Unordered: unordered, SizeOf: func(int) int64 { return 0 }}
				for range memory.Process(t.Context(), src, fn, o) {
					synctest.Wait()
					count(-1)
				}
				if want := 2*workers + 1; peak != want { // one is the source's
					t.Errorf("workers %d, unordered %t: %d items in flight; want %d", workers, unordered, peak, want)
				}
			})
		}
	}
}

func TestProcessFails(t *testing.T) {
	boom := errors.New("boom")
	ok := func(_ context.Context, i int) (int, error) { return i, nil }
	at := func(n int, f func() error) func(context.Context, int) (int, error) {
		return func(ctx context.Context, i int) (int, error) {
			if i == n {
				return 0, f()
			}
			return i, nil
		}
	}
	for _, tc := range []struct {
		name  string
		src   iter.Seq2[int, error]
		fn    func(context.Context, int) (int, error)
		opts  memory.ProcessOptions[int]
		count int // results before the error, in order
		want  error
	}{
		{"source", source(5, boom), ok, memory.ProcessOptions[int]{}, 5, boom},
		{"function", source(50, nil), at(7, func() error { return boom }), memory.ProcessOptions[int]{}, 7, boom},
		{"panic", source(50, nil), at(7, func() error { panic(boom) }), memory.ProcessOptions[int]{}, 7, boom},
		{"goexit", source(50, nil), at(7, func() error { runtime.Goexit(); return nil }), memory.ProcessOptions[int]{}, 7, nil},
		{"source panics", func(yield func(int, error) bool) { yield(0, nil); panic(boom) }, ok, memory.ProcessOptions[int]{}, 1, boom},
		{"options", source(5, nil), ok, memory.ProcessOptions[int]{Workers: -1}, 0, memory.ErrOptions},
		{"too many workers", source(5, nil), ok, memory.ProcessOptions[int]{Workers: math.MaxInt}, 0, memory.ErrOptions},
	} {
		for _, unordered := range []bool{false, true} {
			t.Run(tc.name, func(t *testing.T) {
				tc.opts.Unordered = unordered
				count, failed := 0, error(nil)
				for _, err := range memory.Process(t.Context(), tc.src, tc.fn, tc.opts) {
					if failed != nil {
						t.Fatal("something came after the error")
					}
					if failed = err; err == nil {
						count++
					}
				}
				if failed == nil || tc.want != nil && !errors.Is(failed, tc.want) || !unordered && count != tc.count {
					t.Errorf("unordered %t: %d results, then %v; want %d, then %v", unordered, count, failed, tc.count, tc.want)
				}
			})
		}
	}
}

// TestProcessLeavesNothing: whatever ends the iteration, no goroutine is left when
// it returns; synctest fails otherwise.
func TestProcessLeavesNothing(t *testing.T) {
	wait := func(ctx context.Context, i int) (int, error) {
		select {
		case <-time.After(time.Duration(i) * time.Second):
			return i, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	for _, unordered := range []bool{false, true} {
		o := memory.ProcessOptions[int]{Workers: 3, Unordered: unordered}
		synctest.Test(t, func(t *testing.T) {
			for range memory.Process(t.Context(), source(100, nil), wait, o) {
				break
			}
		})
		synctest.Test(t, func(t *testing.T) {
			ended := 0
			slow := func(ctx context.Context, i int) (int, error) {
				if i > 0 {
					<-ctx.Done()
					time.Sleep(time.Second)
					ended++
				}
				return i, nil
			}
			for range memory.Process(t.Context(), source(2, nil), slow, memory.ProcessOptions[int]{Workers: 2, Unordered: unordered}) {
				synctest.Wait() // the other item is being worked on
				break
			}
			if ended != 1 {
				t.Errorf("unordered %t: Process returned before its worker", unordered)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var failed error
			for _, err := range memory.Process(ctx, source(100, nil), wait, o) {
				failed = err
			}
			if !errors.Is(failed, context.DeadlineExceeded) {
				t.Errorf("unordered %t: ended with %v; want DeadlineExceeded", unordered, failed)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if recover() != "consumer" {
					t.Error("the consumer's panic did not pass through")
				}
			}()
			for range memory.Process(t.Context(), source(100, nil), wait, o) {
				panic("consumer")
			}
		})
	}
}

// TestProcessCancelledAnywhere: a ctx that ends while an item is read, sized or
// worked on ends the iteration with its error, and a size that panics with that.
func TestProcessCancelledAnywhere(t *testing.T) {
	boom := errors.New("boom")
	for _, unordered := range []bool{false, true} {
		for at := range 8 {
			for _, where := range []string{"source", "size", "function", "consumer", "panic"} {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					closed := false
					hit := func(i int, here string) {
						if i == at && here == where {
							cancel()
						}
					}
					src := func(yield func(int, error) bool) {
						defer func() { closed = true }()
						for i := range 50 {
							if hit(i, "source"); !yield(i, nil) {
								return
							}
						}
					}
					fn := func(_ context.Context, i int) (int, error) { hit(i, "function"); return i, nil }
					o := memory.ProcessOptions[int]{Workers: 2, Unordered: unordered, SizeOf: func(i int) int64 {
						if hit(i, "size"); i == at && where == "panic" {
							panic(boom)
						}
						return 1 << 30 // each runs alone
					}}
					var last error
					for i, err := range memory.Process(ctx, src, fn, o) {
						hit(i, "consumer")
						last = err
					}
					want := context.Canceled
					if where == "panic" {
						want = boom
					}
					if !errors.Is(last, want) || !closed {
						t.Errorf("%s at %d, unordered %t: ended with %v, source closed %t; want %v", where, at, unordered, last, closed, want)
					}
				})
			}
		}
	}
}
