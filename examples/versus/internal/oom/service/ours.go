package main

import (
	"context"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

// ours divides the limit: a third for the cache, a quarter for the requests, and the
// rest for the collector, the runtime and what is not Go's.
type ours struct {
	limit   *memory.Limit
	monitor *memory.Monitor
	cache   *memory.Cache[int, []byte]
	sem     *memory.Semaphore
}

func newOurs() (server, func(), error) {
	ctx := context.Background()
	now, err := memory.ReadStats()
	if err != nil {
		return nil, nil, err
	}
	o := &ours{}
	if o.limit, err = memory.SetLimit(ctx, memory.LimitOptions{Ratio: 0.8}); err != nil {
		return nil, nil, err
	}
	if o.monitor, err = memory.NewMonitor(memory.MonitorOptions{CollectInterval: 2 * time.Second, OptimizeInterval: 500 * time.Millisecond}); err != nil {
		return nil, nil, err
	}
	if err := o.monitor.Start(ctx); err != nil {
		return nil, nil, err
	}
	if o.cache, err = memory.NewCache(memory.CacheOptions[int, []byte]{MaxBytes: now.CgroupLimit / 3, Monitor: o.monitor}); err != nil {
		return nil, nil, err
	}
	o.sem, err = memory.NewSemaphore(memory.SemaphoreOptions{MaxBytes: now.CgroupLimit / 4, Monitor: o.monitor})
	return o, o.close, err
}

func (o *ours) close() {
	o.sem.Close()
	o.cache.Close()
	o.monitor.Close()
	o.limit.Close()
}

func (o *ours) admit(n int) (func(), bool) { return o.sem.TryAcquire(int64(n)) }
func (o *ours) get(key int) ([]byte, bool) { return o.cache.Get(key) }

func (o *ours) put(key int, value []byte) {
	_ = o.cache.Set(key, value) // refused under pressure: the request has its answer
}

func (o *ours) report(st *status) {
	st.Cached, st.Limit, st.Level = o.cache.Bytes(), o.limit.Bytes(), int(o.monitor.Level())
}
