package main

import (
	"context"
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/allegro/bigcache/v3"
	"github.com/coocood/freecache"
	"github.com/dgraph-io/ristretto/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"

	"github.com/perfblocks/perfblocks/memory"
)

const oursScan = "perfblocks scan-resistant"

// cachePeer is a cache of [string, []byte] of one library.
type cachePeer struct {
	name      string
	get       func(string) ([]byte, bool)
	set       func(string, []byte)
	settle    func() // waits until what was set has been worked in
	len       func() int
	close     func()
	mayRefuse bool // forgets some Sets by design
}

func closeAll(caches []*cachePeer) {
	for _, c := range caches {
		c.close()
	}
}

func nothing() {}

// cachePeers makes caches of n entries, ours first. freecache and bigcache can only
// be bounded by bytes: they get enough for that many.
func cachePeers(n int) ([]*cachePeer, error) {
	var caches []*cachePeer
	for _, make := range cacheMakers() {
		c, err := make(n)
		if err != nil {
			closeAll(caches)
			return nil, err
		}
		caches = append(caches, c)
	}
	return caches, nil
}

func cacheMakers() []func(int) (*cachePeer, error) {
	return []func(int) (*cachePeer, error){
		func(n int) (*cachePeer, error) { return oursPeer(ours, n, memory.PolicyLRU) },
		golangLRU, otterPeer, theinePeer, ristrettoPeer, freecachePeer, bigcachePeer,
		func(n int) (*cachePeer, error) { return oursPeer(oursScan, n, memory.PolicyScanResistant) },
	}
}

// oursPeer bounds bytes as well, as a user would: by enough for n entries.
func oursPeer(name string, n int, p memory.Policy) (*cachePeer, error) {
	c, err := memory.NewCache(memory.CacheOptions[string, []byte]{MaxItems: n, MaxBytes: int64(n) << 10, Policy: p})
	if err != nil {
		return nil, err
	}
	return &cachePeer{
		name: name, get: c.Get, settle: nothing, len: c.Len, close: func() { c.Close() },
		set: func(k string, v []byte) {
			if err := c.Set(k, v); err != nil {
				panic(err) // neither bound is below an entry
			}
		},
	}, nil
}

func golangLRU(n int) (*cachePeer, error) {
	c, err := lru.New[string, []byte](n)
	if err != nil {
		return nil, err
	}
	return &cachePeer{name: "golang-lru", get: c.Get, set: func(k string, v []byte) { c.Add(k, v) }, settle: nothing, len: c.Len, close: nothing}, nil
}

func otterPeer(n int) (*cachePeer, error) {
	c, err := otter.New(&otter.Options[string, []byte]{MaximumSize: n})
	if err != nil {
		return nil, err
	}
	return &cachePeer{
		name: "otter", get: c.GetIfPresent, set: func(k string, v []byte) { c.Set(k, v) },
		settle: c.CleanUp, len: c.EstimatedSize, close: func() { c.StopAllGoroutines() },
	}, nil
}

func theinePeer(n int) (*cachePeer, error) {
	c, err := theine.NewBuilder[string, []byte](int64(n)).Build()
	if err != nil {
		return nil, err
	}
	return &cachePeer{name: "theine", get: c.Get, set: func(k string, v []byte) { c.Set(k, v, 1) }, settle: c.Wait, len: c.Len, close: c.Close}, nil
}

// ristrettoPeer waits now and then, as it forgets what its queue has no room for.
func ristrettoPeer(n int) (*cachePeer, error) {
	c, err := ristretto.NewCache(&ristretto.Config[string, []byte]{NumCounters: 10 * int64(n), MaxCost: int64(n), BufferItems: 64, IgnoreInternalCost: true})
	if err != nil {
		return nil, err
	}
	sets := 0
	return &cachePeer{
		name: "ristretto", get: c.Get, settle: c.Wait, len: func() int { return int(c.MaxCost() - c.RemainingCost()) }, close: c.Close, mayRefuse: true,
		set: func(k string, v []byte) {
			c.Set(k, v, 1)
			if sets++; sets%4096 == 0 {
				c.Wait()
			}
		},
	}, nil
}

const copiedEntry = 340 // bytes of an entry's header, key and mean value in a copying cache

func freecachePeer(n int) (*cachePeer, error) {
	c := freecache.NewCache(n * copiedEntry)
	return &cachePeer{
		name: "freecache", settle: nothing, len: func() int { return int(c.EntryCount()) }, close: c.Clear,
		get: func(k string) ([]byte, bool) { v, err := c.Get([]byte(k)); return v, err == nil },
		set: func(k string, v []byte) {
			if err := c.Set([]byte(k), v, 0); err != nil {
				panic(err) // entries are far below its limit
			}
		},
	}, nil
}

func bigcachePeer(n int) (*cachePeer, error) {
	conf := bigcache.DefaultConfig(24 * time.Hour)
	conf.CleanWindow, conf.Verbose, conf.HardMaxCacheSize = 0, false, n*copiedEntry>>20
	conf.MaxEntriesInWindow, conf.MaxEntrySize = n, copiedEntry
	c, err := bigcache.New(context.Background(), conf)
	if err != nil {
		return nil, err
	}
	return &cachePeer{
		name: "bigcache", settle: nothing, len: c.Len, close: func() { c.Close() },
		get: func(k string) ([]byte, bool) { v, err := c.Get(k); return v, err == nil },
		set: func(k string, v []byte) {
			if err := c.Set(k, v); err != nil {
				panic(err) // entries are far below its limit
			}
		},
	}, nil
}
