package archtest_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/perfblocks/perfblocks/examples/internal/archtest"
)

const docText = `// Package NAME is a block.
//
// # Getting started
//
// Call New.
//
// # Units
//
// Bytes.
//
// # Concurrency
//
// Safe.
//
// # Errors
//
// None.
//
// # Cost
//
// One lock.
//
// # Limits
//
// None.
//
// # Background
//
// None.
package NAME
`

// clean is a small module that keeps every rule, often at its edge.
const clean = `
-- go.mod --
module example.com/blocks

go 1.26.0
-- cache/cache.go --
package cache

import (
	"errors"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// ErrOptions is a sentinel.
var ErrOptions = errors.New("cache: invalid options")

var errInner error = inner{}

var errTimeout = otter.ErrTimeout

var errMarked = mark(errors.New("cache: marked"), 1)

func mark(err error, n int) error { return err }

var _ interface{ Get() } = (*Cache)(nil)

type inner struct{}

func (inner) Error() string { return "" }

var units = [...]string{"B", "KiB"}

var pool = sync.Pool{New: func() any { return new([]byte) }}

var facts sync.Map

type Cache struct {
	TTL   time.Duration
	inner engine
}

type engine struct{ c *otter.Cache[string, []byte] }

func (e *engine) raw() *otter.Cache[string, []byte] { return e.c }

func (c *Cache) Get() {
	units := []string{"shadows"}
	units[0] = units[len(c.name())]
	_ = &units
	pool.Put(pool.Get())
	facts.Store(1, 2)
	_ = errInner
}

func (c *Cache) name() string { return units[0] }
-- cache/cache_test.go --
package cache_test

import (
	"testing"
	"testing/fstest"

	"example.com/blocks/internal/realtest"
	"github.com/stretchr/testify/require"
)

var changed int

func init() { changed++ }

func TestCache(t *testing.T) { require.NotEmpty(t, realtest.Redis(t)) }
-- cache/cachetest/suite.go --
package cachetest

import (
	"testing"
	"testing/fstest"

	"example.com/blocks/cache"
)

func Run(t *testing.T, c *cache.Cache) {}
-- cache/rediscache/redis.go --
package rediscache

import "github.com/redis/rueidis"

func New(o rueidis.ClientOption) error { return nil }
-- cache/internal/slot/slot.go --
package slot

import "github.com/maypok86/otter/v2"

func Wrap(c *otter.Cache[string, int]) {}
-- cache/internal/slot/doc.go --
// Package slot needs no headings: nobody imports it.
package slot
-- dbindex/live/live_test.go --
package live_test

import _ "modernc.org/sqlite"
-- examples/chat/main.go --
package main

import (
	"example.com/blocks/cache"
	"example.com/blocks/memory"
	"github.com/jackc/pgx/v5/stdlib"
)

func main() { _, _, _ = stdlib.OpenDB, cache.ErrOptions, memory.Limit }
-- examples/chat/doc.go --
// The chat command shows them together.
package main
-- examples/versus/go.mod --
module example.com/blocks/examples/versus
-- examples/versus/peers.go --
package versus

import _ "github.com/other/peer"
-- internal/realtest/realtest.go --
package realtest

import "testing"

func Redis(t testing.TB) string { return "" }
-- internal/realtest/doc.go --
// Package realtest is for tests.
package realtest
-- memory/memory.go --
package memory

const Limit = 1
-- memory/testdata/small.txt --
data
-- .ci/run --
#!/bin/sh
`

// fixturePolicy is the repository's, with the clean module's variables.
func fixturePolicy() archtest.Policy {
	p := archtest.Repository()
	p.TestdataBytes = 100
	p.NoExample = []string{"cache/rediscache.New"}
	p.Vars = map[string]archtest.Var{
		"cache.units": {Kind: archtest.Table, Why: "names"},
		"cache.pool":  {Kind: archtest.Pool, Why: "buffers"},
		"cache.facts": {Kind: archtest.Memo, Why: "types"},
	}
	return p
}

// plant parses the clean module with changes over it: the files of an archive
// replace or add to those of the clean one, and an empty file removes one.
func plant(t *testing.T, change string) *archtest.Tree {
	t.Helper()
	files := split(clean)
	for _, dir := range []string{"cache", "cache/cachetest", "cache/rediscache", "cdn", "dbindex", "dbindex/live", "imageopt", "memory", "resilience"} {
		files[dir+"/doc.go"] = strings.ReplaceAll(docText, "NAME", filepath.Base(dir))
	}
	maps.Copy(files, split(change))
	fsys := fstest.MapFS{}
	for name, text := range files {
		if text != "" {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	tree, err := archtest.LoadFS(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// split reads an archive of files, each below a line "-- name --".
func split(archive string) map[string]string {
	files := map[string]string{}
	name := ""
	for line := range strings.Lines(archive) {
		if n, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(strings.TrimSpace(n), " --")
			files[name] = ""
		} else if name != "" {
			files[name] += line
		}
	}
	return files
}

func TestCleanModule(t *testing.T) {
	tree := plant(t, "")
	for name, rule := range rules {
		for _, f := range rule(tree, fixturePolicy()) {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// TestPlanted breaks one rule at a time and expects that rule alone to say so.
func TestPlanted(t *testing.T) {
	covered := map[string]bool{}
	for _, tt := range planted() {
		covered[tt.rule] = true
		t.Run(tt.rule+"/"+strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			tree := plant(t, tt.change)
			policy := fixturePolicy()
			maps.Copy(policy.Vars, tt.vars)
			for name, rule := range rules {
				found := rule(tree, policy)
				switch {
				case name != tt.rule && !slices.Contains(tt.also, name):
					for _, f := range found {
						t.Errorf("%s: %v; want silence", name, f)
					}
				case name == tt.rule && len(found) != 1:
					t.Errorf("%s found %q; want one finding", name, found)
				case name == tt.rule && !strings.Contains(found[0].String(), tt.want):
					t.Errorf("%s: %v; want it to tell %q", name, found[0], tt.want)
				case name == tt.rule && (found[0].Where == "" || found[0].Mend == ""):
					t.Errorf("%s: %+v; want where and how to mend it", name, found[0])
				}
			}
		})
	}
	for name := range rules {
		if !covered[name] {
			t.Errorf("no planted breach of %s", name)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no go.mod":       {"a.go": "package a\n"},
		"no module line":  {"go.mod": "go 1.26.0\n"},
		"not valid as Go": {"go.mod": "module m\n", "a/a.go": "package\n"},
	} {
		fsys := fstest.MapFS{}
		for file, text := range files {
			fsys[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if _, err := archtest.LoadFS(fsys); err == nil {
			t.Errorf("LoadFS of a module with %s: no error", name)
		}
	}
	if _, err := archtest.Load(t.TempDir()); err == nil {
		t.Error("Load of an empty folder: no error")
	}
}
