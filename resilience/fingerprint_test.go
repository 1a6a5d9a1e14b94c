package resilience_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/perfblocks/perfblocks/resilience"
)

// TestFingerprint checks that it is the one of a guard, tells kinds apart and is blind
// to numbers.
func TestFingerprint(t *testing.T) {
	g, err := resilience.NewGuard(resilience.GuardOptions{})
	if err != nil {
		t.Fatal(err)
	}
	one, two := errors.New("row 1 is locked"), errors.New("row 2 is locked")
	other, wrapped := errors.New("disk is full"), fmt.Errorf("save: %w", one)
	for _, err := range []error{one, two, other, wrapped} {
		if got, want := resilience.Fingerprint(err), g.Observe(err).Fingerprint; got != want || got == 0 {
			t.Errorf("Fingerprint(%v) = %x; the guard says %x", err, got, want)
		}
	}
	f := resilience.Fingerprint
	if f(one) != f(two) || f(one) == f(other) || f(one) == f(wrapped) || f(nil) != 0 {
		t.Errorf("fingerprints %x %x %x %x, of nil %x", f(one), f(two), f(other), f(wrapped), f(nil))
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}
