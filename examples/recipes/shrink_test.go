package recipes_test

import (
	"context"
	"fmt"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/memory"
)

// The monitor watches the process against its limit, and lets caches give memory back
// when it comes near. Here a made-up source of figures stands for the process.
func Example_shrinkUnderPressure() {
	c, err := cache.New(cache.Options{MaxBytes: 8 << 20})
	check(err)
	defer c.Close()
	blobs, err := cache.Add(c, cache.Strategy[[]byte]{Name: "blob"})
	check(err)
	for i := range 500 {
		check(blobs.Set(context.Background(), fmt.Sprint(i), make([]byte, 10_000)))
	}
	full := c.Stats().Bytes

	used := int64(10 << 20)
	m, err := memory.NewMonitor(memory.MonitorOptions{
		DisableCollect: true,
		Source:         func() (memory.Stats, error) { return memory.Stats{Used: used, Limit: 100 << 20}, nil },
	})
	check(err)
	defer m.Close()
	m.Register("blobs", c) // a Cache has the one method that is asked for
	level, err := m.Check(context.Background())
	fmt.Println(level, err, c.Stats().Bytes == full)
	used = 95 << 20
	level, err = m.Check(context.Background())
	fmt.Println(level, err, c.Stats().Bytes < full)
	// Output:
	// normal <nil> true
	// critical <nil> true
}
