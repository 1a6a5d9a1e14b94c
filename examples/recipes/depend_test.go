package recipes_test

import (
	"context"
	"fmt"

	"github.com/perfblocks/perfblocks/cache"
)

// A page is made of a conversation, a list of conversations as well: the loaders ask
// for it, and so depend on it. One Delete after a write makes all of them load again.
func Example_dependencies() {
	c, err := cache.New(cache.Options{})
	check(err)
	defer c.Close()
	titles, err := cache.Add(c, cache.Strategy[string]{Name: "title"})
	check(err)
	pages, err := cache.Add(c, cache.Strategy[string]{Name: "page"})
	check(err)
	lists, err := cache.Add(c, cache.Strategy[string]{Name: "list"})
	check(err)

	database := "Tea"
	title := func(ctx context.Context) (string, error) {
		return titles.Load(ctx, "7", func(context.Context, *cache.Entry[string]) (string, error) { return database, nil })
	}
	show := func(v *cache.View[string], format string) {
		text, err := v.Load(context.Background(), "home", func(ctx context.Context, _ *cache.Entry[string]) (string, error) {
			s, err := title(ctx) // the loader's ctx carries the dependency
			return fmt.Sprintf(format, s), err
		})
		fmt.Println(text, err)
	}
	show(pages, "<h1>%s</h1>")
	show(lists, "<li>%s</li>")
	database = "Coffee"
	check(titles.Delete(context.Background(), "7")) // after the write is visible
	show(pages, "<h1>%s</h1>")
	show(lists, "<li>%s</li>")
	// Output:
	// <h1>Tea</h1> <nil>
	// <li>Tea</li> <nil>
	// <h1>Coffee</h1> <nil>
	// <li>Coffee</li> <nil>
}
