package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/perfblocks/perfblocks/examples/internal/load"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// loadSuite holds the load generator of examples/proof against vegeta: the same service
// at the same constant rate has to have the same latencies, with a pause of the service
// and without.
func loadSuite(r *bench.Report) error {
	for _, pause := range []bool{false, true} {
		if err := loadAgainstVegeta(r, pause); err != nil {
			return err
		}
	}
	return nil
}

const (
	loadRate    = 200 // requests per second
	loadMeasure = 5 * time.Second
	loadRounds  = 3
)

func loadAgainstVegeta(r *bench.Report, pause bool) error {
	var ours, theirs [2][]time.Duration // p50 and p99 of each round
	for round := range loadRounds {
		s := newLoadService(uint64(round), pause)
		samples := s.measureOurs()
		s.srv.Close()
		s = newLoadService(uint64(round), pause)
		metrics := s.measureVegeta()
		s.srv.Close()
		sum := load.Summarize(samples, 0, loadMeasure, nil)
		if uint64(sum.N) != metrics.Requests || sum.Good != sum.N && !pause || metrics.Success < 1 {
			return fmt.Errorf("load: ours sent %d requests, %d good; vegeta %d, %.2f of them answered", sum.N, sum.Good, metrics.Requests, metrics.Success)
		}
		for i, p := range []struct{ ours, theirs time.Duration }{{sum.P50, metrics.Latencies.P50}, {sum.P99, metrics.Latencies.P99}} {
			ours[i], theirs[i] = append(ours[i], p.ours), append(theirs[i], p.theirs)
		}
	}
	name := map[bool]string{false: "", true: ", service paused for a second"}[pause]
	for i, q := range []string{"p50", "p99"} {
		a, b := middle(ours[i]), middle(theirs[i])
		ratio := float64(a) / float64(b)
		r.Add(bench.Row{
			Measure: fmt.Sprintf("%s at %d requests a second%s", q, loadRate, name), Unit: "ms", Ours: float64(a) / 1e6,
			Peers: []bench.Value{{Name: "vegeta", Value: float64(b) / 1e6}}, Ratio: ratio, Goal: "within 10 % of vegeta's", OK: math.Abs(ratio-1) <= 0.1,
		})
	}
	return nil
}

func middle(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// loadService answers after a lognormal time around 20 ms, and not at all for a second
// in the middle if it pauses.
type loadService struct {
	srv   *httptest.Server
	start time.Time
	mu    sync.Mutex
	rnd   *rand.Rand // guarded by mu
}

func newLoadService(seed uint64, pause bool) *loadService {
	s := &loadService{rnd: rand.New(rand.NewPCG(seed, 1)), start: time.Now()}
	s.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		d := time.Duration(math.Exp(0.5*s.rnd.NormFloat64()) * float64(20*time.Millisecond))
		s.mu.Unlock()
		if at := time.Since(s.start); pause && at > 2*time.Second && at < 3*time.Second {
			d += 3*time.Second - at
		}
		time.Sleep(d)
		io.WriteString(w, "ok")
	}))
	return s
}

func (s *loadService) measureOurs() []load.Sample {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 10_000}}
	defer client.CloseIdleConnections()
	return load.Constant(context.Background(), loadRate, loadMeasure, func(ctx context.Context) load.Outcome {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.srv.URL, nil)
		if err != nil {
			return load.Outcome{}
		}
		res, err := client.Do(req)
		if err != nil {
			return load.Outcome{}
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return load.Outcome{Status: res.StatusCode, Right: err == nil && string(body) == "ok"}
	})
}

func (s *loadService) measureVegeta() *vegeta.Metrics {
	attacker := vegeta.NewAttacker()
	target := vegeta.NewStaticTargeter(vegeta.Target{Method: http.MethodGet, URL: s.srv.URL})
	m := &vegeta.Metrics{}
	for res := range attacker.Attack(target, vegeta.Rate{Freq: loadRate, Per: time.Second}, loadMeasure, "load") {
		m.Add(res)
	}
	m.Close()
	return m
}
