package ristrettocache_test

import (
	"context"
	"fmt"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/ristrettocache"
)

func ExampleNew() {
	c, err := cache.New(cache.Options{MaxBytes: 1 << 20, Engine: ristrettocache.New})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	users, err := cache.Add(c, cache.Strategy[string]{Name: "user_data"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := users.Set(ctx, "7", "Ada"); err != nil {
		fmt.Println(err)
		return
	}
	name, ok := users.Get(ctx, "7") // at once, without a pause
	fmt.Println(name, ok)
	// Output: Ada true
}
