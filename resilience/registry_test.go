package resilience_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

func newRegistry(t *testing.T, o resilience.RegistryOptions) *resilience.Registry {
	t.Helper()
	r, err := resilience.NewRegistry(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func registryNames(r *resilience.Registry) []string {
	var names []string
	for name := range r.All() {
		names = append(names, name)
	}
	return names
}

func TestRegistryOptions(t *testing.T) {
	_, err := resilience.NewRegistry(resilience.RegistryOptions{Max: -1, Breaker: resilience.BreakerOptions{Window: -1}})
	if !errors.Is(err, resilience.ErrOptions) {
		t.Errorf("NewRegistry = %v; want ErrOptions", err)
	}
}

func TestRegistrySameBreaker(t *testing.T) {
	r := newRegistry(t, resilience.RegistryOptions{Breaker: resilience.BreakerOptions{Consecutive: 1}})
	a := r.Breaker("a")
	if a != r.Breaker("a") || a == r.Breaker("b") || a.Name() != "a" {
		t.Error("breakers are not one for each name")
	}
	call(a, errBoom)
	if s := r.Breaker("b").State(); s != resilience.StateClosed {
		t.Errorf("b is %v; want closed: names are apart", s)
	}
	if got := registryNames(r); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("All = %v; want a, b", got)
	}
	if !r.Delete("a") || r.Delete("a") || r.Len() != 1 {
		t.Error("Delete does not report or delete")
	}
	n := 0
	for range r.Metrics() {
		n++
	}
	if n < 10 {
		t.Errorf("%d metrics; want those of b too", n)
	}
}

func TestRegistryBounded(t *testing.T) {
	r := newRegistry(t, resilience.RegistryOptions{Max: 3, Breaker: resilience.BreakerOptions{Consecutive: 1, OpenFor: time.Hour}})
	call(r.Breaker("open"), errBoom)
	for i := range 1000 {
		r.Breaker(fmt.Sprint("host", i))
		if r.Len() > 3 {
			t.Fatalf("Len = %d; want at most 3", r.Len())
		}
	}
	if s := r.Breaker("open").State(); s != resilience.StateOpen {
		t.Errorf("the open breaker is %v; want it kept while closed ones can go", s)
	}
	if s := r.Stats(); s.Evicted != 998 || s.Breakers != 3 {
		t.Errorf("Stats = %+v; want 998 evicted, 3 kept", s)
	}
}

func TestRegistryIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t, resilience.RegistryOptions{IdleTTL: time.Minute})
		r.Breaker("old")
		time.Sleep(40 * time.Second)
		r.Breaker("used")
		time.Sleep(40 * time.Second)
		r.Breaker("new")
		if got := registryNames(r); !slices.Equal(got, []string{"new", "used"}) {
			t.Errorf("All = %v; want new, used", got)
		}
	})
}
