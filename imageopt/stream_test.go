package imageopt_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/perfblocks/perfblocks/imageopt"
)

// streamSources are JPEGs whose results are made while they are decoded, and one that is
// then decoded again.
func streamSources(t testing.TB) map[string][]byte {
	base := toJPEG(t, photo(400, 300), 85)
	sos := bytes.Index(base, []byte{0xff, 0xda})
	return map[string][]byte{
		"sequential": base, "progressive": progressiveNoise(t, 400, 300),
		"decoded twice": append(base[:len(base)-2:len(base)-2], base[sos:]...),
	}
}

var streamSpecs = []imageopt.Spec{
	{Width: 150, Format: imageopt.FormatJPEG}, {Width: 90, Format: imageopt.FormatPNG}, {Width: 40, Format: imageopt.FormatJPEG},
}

// looks is a context that ends when it has been asked so many times, by whomever.
type looks struct {
	context.Context
	left atomic.Int64
}

func (c *looks) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func endsAfter(ctx context.Context, n int64) *looks {
	c := &looks{Context: ctx}
	c.left.Store(n)
	return c
}

// TestVariantsEndAnywhere: wherever ctx ends, the sequence says so once, and nothing is
// left: no goroutine, no memory.
func TestVariantsEndAnywhere(t *testing.T) {
	for name, src := range streamSources(t) {
		for _, workers := range []int{1, 3} {
			synctest.Test(t, func(t *testing.T) {
				o := newOptimizer(t, imageopt.Options{Workers: workers})
				most := int64(1 << 30)
				all := endsAfter(t.Context(), most)
				for _, err := range o.Variants(all, src, streamSpecs) {
					if err != nil {
						t.Fatal(err)
					}
				}
				n := most - all.left.Load()
				for k := int64(1); k < n; k += 1 + n/25 {
					ended := 0
					for v, err := range o.Variants(endsAfter(t.Context(), k), src, streamSpecs) {
						if ended > 0 || err != nil && (!errors.Is(err, context.Canceled) || v.Index != -1) {
							t.Errorf("%s, %d workers, ended at look %d of %d: variant %d, %v", name, workers, k, n, v.Index, err)
						}
						if err != nil {
							ended++
						}
					}
					synctest.Wait()
					if s := o.Stats(); ended != 1 || s.Memory != 0 || s.Running != 0 {
						t.Errorf("%s, %d workers, ended at look %d of %d: %d errors, %d bytes, %d jobs", name, workers, k, n, ended, s.Memory, s.Running)
					}
				}
			})
		}
	}
}

// TestVariantsAreLeftEarly: a consumer that stops, or panics, leaves nothing behind.
func TestVariantsAreLeftEarly(t *testing.T) {
	for name, src := range streamSources(t) {
		synctest.Test(t, func(t *testing.T) {
			o := newOptimizer(t, imageopt.Options{})
			leave := func(panics bool) (n int) {
				defer func() {
					if p := recover(); (p != nil) != panics {
						t.Errorf("%s: recovered %v", name, p)
					}
				}()
				for _, err := range o.Variants(t.Context(), src, streamSpecs) {
					if err != nil {
						t.Fatal(err)
					}
					if n++; panics {
						panic("consumer")
					}
					break
				}
				return n
			}
			for _, panics := range []bool{false, true} {
				n := leave(panics)
				synctest.Wait()
				if s := o.Stats(); !panics && n != 1 || s.Memory != 0 || s.Running != 0 {
					t.Errorf("%s, panics %v: %d variants, %d bytes, %d jobs", name, panics, n, s.Memory, s.Running)
				}
			}
		})
	}
}
