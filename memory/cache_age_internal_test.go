package memory

import "testing"

// TestShardKeepsNewest: in a large cache where everything is used, an entry that nobody
// has asked for yet outlives the Sets of a quarter as many others as the cache holds,
// also when they were all used before the cache became full.
func TestShardKeepsNewest(t *testing.T) {
	const items = 5000
	for trial := range 20 {
		c, err := NewCache(CacheOptions[int, int]{MaxItems: items, MaxBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		for key := 0; key < 6*items; {
			mine := -1 - key
			if err := c.Set(mine, key); err != nil {
				t.Fatal(err)
			}
			for range items / 4 {
				key++
				if err := c.Set(key, key); err != nil {
					t.Fatal(err)
				}
				c.Get(key)
			}
			if _, ok := c.Peek(mine); !ok {
				t.Fatalf("trial %d: %d is gone after %d other Sets in %d", trial, mine, items/4, key)
			}
		}
		checkShard(t, &c.shards[0])
	}
}

// TestShardEvictsYoung: entries count as young only for a while, whatever takes the room.
func TestShardEvictsYoung(t *testing.T) {
	size := int64(1)
	c, err := NewCache(CacheOptions[int, int]{MaxBytes: 8 << 20, SizeOf: func(int, int) int64 { return size }})
	if err != nil {
		t.Fatal(err)
	}
	size = 1 << 10
	for k := range 8 << 10 {
		if err := c.Set(k, k); err != nil {
			t.Fatal(err)
		}
	}
	size = 1 << 20
	for k := range 6 {
		if err := c.Set(-1-k, k); err != nil {
			t.Fatal(err)
		}
	}
	for k := range 6 {
		if _, ok := c.Peek(-1 - k); !ok {
			t.Errorf("the large entry %d went before small ones that are older", k)
		}
	}
}
