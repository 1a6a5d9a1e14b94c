package cache

import (
	"fmt"
	"sync"
	"testing"
)

// TestNoteWriteKeepsTheLatest: writers of a class come to note their moment in any
// order, and a loader that began before the latest of them must hear of it.
func TestNoteWriteKeepsTheLatest(t *testing.T) {
	table := newFlightTable()
	key := Key{ID: "k"}
	table.noteWrite(key, 10)
	table.noteWrite(key, 5)
	if got := table.lastWrite(key).Load(); got != 10 {
		t.Errorf("last write = %d after 10 and then 5; want 10", got)
	}
}

// TestWriteReachesNewEdge: a Set, Delete or DeleteTag of an entry and a Depend below
// it at the same time: whichever is first, the child that was there before is gone.
func TestWriteReachesNewEdge(t *testing.T) {
	c, err := New(Options{SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := Add(c, Strategy[int]{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for round := range 300 {
		parent := fmt.Sprint("parent", round)
		for i := range 64 { // their dropping makes time for the new edge
			if err := c.Depend(v.Tag(fmt.Sprint(parent, "-", i)), v.Tag(parent)); err != nil {
				t.Fatal(err)
			}
		}
		child := fmt.Sprint("child", round)
		_ = v.Set(ctx, child, 1)
		var both sync.WaitGroup
		both.Go(func() {
			switch round % 3 {
			case 0:
				_ = v.Set(ctx, parent, 2)
			case 1:
				_ = v.Delete(ctx, parent)
			default:
				_ = c.DeleteTag(ctx, v.Tag(parent))
			}
		})
		both.Go(func() {
			for range round % 16 * 20 {
				_ = c.tags.find(parent)
			}
			_ = c.Depend(v.Tag(child), v.Tag(parent))
		})
		both.Wait()
		if _, ok := v.Get(ctx, child); ok {
			t.Fatalf("round %d: the child outlived the write of its parent", round)
		}
	}
}
