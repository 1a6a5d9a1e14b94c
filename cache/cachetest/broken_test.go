package cachetest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/cachetest"
)

// broken is a mapEngine with one defect.
type broken struct {
	*mapEngine
	defect string
}

func newBroken(defect string) cachetest.Factory {
	return func(o cache.EngineOptions) (cache.Engine, error) {
		told := o.OnRemove
		o.OnRemove = func(it *cache.Item, evicted bool) {
			if evicted && defect == "silent evictions" || !evicted && defect == "silent replacements" {
				return
			}
			told(it, evicted)
		}
		return &broken{&mapEngine{o: o, m: map[cache.Key]*cache.Item{}}, defect}, nil
	}
}

func (b *broken) Set(key cache.Key, it *cache.Item) error {
	switch b.defect {
	case "drops what is set":
		return nil
	case "takes any weight", "evicts late", "evicts now and then":
		b.add(key, it)
		return nil
	}
	return b.mapEngine.Set(key, it)
}

// add stores it before it makes room, if at all.
func (b *broken) add(key cache.Key, it *cache.Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it.Weight() <= b.o.MaxWeight || b.defect == "takes any weight" {
		if old := b.m[key]; old != nil {
			b.used -= old.Weight()
			b.o.OnRemove(old, false)
		}
		b.m[key] = it
		b.used += it.Weight()
	}
	switch {
	case b.defect == "evicts late":
		go b.room()
	case len(b.m)%32 == 0:
		b.evict(b.o.MaxWeight)
	}
}

func (b *broken) room() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.evict(b.o.MaxWeight)
}

func (b *broken) DeleteIf(key cache.Key, it *cache.Item) bool {
	if b.defect == "deletes another" {
		if now, ok := b.Get(key); ok {
			it = now
		}
	}
	return b.mapEngine.DeleteIf(key, it)
}

// TestBrokenChild runs the suite on the broken engine that TestBroken asks for.
func TestBrokenChild(t *testing.T) {
	defect := os.Getenv("CACHETEST_DEFECT")
	if defect == "" {
		t.Skip("only as a child of TestBroken")
	}
	cachetest.Run(t, newBroken(defect))
}

// TestBroken shows that the suite notices each defect, and by which check.
func TestBroken(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for defect, check := range map[string]string{
		"drops what is set":   "SetIsReadable",
		"silent evictions":    "BoundHolds",
		"silent replacements": "LastSetWins",
		"takes any weight":    "TooLarge",
		"evicts late":         "BoundWhileWriting",
		"evicts now and then": "BoundWhileWriting",
		"deletes another":     "DeleteIf",
	} {
		cmd := exec.Command(exe, "-test.run=^TestBrokenChild$/^"+check+"$")
		cmd.Env = append(os.Environ(), "CACHETEST_DEFECT="+defect)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "--- FAIL: TestBrokenChild/"+check) {
			t.Errorf("an engine that %q: %v; want a failure of %s\n%s", defect, err, check, out)
		}
	}
}
