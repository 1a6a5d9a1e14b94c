package resilience_test

import (
	"errors"
	"net/http"
	"os"
	"testing"

	"github.com/perfblocks/perfblocks/resilience"
)

// TestClassifyByType covers what is told by type or text; the types of drivers are
// tested beside the drivers, in examples/versus/classify.
func TestClassifyByType(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want resilience.Class
	}{
		{http.ErrNotSupported, resilience.ClassPermanent},
		{&http.MaxBytesError{Limit: 1}, resilience.ClassInvalid},
		{errors.ErrUnsupported, resilience.ClassPermanent},
		{os.ErrClosed, resilience.ClassPermanent},
		{errors.New("invalid connection"), resilience.ClassUnavailable},
		{errors.New("http: something else"), resilience.ClassUnknown},
	} {
		if got := resilience.Classify(tt.err).Class; got != tt.want {
			t.Errorf("Classify(%v).Class = %v; want %v", tt.err, got, tt.want)
		}
	}
	err := errors.New("unknown to all")
	resilience.Classify(err)
	if n := testing.AllocsPerRun(100, func() { resilience.Classify(err) }); n != 0 {
		t.Errorf("Classify of an unknown error: %v allocs; want 0", n)
	}
}
