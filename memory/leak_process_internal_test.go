package memory

import (
	"bytes"
	"slices"
	"testing"
)

func TestParseProfile(t *testing.T) {
	text := "goroutineleak profile: total 7\n" +
		"5 @ 0x47e08e 0x41491c\n#\t0x47e08d\truntime.gopark+0x1d\t/go/proc.go:3\n#\t0x4da87d\tapp.leak.func1+0x1d\t/tmp/gl.go:3\n\n" +
		"2 @ 0x1\n#\t0x1\tsync.(*Mutex).Lock+0x1\t/m.go:1\n#\t0x2\tapp.(*S).get+0x2\t/s.go:2\n#\t0x3\tapp.serve+0x3\t/s.go:9\n#\t0x4\tsync.(*WaitGroup).Go.func1+0x4\t/w.go:2\n"
	got := parseProfile(bytes.NewBufferString(text))
	want := []GoroutineGroup{
		{Entry: "app.leak.func1", At: "app.leak.func1", Count: 5},
		{Entry: "app.serve", At: "app.(*S).get", Count: 2},
	}
	if !slices.Equal(got, want) {
		t.Errorf("parseProfile = %v; want %v", got, want)
	}
	for _, bad := range []string{"", "x @ y\n#\t", "3 @ 0x1\n", "#\ta\tb\n", "-1 @ 0x1\n#\t0x1\tf+0x1\n"} {
		if got := parseProfile(bytes.NewBufferString(bad)); len(got) != 0 {
			t.Errorf("parseProfile(%q) = %v; want none", bad, got)
		}
	}
}

func TestKeyOfPlumbingAlone(t *testing.T) {
	if got := keyOf([]string{"runtime.gopark", "runtime.bgsweep"}); got != (groupKey{"runtime.bgsweep", "runtime.gopark"}) {
		t.Errorf("keyOf = %v", got)
	}
	if got := keyOf(nil); got != (groupKey{}) {
		t.Errorf("keyOf(nil) = %v", got)
	}
}

func TestCappedBuffer(t *testing.T) {
	b := &cappedBuffer{left: 3}
	if n, err := b.Write([]byte("abc")); n != 3 || err != nil {
		t.Errorf("Write within the cap = %d, %v", n, err)
	}
	if _, err := b.Write([]byte("d")); err == nil || b.String() != "abc" {
		t.Errorf("Write beyond the cap: %v, %q", err, b.String())
	}
}

func TestUnsampled(t *testing.T) {
	if got := unsampled(1<<20, 1<<17); got < 60<<30 || got > 70<<30 { // objects of 8 B: one in 65,536 is seen
		t.Errorf("unsampled of small objects = %d", got)
	}
	if got := unsampled(64<<20, 1); got != 64<<20 {
		t.Errorf("unsampled of a large object = %d", got)
	}
	if got := unsampled(-5, 1); got != -5 {
		t.Errorf("unsampled(-5) = %d", got)
	}
}

func TestLeakGroupsAreBounded(t *testing.T) {
	st := leakState{groups: map[groupKey]*series{}}
	var groups []GoroutineGroup
	for i := range maxLeakGroups + 50 {
		groups = append(groups, GoroutineGroup{Entry: string(rune('a' + i)), Count: 1 + i})
	}
	st.next(LeakSample{Groups: groups})
	if len(st.groups) != maxLeakGroups || st.dropped != 50 {
		t.Errorf("%d groups are watched and %d dropped", len(st.groups), st.dropped)
	}
	if _, ok := st.groups[groupKey{entry: "a"}]; ok {
		t.Error("the smallest group is watched, a larger one was dropped")
	}
	for range leakHistory + 1 {
		st.next(LeakSample{Groups: []GoroutineGroup{}})
	}
	if len(st.groups) != 0 || len(st.heap.values) != leakHistory+1 {
		t.Errorf("%d groups that ended long ago are still watched; %d values", len(st.groups), len(st.heap.values))
	}
}
