package cache

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestStatsCauses: each entry that left is counted once, under what made it leave.
func TestStatsCauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		c, v := snapCache(t, Options{MaxEntries: 20, SweepInterval: time.Minute}, Strategy[string]{TTL: time.Hour, Jitter: -1})
		idle, err := Add(c, Strategy[string]{Name: "idle", TTL: time.Hour, Idle: 30 * time.Second, Jitter: -1})
		if err != nil {
			t.Fatal(err)
		}
		set := func(v *View[string], key string) {
			if err := v.Set(ctx, key, "v"); err != nil {
				t.Fatal(err)
			}
		}
		set(v, "replaced")
		set(v, "replaced")
		set(v, "deleted")
		_ = v.Delete(ctx, "replaced", "deleted", "unknown")
		loadTagged(t, v, "tagged", "v", "t")
		_ = c.DeleteTag(ctx, "t")
		loadTagged(t, v, "tagged too", "v", "u")
		_ = c.DeleteTag(ctx, v.Tag("tagged too"))
		set(idle, "idle")
		loadTagged(t, v, "absent", "v")
		_ = v.Expire(ctx, "absent")
		_, _ = v.Load(ctx, "absent", func(context.Context, *Entry[string]) (string, error) { return "", ErrNotFound })
		time.Sleep(time.Minute + time.Second)
		if st := idle.Stats(); st.Expired != 1 || st.Swept != 1 || st.Entries != 0 {
			t.Errorf("idle: %+v; want 1 expired", st)
		}
		if st := v.Stats(); st.Replaced != 1 || st.Deleted != 4 || st.Swept != 1 || st.Expired != 0 || st.Evictions != 0 || st.Entries != 0 {
			t.Errorf("%+v; want 1 replaced, 4 deleted, one of these swept", st)
		}
		for i := range 50 {
			set(v, fmt.Sprint(i))
		}
		c.Shrink(ctx, 0.5)
		if st := v.Stats(); st.Evictions != 40 || st.Entries != 10 {
			t.Errorf("%+v; want 40 evictions", st)
		}
		time.Sleep(2 * time.Hour)
		all := c.Stats()
		if st := v.Stats(); st.Expired != 10 || st.Entries != 0 || all.Expired != 11 || all.Sub(all) != (Stats{LoadTimeP50: all.LoadTimeP50, LoadTimeP99: all.LoadTimeP99, Tags: all.Tags}) {
			t.Errorf("%+v; want 10 expired; in all %+v", st, all)
		}
	})
}
