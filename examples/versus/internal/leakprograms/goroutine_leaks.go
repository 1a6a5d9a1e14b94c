package leakprograms

import (
	"context"
	"net"
	"sync"
	"time"
	"weak"
)

func goroutineLeaks() []Program {
	return []Program{
		{Name: "goroutines sending to nobody", Leaks: Goroutines, start: blockedSenders},
		{Name: "goroutines at a locked mutex", Leaks: Goroutines, start: blockedAtMutex},
		{Name: "goroutines in select", Leaks: Goroutines, start: blockedInSelect},
		{Name: "connections never closed", Leaks: Goroutines, start: openConnections},
		{Name: "tickers never stopped", Leaks: Goroutines, start: tickers},
		{Name: "two groups at different rates", Leaks: Goroutines, start: twoGroups},
	}
}

// unlink returns what breaks n's cycle later without keeping n reachable.
func unlink(n *node) func() {
	w := weak.Make(n)
	return func() {
		if n := w.Value(); n != nil {
			n.peer.peer, n.peer, n.data = nil, nil, nil
		}
	}
}

// handle stands for a request whose goroutine ends by itself.
func handle(wg *sync.WaitGroup) { wg.Go(func() { churn(16 * kib) }) }

func blockedSenders() run {
	var results []chan int
	return run{
		step: func(int) {
			for range 4 { // the caller has given up after its timeout
				c := make(chan int)
				results = append(results, c)
				go func() { c <- 1 }()
			}
			var wg sync.WaitGroup
			for range 20 {
				handle(&wg)
			}
			wg.Wait()
		},
		stop: func() {
			for _, c := range results {
				<-c
			}
		},
	}
}

func blockedAtMutex() run {
	var mu sync.Mutex
	mu.Lock() // and an early return without Unlock
	var wg sync.WaitGroup
	return run{
		step: func(int) {
			for range 3 {
				wg.Go(func() {
					mu.Lock()
					defer mu.Unlock()
				})
			}
			churn(mib)
		},
		stop: func() { mu.Unlock(); wg.Wait() },
	}
}

func blockedInSelect() run {
	never, end := make(chan struct{}), make(chan struct{})
	ctx := context.WithoutCancel(context.Background())
	return run{
		step: func(int) {
			for range 5 {
				go func() {
					select {
					case <-ctx.Done():
					case <-never:
					case <-end:
					}
				}()
			}
			churn(mib)
		},
		stop: func() { close(end) },
	}
}

// openConnections is a server that reads from clients who never hang up.
func openConnections() run {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // no loopback: nothing can be shown
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 512))
			})
		}
	})
	var clients []net.Conn
	return run{
		step: func(int) {
			for range 2 {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					panic(err)
				}
				clients = append(clients, c)
			}
			time.Sleep(5 * time.Millisecond) // until the server has accepted
		},
		stop: func() {
			l.Close()
			for _, c := range clients {
				c.Close()
			}
			wg.Wait()
		},
	}
}

func tickers() run {
	end := make(chan struct{})
	return run{
		step: func(int) {
			for range 3 {
				t := time.NewTicker(time.Hour)
				go func() {
					for {
						select {
						case <-t.C:
						case <-end:
							return
						}
					}
				}()
			}
			churn(mib)
		},
		stop: func() { close(end) },
	}
}

func twoGroups() run {
	end := make(chan struct{})
	slow := func() { <-end }
	fast := func() { <-end }
	return run{
		step: func(int) {
			go slow()
			for range 7 {
				go fast()
			}
			churn(mib)
		},
		stop: func() { close(end) },
	}
}
