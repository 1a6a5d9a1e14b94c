package imageopt

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAdmissionOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(10, 10, -1)
		if err := a.acquire(t.Context(), 6); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var got []int64
		for _, need := range []int64{8, 1, 2, 10} { // the small ones fit but must not overtake
			go func() {
				if err := a.acquire(t.Context(), need); err != nil {
					t.Error(err)
				}
				mu.Lock()
				got = append(got, need)
				mu.Unlock()
				time.Sleep(time.Second)
				a.release(need)
			}()
			synctest.Wait()
		}
		if used, running, waiting := a.state(); used != 6 || running != 1 || waiting != 4 {
			t.Errorf("state = %d, %d, %d; want 6, 1, 4", used, running, waiting)
		}
		a.release(6)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(got) != 4 || got[3] != 10 || !slices.Contains(got[:2], 8) {
			t.Errorf("order of admission = %v; want the queue's", got)
		}
	})
}

func TestAdmissionRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(10, 1, 3*time.Second)
		if err := a.acquire(t.Context(), 11); !errors.Is(err, ErrTooLarge) {
			t.Errorf("acquire(11 of 10) = %v; want ErrTooLarge", err)
		}
		if err := a.acquire(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- a.acquire(ctx, 1) }()
		synctest.Wait()
		if err := a.acquire(t.Context(), 1); !errors.Is(err, ErrBusy) {
			t.Errorf("acquire with a full queue = %v; want ErrBusy", err)
		}
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled waiter = %v; want Canceled", err)
		}
		start := time.Now()
		if err := a.acquire(t.Context(), 1); !errors.Is(err, ErrBusy) || time.Since(start) != 3*time.Second {
			t.Errorf("waiter = %v after %v; want ErrBusy after MaxWait", err, time.Since(start))
		}
		a.release(10)
		if used, running, waiting := a.state(); used != 0 || running != 0 || waiting != 0 {
			t.Errorf("state = %d, %d, %d; want nothing", used, running, waiting)
		}
	})
}

// Model: whatever comes, goes and gives up, the bound holds and nothing stays booked.
func TestAdmissionModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(100, 1000, 5*time.Second)
		rng := rand.New(rand.NewPCG(5, 6))
		var wg sync.WaitGroup
		for range 300 {
			need, hold := 1+rng.Int64N(100), time.Duration(rng.IntN(2000))*time.Millisecond
			patience := time.Duration(rng.IntN(8000)) * time.Millisecond
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if a.acquire(ctx, need) != nil {
					return
				}
				if used, _, _ := a.state(); used > 100 {
					t.Errorf("%d bytes booked of 100", used)
				}
				time.Sleep(hold)
				a.release(need)
			})
			time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		}
		wg.Wait()
		if used, running, waiting := a.state(); used != 0 || running != 0 || waiting != 0 {
			t.Errorf("state = %d, %d, %d; want nothing", used, running, waiting)
		}
	})
}
