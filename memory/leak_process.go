package memory

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"math"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
)

// leakProcess takes samples of this process. It is used by one goroutine at a time.
type leakProcess struct {
	opts    LeakOptions
	samples [2]metrics.Sample // live heap and completed collections
	lowest  int64             // live heap of a collection in this window; below zero for none
	cycles  uint64            // collections seen
	bases   [2]siteBase       // older and newer
}

// stack is what the runtime records of a goroutine or an allocation.
type stack = [32]uintptr

const maxProofText = 4 << 20 // of the runtime's profile of leaked goroutines

func newLeakProcess(o LeakOptions) *leakProcess {
	p := &leakProcess{opts: o, lowest: -1}
	p.samples[0].Name, p.samples[1].Name = metricNames[mHeapLive], metricNames[mCycles]
	return p
}

// observe keeps the lowest live heap of the collections of this window.
func (p *leakProcess) observe() {
	metrics.Read(p.samples[:])
	live, cycles := int64(p.samples[0].Value.Uint64()), p.samples[1].Value.Uint64()
	if p.opts.Bounded != nil {
		live = max(0, live-p.opts.Bounded())
	}
	if cycles == p.cycles {
		return
	}
	p.cycles = cycles
	if p.lowest < 0 || live < p.lowest {
		p.lowest = live
	}
}

func (p *leakProcess) sample(context.Context) (LeakSample, error) {
	if p.opts.DisableCollect {
		p.cycles = 0 // the last collection counts, whenever that was
	} else {
		runtime.GC()
	}
	p.observe()
	s := LeakSample{HeapLive: p.lowest, Goroutines: runtime.NumGoroutine()}
	p.lowest = -1
	s.Groups = p.groups(s.Goroutines)
	if proof := pprof.Lookup("goroutineleak"); proof != nil && !p.opts.DisableCollect {
		s.Leaked = provenLeaks(proof)
	}
	return s, nil
}

// groups returns the goroutines by what they do, nil if there are too many.
func (p *leakProcess) groups(n int) []GoroutineGroup {
	if n > p.opts.MaxGoroutines {
		return nil
	}
	records := make([]runtime.StackRecord, n+n/8+16)
	n, ok := runtime.GoroutineProfile(records)
	if !ok {
		return nil
	}
	counts := map[stack]int{}
	for i := range n {
		counts[records[i].Stack0]++
	}
	groups := map[groupKey]int{}
	for s, count := range counts {
		groups[nameOf(s[:slices.Index(append(s[:], 0), 0)])] += count
	}
	list := make([]GoroutineGroup, 0, len(groups))
	for key, count := range groups {
		list = append(list, GoroutineGroup{Entry: key.entry, At: key.at, Count: count})
	}
	return list
}

// nameOf returns the outermost and the innermost function of a stack that say what
// the goroutine is about.
func nameOf(pcs []uintptr) groupKey {
	var names []string
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		names = append(names, f.Function)
		if !more {
			return keyOf(names)
		}
	}
}

// keyOf names a stack, innermost function first.
func keyOf(names []string) (key groupKey) {
	for _, name := range names {
		if name == "" || plumbing(name) {
			continue
		}
		if key.at == "" {
			key.at = name
		}
		key.entry = name
	}
	if key.at == "" && len(names) > 0 {
		key = groupKey{entry: names[len(names)-1], at: names[0]}
	}
	return key
}

// plumbing tells functions that any program waits in or starts goroutines with.
func plumbing(function string) bool {
	for _, prefix := range []string{"runtime.", "internal/", "sync.", "syscall."} {
		if strings.HasPrefix(function, prefix) {
			return true
		}
	}
	return false
}

// provenLeaks reads the runtime's own profile of leaked goroutines, which has no
// form but text and protocol buffers.
func provenLeaks(profile *pprof.Profile) []GoroutineGroup {
	text := &cappedBuffer{left: maxProofText}
	_ = profile.WriteTo(text, 1) // what was written before an error counts
	return parseProfile(&text.Buffer)
}

