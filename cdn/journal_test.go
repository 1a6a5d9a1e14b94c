package cdn

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// TestJournalFailure takes the journal's file away. The write fails and leaves
// nothing; the next one starts a new file.
func TestJournalFailure(t *testing.T) {
	dir := t.TempDir()
	l, err := NewLocal(LocalOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string) error {
		_, err := l.Put(t.Context(), Object{Key: key, Size: 1}, strings.NewReader("x"))
		return err
	}
	if err := put("a"); err != nil {
		t.Fatal(err)
	}
	l.journal.file.Close()
	if err := put("b"); err == nil {
		t.Error("Put without a journal succeeded")
	}
	if err := put("c"); err != nil {
		t.Errorf("Put after the failure: %v; want a new journal", err)
	}
	if s := l.Stats(); s.Objects != 2 || s.Bytes != 2 {
		t.Errorf("Stats = %+v; want a and c", s)
	}
	l.Close()
	if l, err = NewLocal(LocalOptions{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if s := l.Stats(); s.Objects != 2 || s.Adopted != 0 || s.Missing != 0 || s.TornBytes != 0 || l.used != 2 {
		t.Errorf("Stats after reopening = %+v, %d bytes used", s, l.used)
	}
}

// TestJournalGroups lets many commits meet while a leader is at work: they must share
// its successor's one write.
func TestJournalGroups(t *testing.T) {
	l, err := NewLocal(LocalOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	j := &l.journal
	j.leading = true // the test is the leader
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			e := &entry{Key: fmt.Sprint("k", i), Gen: uint64(i + 1), State: stateDone}
			if ok, err := l.commit(false, e); !ok || err != nil {
				t.Errorf("commit = %v, %v", ok, err)
			}
		})
	}
	for queued := 0; queued < 50; runtime.Gosched() {
		j.mu.Lock()
		queued = len(j.queue)
		j.mu.Unlock()
	}
	l.lead(nil)
	wg.Wait()
	if s := l.Stats(); s.Syncs != 1 || s.Records != 50 || s.Redirects != 50 || j.leading {
		t.Errorf("Stats = %+v, leading %v; want 50 records by one sync", s, j.leading)
	}
}

// TestReplayFile reads a journal that is longer than what is held of it at once, whole,
// torn and damaged, as replay reads it from memory.
func TestReplayFile(t *testing.T) {
	var log []byte
	var starts []int
	for i := range 3000 {
		e := &entry{Key: fmt.Sprint("k", i), Gen: uint64(i + 1), State: stateGone}
		if i%1000 == 500 { // longer than a window
			e.Meta = map[string]string{"long": strings.Repeat("x", 300<<10*(i/1000+1))}
		}
		starts = append(starts, len(log))
		var err error
		if log, err = appendRecord(log, e); err != nil {
			t.Fatal(err)
		}
	}
	damage := func(at int) []byte {
		b := bytes.Clone(log)
		b[at]++
		return b
	}
	for name, b := range map[string][]byte{
		"whole": log, "empty": nil, "torn header": log[:starts[2999]+5], "torn": log[:len(log)-1], "torn long": log[:starts[501]-1],
		"damaged first": damage(20), "damaged": damage(starts[700] + 20), "damaged length": damage(starts[1500] + 4), "damaged last": damage(len(log) - 1),
	} {
		var want, got []string
		sound, damaged := replay(b, func(e *entry) { want = append(want, e.Key) })
		size, prefix, broken, err := replayFile(iotest.HalfReader(bytes.NewReader(b)), func(e *entry) { got = append(got, e.Key) })
		if size != int64(len(b)) || prefix != int64(sound) || broken != damaged || err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: replayFile = %d, %d, %v, %v with %d records; want %d, %d, %v with %d",
				name, size, prefix, broken, err, len(got), len(b), sound, damaged, len(want))
		}
	}
	failing := io.MultiReader(bytes.NewReader(log), iotest.ErrReader(io.ErrClosedPipe))
	if _, _, _, err := replayFile(failing, func(*entry) {}); err != io.ErrClosedPipe {
		t.Errorf("replayFile of a failing file = %v", err)
	}
}
