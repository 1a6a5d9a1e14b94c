package oom_test

import (
	"os"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/examples/versus/internal/oom"
)

const (
	mib   = 1 << 20
	limit = 256 * mib
	cut   = 160 * mib
)

// service builds it, or skips the test where it could not be run.
func service(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("not in short mode: it takes half a minute")
	}
	g, err := oom.NewGroup("probe", limit)
	if err != nil {
		t.Skipf("no control group: %v", err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	program, err := oom.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// TestOthersAreKilled: without bounds, and with the runtime's limit alone, the service
// does not outlive its load.
func TestOthersAreKilled(t *testing.T) {
	program := service(t)
	for name, env := range map[string][]string{"naive": nil, "GOMEMLIMIT": {"GOMEMLIMIT=230MiB"}} {
		r, err := oom.Run(t.Context(), program, oom.Ask{Mode: "naive", Env: env, Limit: limit, Load: time.Minute, Patience: 90 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: lived %v, peak %d MiB, %+v", name, r.Lived, r.Peak/mib, r.Last)
		if !r.Killed {
			t.Errorf("%s was not killed", name)
		}
	}
}

// TestOursLives through full load and a cut of the limit.
func TestOursLives(t *testing.T) {
	program := service(t)
	r, err := oom.Run(t.Context(), program, oom.Ask{
		Mode: "ours", Limit: limit, Load: 6 * time.Second, CutTo: cut, RuntimeCut: cut * 8 / 10, Rest: 4 * time.Second, Patience: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("peak %d MiB of %d, then %d of %d; reacted after %v; %+v", r.Peak/mib, limit/mib, r.CutPeak/mib, cut/mib, r.Reacted, r.Last)
	asked := r.Last.Answered + r.Last.Late + r.Last.Refused
	if r.Killed || !r.Last.Ended || asked == 0 {
		t.Fatal("the service did not reach its end")
	}
	// A machine with other work cannot carry the load, whatever the memory.
	if os.Getenv("PERF_OOM") == "" {
		t.Log("set PERF_OOM=1 on an idle machine to judge the answers as well")
	} else if r.Last.Answered*10 < asked*9 || r.Last.Late > 0 || r.Last.Slow > 0 {
		t.Errorf("of %d requests %d were answered within a second, %d late, %d refused late", asked, r.Last.Answered, r.Last.Late, r.Last.Slow)
	}
	if r.Peak > limit*9/10 || r.CutPeak > cut*9/10 {
		t.Errorf("the peak was %d MiB of %d, then %d of %d; want at most 90 %%", r.Peak/mib, limit/mib, r.CutPeak/mib, cut/mib)
	}
	if r.Reacted == 0 || r.Reacted > 1500*time.Millisecond {
		t.Errorf("limit and cache followed the cut after %v; want within 1.5s", r.Reacted)
	}
}
