package memory

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names of the files that describe the control groups of this process.
const (
	selfCgroup    = "/proc/self/cgroup"
	selfMountinfo = "/proc/self/mountinfo"
)

// noLimit is the least value that a version 1 hierarchy writes for "no limit":
// the largest int64 rounded down to a page, whatever the page size.
const noLimit = 1 << 62

// files reads a whole small file. The slice is valid until the next call.
type files func(name string) ([]byte, error)

// hierarchy is where the memory controller of this process is found: its own
// group first, then the parents that are visible, up to the mount.
type hierarchy struct {
	version int // 1, 2, or 0 when there is no memory controller
	groups  []groupFiles

	// What the last look at all limits found, and for which effective limit by the
	// kernel's word; 0 if there is no such word.
	binding groupFiles
	limit   int64
	told    int64
}

// groupFiles are the names of one group's files, put together once so that a
// reading need not. A name that its version lacks is empty.
type groupFiles struct {
	limit, high, usage, stat, pressure string
}

func newHierarchy(version int, dirs []string) hierarchy {
	h := hierarchy{version: version}
	for _, dir := range dirs {
		g := groupFiles{limit: dir + "/memory.limit_in_bytes", usage: dir + "/memory.usage_in_bytes", stat: dir + "/memory.stat"}
		if version == 2 {
			g.limit, g.high = dir+"/memory.max", dir+"/memory.high"
			g.usage, g.pressure = dir+"/memory.current", dir+"/memory.pressure"
		}
		h.groups = append(h.groups, g)
	}
	return h
}

// cgroupReading is the state of the group whose limit binds.
type cgroupReading struct {
	version                int
	limit                  int64 // 0: none
	usage                  int64
	inactiveFile, activeFl int64
	psi                    PSI
	hasPSI                 bool
}

// findHierarchy chooses the hierarchy that has the memory controller: on hybrid
// systems a version 2 tree is mounted too, but without that controller.
func findHierarchy(read files) (hierarchy, error) {
	data, err := read(selfCgroup)
	if err != nil {
		return hierarchy{}, err
	}
	v1, v2 := parseCgroup(data)
	if v1 == "" && v2 == "" {
		return hierarchy{}, nil
	}
	data, err = read(selfMountinfo)
	if err != nil {
		return hierarchy{}, err
	}
	mounts := parseMountinfo(data)
	if v1 != "" {
		if dirs := groupDirs(mounts, 1, v1); dirs != nil {
			return newHierarchy(1, dirs), nil
		}
	}
	if v2 != "" {
		if dirs := groupDirs(mounts, 2, v2); dirs != nil {
			return newHierarchy(2, dirs), nil
		}
	}
	return hierarchy{}, nil
}

// parseCgroup returns the path of the version 1 memory group and of the version 2
// group, each empty if absent. A path may hold colons.
func parseCgroup(data []byte) (v1, v2 string) {
	for line := range bytes.Lines(data) {
		parts := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(parts) != 3 || !strings.HasPrefix(parts[2], "/") {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			v2 = parts[2]
		case slices.Contains(strings.Split(parts[1], ","), "memory"):
			v1 = parts[2]
		}
	}
	return v1, v2
}

// mount is one mounted control group hierarchy that can hold memory groups.
type mount struct {
	version     int
	root, point string // root is the group that stands at point
}

