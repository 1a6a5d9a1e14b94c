package rediscache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/rediscache"
)

// A service comes up and answers whether Redis is there or not.
func Example() {
	remote, err := rediscache.New(rediscache.Options{URL: "redis://127.0.0.1:1/0", Prefix: "chat:"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remote.Close()
	c, err := cache.New(cache.Options{Remote: remote})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close() // before its remote
	users, err := cache.Add(c, cache.Strategy[string]{Name: "user_data", TTL: time.Minute, Codec: cache.Raw[string]()})
	if err != nil {
		fmt.Println(err)
		return
	}
	name, err := users.Load(context.Background(), "42", func(context.Context, *cache.Entry[string]) (string, error) {
		return "Ada", nil
	})
	fmt.Println(name, err, remote.Stats().Listening)
	// Output: Ada <nil> false
}

// A bad URL is found at once, and its password is not repeated.
func ExampleNew_errors() {
	_, err := rediscache.New(rediscache.Options{URL: "redis://app:pa/ss@localhost:6379", Timeout: -time.Second})
	fmt.Println(err)
	// Output:
	// rediscache: invalid options: Timeout -1s is negative
	// URL is malformed; reserved characters of a password must be percent-encoded
}
