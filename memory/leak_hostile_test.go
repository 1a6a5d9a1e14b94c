package memory_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

// TestLeakDetectorBoundedPanics: between samples nobody could recover it.
func TestLeakDetectorBoundedPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		d := newDetector(t, memory.LeakOptions{Window: 12 * time.Second, Bounded: func() int64 {
			if calls++; calls > 1 {
				panic("bounded")
			}
			return 0
		}})
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(13 * time.Second)
		if s := d.Stats(); s.Panics == 0 || s.SampleErrors != 1 {
			t.Errorf("Stats() = %+v; want the panics counted and one window left out", s)
		}
	})
}

// TestLeakDetectorStartsAgain after the ctx of the first Start ended.
func TestLeakDetectorStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{make: func(int) memory.LeakSample { return memory.LeakSample{HeapLive: 1} }}
		d := newDetector(t, memory.LeakOptions{Source: s.read, Window: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		d.Start(ctx)
		synctest.Wait()
		cancel()
		synctest.Wait()
		before := d.Stats().Samples
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if after := d.Stats().Samples; after <= before {
			t.Errorf("Start after the first ctx ended returned nil but took no sample: %d, then %d", before, after)
		}
	})
}

// TestLeakDetectorSourceExits: a source that ends its goroutine keeps no token.
func TestLeakDetectorSourceExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDetector(t, memory.LeakOptions{Source: func(context.Context) (memory.LeakSample, error) {
			runtime.Goexit()
			return memory.LeakSample{}, nil
		}})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			d.Sample(t.Context())
		}()
		<-ended
		d.Close() // the test would deadlock here
	})
}
