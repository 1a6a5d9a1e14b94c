package main

import (
	"slices"
	"strings"
)

// blocks are the names that the service's -off takes.
func blocks() []string {
	return []string{"cache", "resilience", "memory", "cdn", "imageopt", "dbindex"}
}

// mode is one way to run the service.
type mode struct {
	name    string
	off     []string // blocks that pass through
	base    bool     // with what competent hands add first
	zipf    float64  // exponent of the popularity, 0 for that of the run
	side    bool     // measured for half of the time
	adverse bool     // users are equally busy, write half of the time, and send no pictures
}

// args are the service's flags.
func (m mode) args() []string {
	if m.base {
		return []string{"-baseline"}
	}
	if len(m.off) == 0 {
		return nil
	}
	return []string{"-off", strings.Join(m.off, ",")}
}

// mainModes are those that every run compares.
func mainModes() []mode {
	return []mode{{name: "off", off: blocks()}, {name: "fk", base: true}, {name: "all"}}
}

// sideModes are what a full run measures besides: the popularity that is less uneven,
// each block alone, and all but one.
func sideModes() []mode {
	out := []mode{{name: "fk-zipf-0.8", base: true, zipf: 0.8, side: true}, {name: "all-zipf-0.8", zipf: 0.8, side: true}}
	for _, b := range blocks() {
		out = append(out, mode{name: "only-" + b, side: true, off: slices.DeleteFunc(blocks(), func(x string) bool { return x == b })})
	}
	for _, b := range blocks() {
		out = append(out, mode{name: "no-" + b, side: true, off: []string{b}})
	}
	return out
}

// adverseModes are those of a load that the blocks cannot help with. Plain has the
// indexes of all and no other block, so that both do the same work: the map of fk
// spares work by stale answers.
func adverseModes() []mode {
	return []mode{
		{name: "adverse-fk", base: true, adverse: true},
		{name: "adverse-plain", off: slices.DeleteFunc(blocks(), func(x string) bool { return x == "dbindex" }), adverse: true},
		{name: "adverse-all", adverse: true},
	}
}