// parseProfile reads groups "3 @ 0x1 0x2", each followed by lines "#", address,
// function+offset and position, separated by tabs.
func parseProfile(text *bytes.Buffer) (groups []GoroutineGroup) {
	var names []string
	count := 0
	flush := func() {
		if count > 0 && len(names) > 0 {
			key := keyOf(names)
			groups = append(groups, GoroutineGroup{Entry: key.entry, At: key.at, Count: count})
		}
		names, count = nil, 0
	}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "#\t"); ok {
			if fields := strings.Split(rest, "\t"); len(fields) >= 2 {
				name := fields[1]
				if i := strings.LastIndex(name, "+0x"); i > 0 {
					name = name[:i]
				}
				names = append(names, name)
			}
		} else if number, _, ok := strings.Cut(line, " @ "); ok {
			flush()
			count, _ = strconv.Atoi(number)
		}
	}
	flush()
	return groups
}

// cappedBuffer refuses what is beyond its bound.
type cappedBuffer struct {
	bytes.Buffer
	left int
}

var errCapped = errors.New("memory: profile too long")

func (b *cappedBuffer) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errCapped
	}
	return b.Buffer.Write(p)
}

// Bounds of the search for allocation sites.
const (
	maxSites      = 20_000 // records of the heap profile; above, there are no sites
	reportedSites = 5
)

// siteBase is the live bytes by allocation stack at a former window.
type siteBase map[stack]int64

// sites keeps a heap profile of one to two spans ago and compares a new suspect
// with it.
func (p *leakProcess) sites(st *leakState, suspected []*Suspect) {
	for _, s := range suspected {
		if s.Kind == LeakHeap {
			s.Sites = grownSites(p.bases[0], liveSites())
		}
	}
	if (st.samples-1)%leakWindows == 0 && st.heap.suspect == nil {
		p.bases[0], p.bases[1] = p.bases[1], liveSites()
		if p.bases[0] == nil {
			p.bases[0] = p.bases[1]
		}
	}
}

// liveSites reads the sampled heap profile, nil if it is too large.
func liveSites() siteBase {
	n, _ := runtime.MemProfile(nil, false)
	if n > maxSites {
		return nil
	}
	records := make([]runtime.MemProfileRecord, n+n/8+16)
	n, ok := runtime.MemProfile(records, false)
	if !ok {
		return nil
	}
	live := make(siteBase, n)
	for _, r := range records[:n] {
		live[r.Stack0] += unsampled(r.InUseBytes(), r.InUseObjects())
	}
	return live
}

// unsampled estimates how many bytes there are when so many were sampled, as the
// runtime's own profile does.
func unsampled(bytes, objects int64) int64 {
	rate := runtime.MemProfileRate
	if bytes <= 0 || objects <= 0 || rate <= 1 {
		return bytes
	}
	size := float64(bytes) / float64(objects)
	return int64(float64(bytes) / -math.Expm1(-size/float64(rate)))
}

// grownSites lists where live memory grew most.
func grownSites(before, now siteBase) []AllocSite {
	if before == nil {
		return nil
	}
	grown := map[AllocSite]int64{}
	for s, bytes := range now {
		if by := bytes - before[s]; by > 0 {
			grown[siteOf(s[:slices.Index(append(s[:], 0), 0)])] += by
		}
	}
	list := make([]AllocSite, 0, len(grown))
	for site, by := range grown {
		site.Grown = by
		list = append(list, site)
	}
	slices.SortFunc(list, func(a, b AllocSite) int {
		return cmp.Or(cmp.Compare(b.Grown, a.Grown), strings.Compare(a.Function, b.Function), strings.Compare(a.Line, b.Line))
	})
	return slices.Clone(list[:min(len(list), reportedSites)])
}

// siteOf names the innermost function of an allocation that is not the runtime's.
func siteOf(pcs []uintptr) AllocSite {
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		if !more || !plumbing(f.Function) {
			return AllocSite{Function: f.Function, Line: filepath.Base(f.File) + ":" + strconv.Itoa(f.Line)}
		}
	}
}
