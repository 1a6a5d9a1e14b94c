// Command service is a cache in front of a slow backend, with its own load: requests
// come at a fixed rate, each takes a value of 16 to 128 KiB, scratch space of the same
// size, and 100 ms of waiting for the backend.
//
// It prints a line of JSON every 50 ms. With -pause the load stops once in the middle,
// until a line comes on standard input.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	keys       = 20_000
	backend    = 100 * time.Millisecond
	inTime     = time.Second
	reportTick = 50 * time.Millisecond
)

// status is one line of the output. Counts are of requests since the start.
type status struct {
	Answered int64 `json:"answered"` // within a second of the moment they were due
	Late     int64 `json:"late"`
	Refused  int64 `json:"refused"` // at once
	Slow     int64 `json:"slow"`    // refused, but over a second after they were due
	Open     int64 `json:"open"`
	Cached   int64 `json:"cached"` // bytes; of ours alone
	Limit    int64 `json:"limit"`  // of the runtime, bytes; of ours alone
	Level    int   `json:"level"`  // of ours alone
	Paused   bool  `json:"paused"`
	Ended    bool  `json:"ended"`
}

// server is what stands between the load and the backend.
type server interface {
	// admit takes room for a request of n bytes; ok is false if there is none.
	admit(n int) (release func(), ok bool)
	get(key int) ([]byte, bool)
	put(key int, value []byte)
	report(*status)
}

type counters struct{ answered, late, refused, slow, open atomic.Int64 }

func main() {
	mode := flag.String("mode", "naive", "naive, or ours")
	rate := flag.Int("rate", 1000, "requests a `second`")
	load := flag.Duration("load", 10*time.Second, "how long, before the pause if there is one")
	rest := flag.Duration("rest", 0, "how long after the pause; 0: no pause")
	flag.Parse()
	s, stop, err := newServer(*mode)
	if err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(2)
	}
	defer stop()
	var c counters
	var paused atomic.Bool
	ended := make(chan struct{})
	var reports sync.WaitGroup
	reports.Go(func() { tell(s, &c, &paused, ended) })
	run(s, &c, *rate, *load)
	if *rest > 0 {
		paused.Store(true)
		bufio.NewReader(os.Stdin).ReadString('\n')
		paused.Store(false)
		run(s, &c, *rate, *rest)
	}
	close(ended)
	reports.Wait()
}

func newServer(mode string) (server, func(), error) {
	switch mode {
	case "naive":
		return newNaive()
	case "ours":
		return newOurs()
	}
	return nil, nil, fmt.Errorf("unknown mode %q", mode)
}

// run makes requests for d and waits for the last one. What could not be started in
// time is started late, and counts from when it was due.
func run(s server, c *counters, rate int, d time.Duration) {
	start := time.Now()
	gap := time.Second / time.Duration(rate)
	var open sync.WaitGroup
	for i := 0; ; i++ {
		due := start.Add(time.Duration(i) * gap)
		if due.Sub(start) >= d {
			break
		}
		time.Sleep(time.Until(due))
		key := rand.IntN(keys)
		c.open.Add(1)
		open.Go(func() {
			defer c.open.Add(-1)
			c.count(request(s, key), time.Since(due))
		})
	}
	open.Wait()
}

func (c *counters) count(answered bool, took time.Duration) {
	switch {
	case answered && took <= inTime:
		c.answered.Add(1)
	case answered:
		c.late.Add(1)
	case took <= inTime:
		c.refused.Add(1)
	default:
		c.refused.Add(1)
		c.slow.Add(1)
	}
}

// request answers one request, or reports that it was refused.
func request(s server, key int) bool {
	n := 16<<10 + key*7919%(112<<10)
	release, ok := s.admit(2 * n)
	if !ok {
		return false
	}
	defer release()
	scratch := fill(n, key)
	value, ok := s.get(key)
	time.Sleep(backend)
	if !ok {
		value = fill(n, key)
		s.put(key, value)
	}
	return len(value) == n && scratch[n-1] == value[n-1]
}

func fill(n, key int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 64 {
		b[i] = byte(key)
	}
	b[n-1] = byte(key)
	return b
}

// tell prints a line every tick and a last one.
func tell(s server, c *counters, paused *atomic.Bool, ended <-chan struct{}) {
	out := json.NewEncoder(os.Stdout)
	tick := time.NewTicker(reportTick)
	defer tick.Stop()
	for more := true; more; {
		select {
		case <-tick.C:
		case <-ended:
			more = false
		}
		st := status{
			Answered: c.answered.Load(), Late: c.late.Load(), Refused: c.refused.Load(), Slow: c.slow.Load(),
			Open: c.open.Load(), Paused: paused.Load(), Ended: !more,
		}
		s.report(&st)
		if out.Encode(st) != nil {
			return // nobody listens any more
		}
	}
}