// parseMountinfo lists the hierarchies with a memory controller in the format of
// proc(5). Lines may be of any length, and super options may hold raw spaces.
func parseMountinfo(data []byte) []mount {
	var mounts []mount
	for line := range bytes.Lines(data) {
		head, tail, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" - "))
		if !ok || !bytes.HasPrefix(tail, []byte("cgroup")) {
			continue
		}
		fields := strings.Fields(string(head))
		super := strings.SplitN(string(tail), " ", 3)
		if len(fields) < 6 || len(super) != 3 {
			continue
		}
		m := mount{root: unescapeOctal(fields[3]), point: path.Clean(unescapeOctal(fields[4]))}
		switch {
		case super[0] == "cgroup2":
			m.version = 2
		case super[0] == "cgroup" && slices.Contains(strings.Split(super[2], ","), "memory"):
			m.version = 1
		default:
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescapeOctal undoes the \ooo form in which the kernel writes blanks.
func unescapeOctal(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// groupDirs returns the directories of group and its parents under the mount that
// shows it, innermost first, or nil when no mount of that version exists.
func groupDirs(mounts []mount, version int, group string) []string {
	best, rel := -1, ""
	for i, m := range mounts {
		if m.version != version {
			continue
		}
		if best < 0 {
			best = i // shows some group at least: in a container usually ours
		}
		if r, ok := within(m.root, group); ok {
			best, rel = i, r
			break
		}
	}
	if best < 0 {
		return nil
	}
	point := mounts[best].point
	var dirs []string
	for rel != "" && rel != "/" && rel != "." {
		dirs = append(dirs, path.Join(point, rel))
		rel = path.Dir(rel)
	}
	return append(dirs, point)
}

// within returns the path of group relative to root, and whether it is inside. A
// group shown with ".." lies outside the namespace and cannot be reached.
func within(root, group string) (string, bool) {
	if slices.Contains(strings.Split(group, "/"), "..") {
		return "", false
	}
	group = path.Clean(group)
	if root == "/" {
		return group, true
	}
	if group == root {
		return "", true
	}
	if rest, ok := strings.CutPrefix(group, root+"/"); ok {
		return "/" + rest, true
	}
	return "", false
}

// prune forgets the files that are not there, such as the limit of the root group,
// so that no reading tries to open them.
func (h *hierarchy) prune(read files) {
	for i := range h.groups {
		g := &h.groups[i]
		for _, name := range []*string{&g.limit, &g.high, &g.usage, &g.stat, &g.pressure} {
			if _, err := read(*name); errors.Is(err, fs.ErrNotExist) {
				*name = ""
			}
		}
	}
}

// read returns the state of the group with the lowest limit. Groups without a
// readable limit, such as the root of version 2, are passed over.
func (h *hierarchy) read(read files) cgroupReading {
	r := cgroupReading{version: h.version}
	if len(h.groups) == 0 {
		return r
	}
	own := h.groups[0]
	stat := own.readStat(read, h.version)
	// Version 1 tells the lowest limit of group and parents in one place: while it
	// stays, the group that sets it stays too.
	if stat.limit == 0 || stat.limit != h.told {
		h.findLimit(read)
		h.told = stat.limit
	}
	if h.binding != own {
		stat = h.binding.readStat(read, h.version)
	}
	r.limit = h.limit
	if stat.limit > 0 && stat.limit < noLimit && (r.limit == 0 || stat.limit < r.limit) {
		r.limit = stat.limit // of a parent that is not mounted here
	}
	r.inactiveFile, r.activeFl = stat.inactiveFile, stat.activeFile
	if data, err := readNamed(read, h.binding.usage); err == nil {
		r.usage, _ = parseInt(bytes.TrimSpace(data))
	}
	if data, err := readNamed(read, own.pressure); err == nil {
		r.psi, r.hasPSI = parsePSI(data)
	}
	return r
}

// findLimit reads the limits of all groups and remembers the lowest.
func (h *hierarchy) findLimit(read files) {
	h.limit, h.binding = 0, h.groups[0]
	for _, g := range h.groups {
		if limit := g.readLimit(read); limit > 0 && (h.limit == 0 || limit <= h.limit) {
			h.limit, h.binding = limit, g
		}
	}
}

// readNamed reads a file unless its name is empty.
func readNamed(read files, name string) ([]byte, error) {
	if name == "" {
		return nil, fs.ErrNotExist
	}
	return read(name)
}

// readLimit returns the limit that the group itself sets, or 0.
func (g groupFiles) readLimit(read files) int64 {
	limit := readLimit(read, g.limit)
	if g.high == "" {
		return limit
	}
	high := readLimit(read, g.high)
	if limit == 0 || high > 0 && high < limit {
		return high // throttling starts here, long before the kill at max
	}
	return limit
}

// groupStat is what memory.stat tells of a group.
type groupStat struct {
	inactiveFile, activeFile int64
	limit                    int64 // version 1: the lowest of the group and its parents; 0: not told
}

func (g groupFiles) readStat(read files, version int) (s groupStat) {
	prefix := ""
	if version == 1 {
		prefix = "total_"
	}
	data, err := readNamed(read, g.stat)
	if err != nil {
		return s
	}
	for line := range bytes.Lines(data) {
		key, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if !ok {
			continue
		}
		n, ok := parseInt(value)
		if !ok {
			continue
		}
		switch {
		case version == 1 && string(key) == "hierarchical_memory_limit":
			s.limit = max(1, n)
		case len(key) <= len(prefix) || string(key[:len(prefix)]) != prefix:
		case string(key[len(prefix):]) == "inactive_file":
			s.inactiveFile = n
		case string(key[len(prefix):]) == "active_file":
			s.activeFile = n
		}
	}
	return s
}

// readLimit reads one limit; "max", absent files and the version 1 value for "no
// limit" give 0. A limit of 0 bytes, which can be set, gives 1.
func readLimit(read files, name string) int64 {
	data, err := readNamed(read, name)
	if err != nil {
		return 0
	}
	n, ok := parseInt(bytes.TrimSpace(data))
	if !ok || n >= noLimit {
		return 0
	}
	return max(1, n)
}

// parseInt parses a decimal number without allocating; values beyond int64 are
// the largest int64, which every caller takes as "no limit".
func parseInt(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (1<<63-1-9)/10 {
			n = 1<<63 - 1
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// parsePSI reads the avg10 fields of a pressure file.
func parsePSI(data []byte) (PSI, bool) {
	var p PSI
	found := false
	for line := range bytes.Lines(data) {
		kind, rest, _ := bytes.Cut(line, []byte(" "))
		_, rest, ok := bytes.Cut(rest, []byte("avg10="))
		if !ok {
			continue
		}
		number, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
		percent, ok := parsePercent(number)
		switch {
		case !ok:
		case string(kind) == "some":
			p.Some, found = percent/100, true
		case string(kind) == "full":
			p.Full, found = percent/100, true
		}
	}
	return p, found
}

// parsePercent parses digits with at most one point, such as 12.34.
func parsePercent(b []byte) (float64, bool) {
	whole, frac, _ := bytes.Cut(b, []byte("."))
	n, ok := parseInt(whole)
	if !ok || n > 100 {
		return 0, false
	}
	v, scale := float64(n), 1.0
	for _, c := range frac {
		if c < '0' || c > '9' {
			return 0, false
		}
		scale /= 10
		v += float64(c-'0') * scale
	}
	return v, true
}

// rediscoverAfter is how long a hierarchy found once is used before the files
// that lead to it are read again: a process can be moved to another group.
const rediscoverAfter = time.Minute
