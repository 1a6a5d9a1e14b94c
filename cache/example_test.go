package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

type member struct{ Name, Team string }

// table stands for a database.
var table = map[string]member{"1": {"An", "red"}, "2": {"Bình", "red"}, "3": {"Chi", "blue"}}

func loadMember(_ context.Context, e *cache.Entry[member]) (member, error) {
	m, ok := table[e.Key()]
	if !ok {
		return m, cache.ErrNotFound
	}
	fmt.Println("loading", m.Name)
	e.DependsOn("team:" + m.Team)
	return m, nil
}

func exampleViews() (*cache.Cache, *cache.View[member]) {
	c, err := cache.New(cache.Options{MaxBytes: 8 << 20})
	if err != nil {
		panic(err)
	}
	members, err := cache.Add(c, cache.Strategy[member]{Name: "member", TTL: time.Minute, NegativeTTL: time.Second})
	if err != nil {
		panic(err)
	}
	return c, members
}

func ExampleView_Load() {
	c, members := exampleViews()
	defer c.Close()
	ctx := context.Background()
	for range 2 {
		m, err := members.Load(ctx, "1", loadMember)
		fmt.Println(m.Name, err)
	}
	_, err := members.Load(ctx, "404", loadMember)
	fmt.Println(errors.Is(err, cache.ErrNotFound))
	// Output:
	// loading An
	// An <nil>
	// An <nil>
	// true
}

func ExampleCache_DeleteTag() {
	c, members := exampleViews()
	defer c.Close()
	ctx := context.Background()
	for _, id := range []string{"1", "2", "3"} {
		_, _ = members.Load(ctx, id, loadMember)
	}
	if err := c.DeleteTag(ctx, "team:red"); err != nil {
		panic(err)
	}
	fmt.Println(slices.Collect(members.Keys()))
	// Output:
	// loading An
	// loading Bình
	// loading Chi
	// [3]
}

// A page made of other entries depends on them without saying so.
func ExampleView_Load_nested() {
	c, members := exampleViews()
	defer c.Close()
	ctx := context.Background()
	pages, err := cache.Add(c, cache.Strategy[string]{Name: "page"})
	if err != nil {
		panic(err)
	}
	page := func(ctx context.Context, _ *cache.Entry[string]) (string, error) {
		m, err := members.Load(ctx, "1", loadMember)
		return "<h1>" + m.Name + "</h1>", err
	}
	html, _ := pages.Load(ctx, "home", page)
	fmt.Println(html)
	_ = c.DeleteTag(ctx, "team:red") // a tag of the member
	_, ok := pages.Get(ctx, "home")
	fmt.Println("page still there:", ok)
	// Output:
	// loading An
	// <h1>An</h1>
	// page still there: false
}

func ExampleView_LoadMany() {
	c, members := exampleViews()
	defer c.Close()
	ctx := context.Background()
	_ = members.Set(ctx, "1", table["1"])
	got, err := members.LoadMany(ctx, []string{"1", "2", "404"}, func(_ context.Context, missing []string) (map[string]member, error) {
		fmt.Println("SELECT … WHERE id IN", missing)
		return map[string]member{"2": table["2"]}, nil
	})
	fmt.Println(len(got), got["1"].Name, got["2"].Name, err)
	// Output:
	// SELECT … WHERE id IN [2 404]
	// 2 An Bình <nil>
}

func ExampleCache_Depend() {
	c, members := exampleViews()
	defer c.Close()
	ctx := context.Background()
	_ = c.Depend("team:red", "company:1")
	fmt.Println(errors.Is(c.Depend("company:1", "team:red"), cache.ErrCycle))
	_, _ = members.Load(ctx, "1", loadMember)
	_ = c.DeleteTag(ctx, "company:1")
	fmt.Println(members.Get(ctx, "1"))
	// Output:
	// true
	// loading An
	// { } false
}

func ExampleView_Warm() {
	c, members := exampleViews()
	defer c.Close()
	rep, err := members.Warm(context.Background(), slices.Values([]string{"1", "2"}), loadMember, cache.WarmOptions{Concurrency: 1})
	fmt.Println(rep.Loaded, rep.Failed, err)
	// Output:
	// loading An
	// loading Bình
	// 2 0 <nil>
}

