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
	uniform bool     // users are equally busy and write half of the time
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

// modes are those of a short run, or all.
func modes(full bool) []mode {
	off := mode{name: "off", off: blocks()}
	fk := mode{name: "fk", base: true}
	all := mode{name: "all"}
	if !full {
		return []mode{off, fk, all}
	}
	out := []mode{off, fk}
	for _, b := range blocks() {
		out = append(out, mode{name: "only-" + b, off: slices.DeleteFunc(blocks(), func(x string) bool { return x == b })})
	}
	for _, b := range blocks() {
		out = append(out, mode{name: "no-" + b, off: []string{b}})
	}
	return append(out, all,
		mode{name: "adverse-fk", base: true, uniform: true},
		mode{name: "adverse-all", uniform: true})
}
