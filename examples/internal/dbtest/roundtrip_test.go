package dbtest

import (
	"flag"
	"testing"
)

// go test ./examples/internal/dbtest -run /RoundTrip -cases 10000 -seed 7
var (
	cases = flag.Int("cases", 120, "random indexes in the round trip")
	seed  = flag.Uint64("seed", 42, "seed of the random indexes")
)

func testRoundTrip(t *testing.T, s server) {
	c, err := RoundTrip(t.Context(), s.open(t), *cases, *seed)
	if err != nil || c.Lacking == 0 {
		t.Errorf("%+v: %v", c, err)
	}
	t.Logf("%+v", c)
}

func testHostileNames(t *testing.T, s server) {
	c, err := HostileNames(t.Context(), s.open(t), *cases/4, *seed)
	if err != nil || c.Refused == 0 {
		t.Errorf("%+v: %v", c, err)
	}
	t.Logf("%+v", c)
}
