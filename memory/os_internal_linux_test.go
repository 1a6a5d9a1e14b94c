package memory

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOSReaderGroupGone: a process that was moved, and whose former group was removed,
// is judged by its new group at once rather than by none until the next discovery.
func TestOSReaderGroupGone(t *testing.T) {
	dir := t.TempDir()
	former := newHierarchy(2, []string{dir})
	for _, name := range []string{former.groups[0].limit, former.groups[0].high, former.groups[0].usage, former.groups[0].stat, former.groups[0].pressure} {
		if err := os.WriteFile(name, []byte("4096\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := newOSReader(true)
	t.Cleanup(func() { o.close() })
	now := time.Now()
	if _, err := o.read(now); err != nil {
		t.Fatal(err)
	}
	o.groups = former
	if r, err := o.read(now); err != nil || r.cgroup.limit != 4096 {
		t.Fatalf("read of the former group = %+v, %v", r.cgroup, err)
	}
	o.close()
	if err := os.Remove(filepath.Join(dir, "memory.max")); err != nil {
		t.Fatal(err)
	}
	if _, err := o.read(now); err != nil {
		t.Fatal(err)
	}
	if len(o.groups.groups) > 0 && o.groups.groups[0] == former.groups[0] {
		t.Error("the group that is gone is still read a moment later")
	}
}
