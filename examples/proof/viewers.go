package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	viewers    = 50
	viewerTime = 8 * time.Second // CPU time is told in steps of 10 ms
)

// pageCPU is the share of one core that the service needs while nothing happens, and
// how much more it needs while that many look at its live page.
func pageCPU(ctx context.Context, s *server) (idle, viewing float64, err error) {
	idle, err = cpuShare(ctx, s, viewerTime/2)
	if err != nil {
		return 0, 0, err
	}
	watching, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	var mu sync.Mutex
	least := -1 // events that a viewer has seen
	for range viewers {
		wg.Go(func() {
			n, e := look(watching, s.url+"/debug/performance/events")
			mu.Lock()
			defer mu.Unlock()
			err = errors.Join(err, e)
			if least < 0 || n < least {
				least = n
			}
		})
	}
	wait(ctx, time.Second) // until all have come
	both, e := cpuShare(ctx, s, viewerTime)
	stop()
	wg.Wait()
	if least < int(viewerTime.Seconds()) && ctx.Err() == nil {
		err = errors.Join(err, fmt.Errorf("a viewer saw %d events in %v", least, viewerTime))
	}
	// Once more, since after a run a service has less and less to do.
	again, e2 := cpuShare(ctx, s, viewerTime/2)
	idle = (idle + again) / 2
	return idle, max(both-idle, 0), errors.Join(err, e, e2)
}

// cpuShare is the share of one core that the service uses for a while.
func cpuShare(ctx context.Context, s *server, d time.Duration) (float64, error) {
	before, err1 := cpuTime(s.cmd.Process.Pid)
	start := time.Now()
	wait(ctx, d)
	after, err2 := cpuTime(s.cmd.Process.Pid)
	return float64(after-before) / float64(time.Since(start)), errors.Join(err1, err2)
}

// look counts events until ctx ends.
func look(ctx context.Context, address string) (events int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "data:") {
				events++
			}
		}
		err = errors.Join(lines.Err(), res.Body.Close())
	}
	if ctx.Err() != nil {
		return events, nil
	}
	return events, errors.Join(errors.New("the page's events ended"), err)
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
