package memory_test

import (
	"context"
	"fmt"

	"github.com/perfblocks/perfblocks/memory"
)

// A program would call Start and look at Report, Metrics or the hook; this example
// plays ten windows of a service whose requests leave a goroutine behind.
func ExampleLeakDetector() {
	window := 0
	d, err := memory.NewLeakDetector(memory.LeakOptions{
		Source: func(context.Context) (memory.LeakSample, error) {
			window++
			return memory.LeakSample{
				HeapLive: 200 << 20,
				Groups: []memory.GoroutineGroup{
					{Entry: "app.(*Server).worker", At: "app.(*Server).next", Count: 16},
					{Entry: "app.(*Server).handle.func1", At: "app.(*Server).handle.func1", Count: 3 * window},
				},
			}, nil
		},
		Hooks: memory.LeakHooks{Suspected: func(s memory.Suspect) { fmt.Println("suspected:", s) }},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()
	for range 11 { // the first sample begins the first window
		if _, err := d.Sample(context.Background()); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(len(d.Report().Suspects), "suspect")
	// Output:
	// suspected: app.(*Server).handle.func1 in app.(*Server).handle.func1: +3 goroutines a window, rose in 10 of 10, now 33
	// 1 suspect
}
