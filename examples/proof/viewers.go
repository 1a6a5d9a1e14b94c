package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	viewers    = 50
	viewerTime = 5 * time.Second
)

// pageCPU is the share of one core that the service needs while that many look at its
// live page and nothing else happens.
func pageCPU(ctx context.Context, s *server) (share float64, err error) {
	watching, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	var mu sync.Mutex
	for range viewers {
		wg.Go(func() {
			e := look(watching, s.url+"/debug/performance/events")
			mu.Lock()
			defer mu.Unlock()
			err = errors.Join(err, e)
		})
	}
	wait(ctx, time.Second) // until all have come
	before, e1 := cpuTime(s.cmd.Process.Pid)
	start := time.Now()
	wait(ctx, viewerTime)
	after, e2 := cpuTime(s.cmd.Process.Pid)
	elapsed := time.Since(start)
	stop()
	wg.Wait()
	return float64(after-before) / float64(elapsed), errors.Join(err, e1, e2)
}

// look reads events until ctx ends.
func look(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		err = errors.Join(err, res.Body.Close())
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errors.New("the page's events ended"), err)
}

// cpuTime is what a process has used so far, on Linux.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // a name may hold spaces
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("stat of process %d: %q", pid, text)
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 everywhere
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}
