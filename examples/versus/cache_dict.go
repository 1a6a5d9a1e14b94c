package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

type dictAuthor struct {
	ID     int    `json:"id"`
	Name   string `json:"display_name"`
	Avatar string `json:"avatar_url"`
	Role   string `json:"role"`
}

type dictMessage struct {
	ID      int        `json:"id"`
	Room    int        `json:"room_id"`
	Author  dictAuthor `json:"author"`
	Text    string     `json:"text"`
	Sent    time.Time  `json:"sent_at"`
	Edited  bool       `json:"edited"`
	ReplyTo int        `json:"reply_to"`
}

// dictMessages makes the JSON of n chat messages of about 656 bytes, with texts from
// a small list of words. Other seeds give other messages.
func dictMessages(seed uint64, n int) ([][]byte, error) {
	rng := rand.New(rand.NewPCG(seed, 1))
	words := strings.Fields(`the of and to in is you that it he was for on are as with his they at be this
		have from or one had by word but not`)
	zipf := rand.NewZipf(rng, 1.2, 2, uint64(len(words)-1))
	some := func(n int) string {
		picked := make([]string, n)
		for i := range picked {
			picked[i] = words[zipf.Uint64()]
		}
		return strings.Join(picked, " ")
	}
	out := make([][]byte, n)
	for i := range out {
		author := 10_000 + rng.IntN(2000)
		b, err := json.Marshal(dictMessage{ID: rng.IntN(1e8), Room: rng.IntN(1e4), Text: some(79 + rng.IntN(79)),
			Author: dictAuthor{ID: author, Name: some(2), Role: []string{"member", "admin", "guest"}[rng.IntN(3)],
				Avatar: fmt.Sprintf("https://cdn.example.com/avatars/%d.webp", author)},
			Sent: time.Unix(1_700_000_000+rng.Int64N(1e7), 0).UTC(), Edited: rng.IntN(8) == 0, ReplyTo: rng.IntN(1e8)})
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	return out, nil
}

// dictView is a cache of messages as bytes, compressed as said.
type dictView struct {
	v     *cache.View[[]byte]
	keys  []string
	next  int
	ratio float64 // of the messages to what is held of them
}

func newDictView(c *cache.Cache, s cache.Strategy[[]byte], messages [][]byte) (*dictView, error) {
	s.Codec = cache.Raw[[]byte]()
	v, err := cache.Add(c, s)
	if err != nil {
		return nil, err
	}
	d := &dictView{v: v}
	var plain int64
	for i, m := range messages {
		d.keys = append(d.keys, strconv.Itoa(i))
		plain += int64(len(m))
		if err := v.Set(context.Background(), d.keys[i], m); err != nil {
			return nil, err
		}
	}
	d.ratio = float64(plain) / float64(plain-v.Stats().SavedBytes)
	return d, nil
}

func (d *dictView) side(name string) bench.Side {
	return bench.Side{Name: name,
		Op: func(n int) {
			for range n {
				d.v.Get(context.Background(), d.keys[d.next%len(d.keys)])
				d.next++
			}
		},
		Check: func() (any, error) {
			var all strings.Builder
			for _, key := range d.keys {
				m, ok := d.v.Get(context.Background(), key)
				if !ok {
					return nil, errors.New("a message is missing")
				}
				all.Write(m)
			}
			return all.String(), nil
		}}
}

// cacheDict measures what a trained dictionary saves on messages that training did
// not see, frames and checksums included, and what a hit of one costs, from the look-up
// to a copy of the bytes.
func cacheDict(r *bench.Report) error {
	samples, err := dictMessages(1, 400)
	if err != nil {
		return err
	}
	messages, err := dictMessages(2, 500)
	if err != nil {
		return err
	}
	dict, err := cache.TrainDict(cache.Raw[[]byte](), slices.Values(samples))
	if err != nil {
		return err
	}
	c, err := cache.New(cache.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	ours, err := newDictView(c, cache.Strategy[[]byte]{Name: "dict", Compression: cache.Auto, Dicts: [][]byte{dict}}, messages)
	if err != nil {
		return err
	}
	zstd, err := newDictView(c, cache.Strategy[[]byte]{Name: "zstd", Compression: cache.Zstd}, messages)
	if err != nil {
		return err
	}
	s2, err := newDictView(c, cache.Strategy[[]byte]{Name: "s2", Compression: cache.S2}, messages)
	if err != nil {
		return err
	}
	size := 0
	for _, m := range messages {
		size += len(m)
	}
	r.AtLeast(fmt.Sprintf("JSON of %d bytes on average, smaller with a trained dictionary", size/len(messages)), "times",
		ours.ratio, 3, bench.Value{Name: "zstd", Value: zstd.ratio}, bench.Value{Name: "s2", Value: s2.ratio})
	return r.Compare(bench.Comparison{Measure: "a hit that decodes it", Sides: []bench.Side{
		ours.side("perfblocks"), zstd.side("zstd"), s2.side("s2")}}, bench.Goal{MaxCPU: 5000})
}
