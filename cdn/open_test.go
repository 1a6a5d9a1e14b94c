package cdn

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// fillPending writes the directory of a Local that holds n pending objects of 16 bytes,
// as a process leaves it that had an outage, and returns it. Nothing is synced.
func fillPending(tb testing.TB, n int) string {
	tb.Helper()
	dir := tb.TempDir()
	l, err := NewLocal(LocalOptions{Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	var log, file []byte
	for i := range n {
		body := fmt.Appendf(nil, "content %08d", i)
		e := newEntry(Object{
			Key: fmt.Sprintf("upload-%06d.jpg", i), Size: int64(len(body)), SHA256: sha256.Sum256(body), CRC32C: crc32.Checksum(body, castagnoli),
			ContentType: "image/jpeg", CacheControl: immutable,
		}, statePending)
		e.Gen, e.Blob, e.Time = uint64(i+1), true, time.Now().UTC()
		if log, err = appendRecord(log, e); err != nil {
			tb.Fatal(err)
		}
		if file, err = appendManifest(append(file[:0], body...), e); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, e.blobName()), file, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "journal"), log, 0o600); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// liveHeap is what the heap holds, in bytes.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what the first one only marked for clean-up
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestPendingMemory bounds what an object that waits holds of memory.
func TestPendingMemory(t *testing.T) {
	const n, most = 10_000, 256
	dir := fillPending(t, n)
	before := liveHeap()
	l, err := NewLocal(LocalOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	held := liveHeap() - before
	if s := l.Stats(); s.Pending != n || s.Missing+s.Adopted != 0 || s.Damaged || s.TornBytes != 0 {
		t.Errorf("Stats = %+v; want %d pending", s, n)
	}
	if per := held / n; per > most {
		t.Errorf("a pending object holds %d bytes of the heap; want at most %d", per, most)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkLocalOpen(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint("pending=", n), func(b *testing.B) {
			dir := fillPending(b, n)
			before := liveHeap()
			var held int64
			b.ReportAllocs()
			for b.Loop() {
				l, err := NewLocal(LocalOptions{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if held = liveHeap() - before; l.Stats().Pending != n {
					b.Fatalf("Stats = %+v", l.Stats())
				}
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
				l = nil
				b.StartTimer()
			}
			b.ReportMetric(float64(held)/float64(n), "live-B/object")
		})
	}
}