func ExampleView_Expire() {
	c, err := cache.New(cache.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	ctx := context.Background()
	rates, err := cache.Add(c, cache.Strategy[float64]{Name: "rate", StaleIfError: time.Hour})
	if err != nil {
		panic(err)
	}
	down := func(context.Context, *cache.Entry[float64]) (float64, error) { return 0, errors.New("down") }
	_ = rates.Set(ctx, "EUR", 1.5)
	_ = rates.Expire(ctx, "EUR")
	fmt.Println(rates.Load(ctx, "EUR", down)) // the old value is better than none
	_ = rates.Delete(ctx, "EUR")
	fmt.Println(rates.Load(ctx, "EUR", down))
	// Output:
	// 1.5 <nil>
	// 0 down
}

func ExampleView_Stats() {
	c, members := exampleViews()
	defer c.Close()
	ctx := context.Background()
	for range 4 {
		_, _ = members.Load(ctx, "3", loadMember)
	}
	st := members.Stats()
	fmt.Printf("hit rate %.0f %%, %d load\n", 100*st.HitRatio(), st.Loads)
	// Output:
	// loading Chi
	// hit rate 75 %, 1 load
}

// A dictionary makes small values of one kind smaller still. All nodes are given the
// same bytes; here they would come from a file.
func ExampleTrainDict() {
	type message struct {
		Room, Author, Text string
	}
	samples := func(yield func(message) bool) {
		for i := range 200 {
			m := message{Room: fmt.Sprint("room ", i%7), Author: fmt.Sprint("user ", i), Text: "so what do you say to number " + fmt.Sprint(i)}
			if !yield(m) {
				return
			}
		}
	}
	dict, err := cache.TrainDict(cache.JSON[message](), samples)
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := cache.New(cache.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	messages, err := cache.Add(c, cache.Strategy[message]{Name: "message", Codec: cache.JSON[message](),
		Compression: cache.Zstd, Dicts: [][]byte{dict}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = messages.Set(context.Background(), "1", message{Room: "room 3", Author: "user 1234", Text: "so what do you say to that"})
	m, ok := messages.Get(context.Background(), "1")
	fmt.Println(m.Text, ok, messages.Stats().SavedBytes > 0)
	// Output: so what do you say to that true true
}

func ExampleView_Set() {
	c, members := exampleViews()
	defer c.Close()
	ctx := context.Background()
	if err := members.Set(ctx, "4", member{"Dung", "blue"}); err != nil {
		panic(err) // larger than the bound, or closed
	}
	m, ok := members.Get(ctx, "4")
	fmt.Println(m.Name, ok)
	if err := members.Delete(ctx, "4"); err != nil {
		panic(err)
	}
	_, ok = members.Get(ctx, "4")
	fmt.Println(ok)
	// Output:
	// Dung true
	// false
}

func ExampleView_Update() {
	c, err := cache.New(cache.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	ctx := context.Background()
	rooms, err := cache.Add(c, cache.Strategy[[]string]{Name: "room"})
	if err != nil {
		panic(err)
	}
	load := func(context.Context, *cache.Entry[[]string]) ([]string, error) {
		fmt.Println("loading")
		return []string{"hello"}, nil
	}
	_, _ = rooms.Load(ctx, "1", load)
	said := "good morning" // and committed: loaders see it already
	err = rooms.Update(ctx, "1", func(old []string) ([]string, bool) {
		if slices.Contains(old, said) {
			return old, true // loaded after the commit
		}
		return append(slices.Clip(old), said), true // not into the array that others read
	})
	room, _ := rooms.Load(ctx, "1", load)
	fmt.Println(room, err)
	// Output:
	// loading
	// [hello good morning] <nil>
}

func ExampleCache_ExpireTag() {
	c, err := cache.New(cache.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	prices, err := cache.Add(c, cache.Strategy[int]{Name: "price", StaleIfError: time.Hour})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	down := false
	load := func(_ context.Context, e *cache.Entry[int]) (int, error) {
		e.DependsOn("pricelist")
		if down {
			return 0, errors.New("upstream is down")
		}
		return 42, nil
	}
	fmt.Println(prices.Load(ctx, "tea", load))
	down = true
	if err := c.ExpireTag(ctx, "pricelist"); err != nil {
		panic(err)
	}
	fmt.Println(prices.Load(ctx, "tea", load)) // the old price, rather than an error
	if err := c.DeleteTag(ctx, "pricelist"); err != nil {
		panic(err)
	}
	_, err = prices.Load(ctx, "tea", load)
	fmt.Println(err)
	// Output:
	// 42 <nil>
	// 42 <nil>
	// upstream is down
}

// A restart need not begin cold: the last process wrote a snapshot, perhaps to a file.
func ExampleCache_Restore() {
	start := func() (*cache.Cache, *cache.View[string]) {
		c, err := cache.New(cache.Options{})
		if err != nil {
			panic(err)
		}
		names, err := cache.Add(c, cache.Strategy[string]{Name: "name", TTL: time.Hour, Codec: cache.Raw[string]()})
		if err != nil {
			panic(err)
		}
		return c, names
	}
	ctx := context.Background()
	var file bytes.Buffer

	c, names := start()
	_ = names.Set(ctx, "42", "Ada")
	n, err := c.Snapshot(ctx, &file)
	fmt.Println(n, err)
	_ = c.Close()

	c, names = start()
	defer c.Close()
	report, err := c.Restore(ctx, &file)
	fmt.Println(report.Restored, err)
	fmt.Println(names.Get(ctx, "42"))
	// Output:
	// 1 <nil>
	// 1 <nil>
	// Ada true
}

// Any engine keeps the contract of the cache; they differ in whom they evict, in memory
// and in speed.
func ExampleNewOtter() {
	c, err := cache.New(cache.Options{MaxBytes: 8 << 20, Engine: cache.NewOtter})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	members, err := cache.Add(c, cache.Strategy[member]{Name: "member", TTL: time.Minute})
	if err != nil {
		panic(err)
	}
	if err := members.Set(context.Background(), "1", table["1"]); err != nil {
		panic(err)
	}
	m, ok := members.Get(context.Background(), "1")
	fmt.Println(m.Name, ok)
	// Output: An true
}
