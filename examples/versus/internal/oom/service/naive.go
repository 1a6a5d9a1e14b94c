package main

import lru "github.com/hashicorp/golang-lru/v2"

// naive bounds its cache by count and admits everything.
type naive struct{ cache *lru.Cache[int, []byte] }

func newNaive() (server, func(), error) {
	c, err := lru.New[int, []byte](10_000)
	return naive{c}, func() {}, err
}

func (naive) admit(int) (func(), bool)     { return func() {}, true }
func (n naive) get(key int) ([]byte, bool) { return n.cache.Get(key) }
func (n naive) put(key int, value []byte)  { n.cache.Add(key, value) }
func (naive) report(*status)               {}
