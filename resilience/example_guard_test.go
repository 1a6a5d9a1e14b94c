package resilience_test

import (
	"errors"
	"fmt"

	"github.com/perfblocks/perfblocks/resilience"
)

// Numbers in a text do not make another kind of error. The sum of what was printed,
// 1 + 1+9 + 1+9 + 4, is the number of errors.
func ExampleGuard_Observe() {
	g, err := resilience.NewGuard(resilience.GuardOptions{First: 1, Every: 10, Hooks: resilience.GuardHooks{
		Summary: func(s resilience.Summary) { fmt.Println("and", s.Suppressed, "more of class", s.Class) },
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for id := range 25 {
		err := errors.New(fmt.Sprint("no answer for request ", id))
		if d := g.Observe(err); d.Emit {
			fmt.Println(err, "- and", d.Suppressed, "before")
		}
	}
	if err := g.Close(); err != nil { // Or wait for the end of the window.
		fmt.Println(err)
	}
	// Output:
	// no answer for request 0 - and 0 before
	// no answer for request 10 - and 9 before
	// no answer for request 20 - and 9 before
	// and 4 more of class unknown
}
