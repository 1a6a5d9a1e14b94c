package traces_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/examples/versus/internal/traces"
)

func zip(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadFormats(t *testing.T) {
	for _, tc := range []struct {
		name, data string
		limit      int
		want       []traces.Request
	}{
		{"arc-a.gz", zip(t, "7 3 0 0\n2 1 0 1\n"), 0, []traces.Request{{7, 1}, {8, 1}, {9, 1}, {2, 1}}},
		{"arc-a.gz", zip(t, "7 3 0 0\n2 1 0 1\n"), 2, []traces.Request{{7, 1}, {8, 1}}},
		{"lirs-a.trace", "5\n* a remark\n\n6\n", 0, []traces.Request{{5, 1}, {6, 1}}},
		{"cache2k-a", "\x00\x00\x01\x02\x00\x00\x00\x09", 0, []traces.Request{{258, 1}, {9, 1}}},
		{"corda-a", "\x00\x00\x00\x01\x00\x00\x00\x02", 0, []traces.Request{{1<<32 + 2, 1}}},
		{"adaptsize-a", "1 0 68\n2 1 7454\n", 0, []traces.Request{{0, 68}, {1, 7454}}},
	} {
		got, err := traces.Read(strings.NewReader(tc.data), tc.name, tc.limit)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("Read(%s, %d) = %v, %v; want %v", tc.name, tc.limit, got, err, tc.want)
		}
	}
	for name, data := range map[string]string{
		"arc-a": "7\n", "lirs-a": "x\n", "cache2k-a": "\x00", "other": "1\n", "lirs-a.gz": "1\n", "lirs-a.xz": "1\n",
	} {
		if got, err := traces.Read(strings.NewReader(data), name, 0); err == nil {
			t.Errorf("Read(%s) of %q = %v; want an error", name, data, got)
		}
	}
	if _, err := traces.Open(t.TempDir(), "lirs-a", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of an absent file = %v", err)
	}
}

// TestPublishedTraces checks the real files against their README, where they are.
func TestPublishedTraces(t *testing.T) {
	const dir = "../../../../../shared/assets/traces"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no traces here: ", err)
	}
	for _, tc := range []struct {
		name               string
		requests, distinct int
	}{
		{"arc-oltp.gz", 914_145, 186_880},
		{"lirs-loop.trace.gz", 505_500, 1_011},
		{"lirs-gli.trace.gz", 6_015, 2_529},
		{"cache2k-web07.trace.xz", 76_118, 20_484},
		{"corda-vaultservice.gz", 135_702, 90_468},
	} {
		requests, err := traces.Open(dir, tc.name, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, d := traces.Number(traces.Keys(requests))
		if n := len(requests); n != tc.requests || d != tc.distinct {
			t.Errorf("%s: %d requests, %d distinct; want %d, %d", tc.name, n, d, tc.requests, tc.distinct)
		}
	}
	if q, err := traces.Open(dir, "arc-p2.lis.zst", 1000); err != nil || len(q) != 1000 {
		t.Errorf("p2: %d requests, %v; want 1000", len(q), err)
	}
}

// TestBeladyIsOptimal compares with a search of all choices on small inputs.
func TestBeladyIsOptimal(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		keys := make([]uint64, 10)
		for i := range keys {
			keys[i] = rng.Uint64N(5)
		}
		capacity := 1 + rng.IntN(3)
		ids, distinct := traces.Number(keys)
		if got, want := traces.Belady(ids, distinct, capacity), best(keys, nil, capacity); got != want {
			t.Fatalf("Belady(%v, %d) = %d; want %d", keys, capacity, got, want)
		}
	}
}

// best tries every victim, the newcomer too.
func best(keys, cached []uint64, capacity int) int {
	if len(keys) == 0 {
		return 0
	}
	if slices.Contains(cached, keys[0]) {
		return 1 + best(keys[1:], cached, capacity)
	}
	all := append(slices.Clone(cached), keys[0])
	if len(all) <= capacity {
		return best(keys[1:], all, capacity)
	}
	most := 0
	for i := range all {
		most = max(most, best(keys[1:], slices.Delete(slices.Clone(all), i, i+1), capacity))
	}
	return most
}

func TestZipfIsSkewed(t *testing.T) {
	keys := traces.Zipf(200_000, 1000, 0.99, 1)
	first := 0
	for _, k := range keys {
		if k == traces.Mix(0) {
			first++
		}
	}
	// The first of 1000 has 1/zeta(1000, 0.99) = 0.1295 of all.
	if share := float64(first) / float64(len(keys)); share < 0.12 || share > 0.14 {
		t.Errorf("the first key has %.3f of the accesses; want 0.13", share)
	}
	if _, n := traces.Number(keys); n > 1000 || n < 990 {
		t.Errorf("%d distinct keys; want nearly 1000", n)
	}
}
