package ristrettocache_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/ristrettocache"
)

// TestHitRatio replays public traces through the cache, Get and then Set on a miss,
// over either engine, and prints the hit ratios. Run it with
//
//	PERF_ASSETS=dir go test -count=1 -v -run TestHitRatio ./cache/ristrettocache
//
// where dir/traces holds the traces of ARC, LIRS and Corda as otter and Caffeine have
// them in their repositories.
func TestHitRatio(t *testing.T) {
	var rows, ours, otters float64
	for _, tr := range []struct {
		file  string
		parse func([]byte) []uint64
		sizes []int
	}{
		{"arc-oltp.gz", parseARC, []int{1000, 5000, 15_000}},
		{"lirs-loop.trace.gz", parseLines, []int{250, 500, 1000}},
		{"lirs-gli.trace.gz", parseLines, []int{250, 1000, 2000}},
		{"lirs-multi1.trace.gz", parseLines, []int{500, 1500}},
		{"lirs-2_pools.trace.gz", parseLines, []int{500, 5000}},
		{"corda-vaultservice.gz", parseInt64, []int{512, 4096}},
	} {
		ids := readTrace(t, tr.file, tr.parse)
		for _, size := range tr.sizes {
			a, b := replay(t, ristrettocache.New, size, ids), replay(t, cache.NewOtter, size, ids)
			t.Logf("%-24s %6d entries: ristrettocache %5.1f %%, otter %5.1f %%", tr.file, size, a, b)
			rows, ours, otters = rows+1, ours+a, otters+b
		}
	}
	t.Logf("mean of %v rows: ristrettocache %.1f %%, otter %.1f %%", rows, ours/rows, otters/rows)
	if ours < otters-6*rows {
		t.Error("the mean is more than 6 points below otter's")
	}
}

// replay returns the hit ratio in percent.
func replay(t *testing.T, engine func(cache.EngineOptions) (cache.Engine, error), size int, ids []uint64) float64 {
	t.Helper()
	c, err := cache.New(cache.Options{MaxEntries: size, Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := cache.Add(c, cache.Strategy[struct{}]{Name: "s", TTL: -1})
	if err != nil {
		t.Fatal(err)
	}
	hits := 0
	var buf [20]byte
	for _, id := range ids {
		key := string(strconv.AppendUint(buf[:0], id, 36))
		if _, ok := v.Get(t.Context(), key); ok {
			hits++
		} else if err := v.Set(t.Context(), key, struct{}{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := v.Len(); n > size {
		t.Errorf("%d entries; the bound is %d", n, size)
	}
	return 100 * float64(hits) / float64(len(ids))
}

func readTrace(t *testing.T, name string, parse func([]byte) []uint64) []uint64 {
	t.Helper()
	dir := os.Getenv("PERF_ASSETS")
	if dir == "" {
		t.Skip("no traces: PERF_ASSETS is not set")
	}
	f, err := os.Open(filepath.Join(dir, "traces", name))
	if err != nil {
		t.Skipf("no traces: %v", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return parse(b)
}

// parseARC reads lines "start count …", each a run of blocks.
func parseARC(b []byte) (ids []uint64) {
	var start, count uint64
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		if n, _ := fmt.Sscan(sc.Text(), &start, &count); n == 2 {
			for i := range count {
				ids = append(ids, start+i)
			}
		}
	}
	return ids
}

// parseLines reads one number per line; others are ignored.
func parseLines(b []byte) (ids []uint64) {
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		if id, err := strconv.ParseUint(string(bytes.TrimSpace(sc.Bytes())), 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

func parseInt64(b []byte) (ids []uint64) {
	for ; len(b) >= 8; b = b[8:] {
		ids = append(ids, binary.BigEndian.Uint64(b))
	}
	return ids
}
