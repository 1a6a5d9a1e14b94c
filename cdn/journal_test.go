package cdn

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
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
