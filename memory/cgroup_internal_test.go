package memory

import (
	"io/fs"
	"strings"
	"testing"
)

// tree is a file system of fixtures.
type tree map[string]string

func (f tree) read(name string) ([]byte, error) {
	if s, ok := f[name]; ok {
		return []byte(s), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

const (
	v1Mount     = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
	v2Mount     = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	hybridMount = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	cpuMount    = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
	none1       = "9223372036854771712\n"
)

func TestCgroupLimits(t *testing.T) {
	// A real overlay mount can have a line of many KiB.
	long := "22 1 0:20 / / rw - overlay overlay rw,lowerdir=" + strings.Repeat("/var/lib/layers/abcdef:", 8000) + "\n"
	for _, tc := range []struct {
		name  string
		files tree
		want  cgroupReading
	}{
		{"absent", tree{selfCgroup: "", selfMountinfo: ""}, cgroupReading{}},
		{"v2", tree{
			selfCgroup:                             "0::/app\n",
			selfMountinfo:                          v2Mount,
			"/sys/fs/cgroup/app/memory.max":        "1000\n",
			"/sys/fs/cgroup/app/memory.high":       "max\n",
			"/sys/fs/cgroup/app/memory.current":    "700\n",
			"/sys/fs/cgroup/app/memory.stat":       "anon 5\ninactive_file 100\nactive_file 50\n",
			"/sys/fs/cgroup/app/memory.pressure":   "some avg10=1.50 avg60=0 avg300=0 total=1\nfull avg10=0.25 avg60=0 avg300=0 total=1\n",
			"/sys/fs/cgroup/memory.stat":           "inactive_file 9\n",
			"/sys/fs/cgroup/app/unrelated.current": "9\n",
		}, cgroupReading{version: 2, limit: 1000, usage: 700, inactiveFile: 100, activeFl: 50, hasPSI: true, psi: PSI{Some: 0.015, Full: 0.0025}}},
		{"v2 high below max", tree{
			selfCgroup: "0::/app\n", selfMountinfo: v2Mount,
			"/sys/fs/cgroup/app/memory.max": "1000\n", "/sys/fs/cgroup/app/memory.high": "800\n",
		}, cgroupReading{version: 2, limit: 800}},
		{"v2 only high", tree{
			selfCgroup: "0::/app\n", selfMountinfo: v2Mount,
			"/sys/fs/cgroup/app/memory.max": "max\n", "/sys/fs/cgroup/app/memory.high": "800\n",
		}, cgroupReading{version: 2, limit: 800}},
		{"v2 parent", tree{
			selfCgroup: "0::/pod/app\n", selfMountinfo: v2Mount,
			"/sys/fs/cgroup/pod/app/memory.max": "max\n", "/sys/fs/cgroup/pod/app/memory.current": "5\n",
			"/sys/fs/cgroup/pod/memory.max": "500\n", "/sys/fs/cgroup/pod/memory.current": "300\n",
		}, cgroupReading{version: 2, limit: 500, usage: 300}},
		{"v2 parent with less", tree{
			selfCgroup: "0::/pod/app\n", selfMountinfo: v2Mount,
			"/sys/fs/cgroup/pod/app/memory.max": "1000\n", "/sys/fs/cgroup/pod/app/memory.current": "5\n",
			"/sys/fs/cgroup/pod/memory.max": "500\n", "/sys/fs/cgroup/pod/memory.current": "300\n",
		}, cgroupReading{version: 2, limit: 500, usage: 300}},
		{"v2 parent with more", tree{
			selfCgroup: "0::/pod/app\n", selfMountinfo: v2Mount,
			"/sys/fs/cgroup/pod/app/memory.max": "400\n", "/sys/fs/cgroup/pod/app/memory.current": "5\n",
			"/sys/fs/cgroup/pod/memory.max": "500\n", "/sys/fs/cgroup/pod/memory.current": "300\n",
		}, cgroupReading{version: 2, limit: 400, usage: 5}},
		{"v2 parent with as much", tree{ // its usage is the larger one
			selfCgroup: "0::/pod/app\n", selfMountinfo: v2Mount,
			"/sys/fs/cgroup/pod/app/memory.max": "500\n", "/sys/fs/cgroup/pod/app/memory.current": "5\n",
			"/sys/fs/cgroup/pod/memory.max": "500\n", "/sys/fs/cgroup/pod/memory.current": "300\n",
		}, cgroupReading{version: 2, limit: 500, usage: 300}},
		{"v2 no limit", tree{
			selfCgroup: "0::/app\n", selfMountinfo: v2Mount,
			"/sys/fs/cgroup/app/memory.max": "max\n", "/sys/fs/cgroup/app/memory.current": "5\n",
		}, cgroupReading{version: 2, usage: 5}},
		{"v2 limit of zero", tree{
			selfCgroup: "0::/\n", selfMountinfo: v2Mount, "/sys/fs/cgroup/memory.max": "0\n",
		}, cgroupReading{version: 2, limit: 1}},
		{"v1", tree{
			selfCgroup: "5:cpu,memory:/a\n", selfMountinfo: cpuMount + v1Mount,
			"/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": none1,
			"/sys/fs/cgroup/memory/a/memory.usage_in_bytes": "700\n",
			"/sys/fs/cgroup/memory/a/memory.stat":           "inactive_file 1\nhierarchical_memory_limit 1000\ntotal_inactive_file 100\ntotal_active_file 20\n",
		}, cgroupReading{version: 1, limit: 1000, usage: 700, inactiveFile: 100, activeFl: 20}},
		{"v1 no limit", tree{
			selfCgroup: "5:memory:/\n", selfMountinfo: v1Mount,
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": none1,
			"/sys/fs/cgroup/memory/memory.stat":           "hierarchical_memory_limit " + none1,
		}, cgroupReading{version: 1}},
		{"v1 no limit with pages of 64 KiB", tree{
			selfCgroup: "5:memory:/\n", selfMountinfo: v1Mount,
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854710272\n",
		}, cgroupReading{version: 1}},
		{"v1 parent that is not mounted", tree{
			selfCgroup: "5:memory:/docker/x\n", selfMountinfo: strings.Replace(v1Mount, " / /sys", " /docker/x /sys", 1),
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": none1,
			"/sys/fs/cgroup/memory/memory.stat":           "hierarchical_memory_limit 400\n",
		}, cgroupReading{version: 1, limit: 400}},
		{"hybrid", tree{
			selfCgroup: "4:memory:/a\n0::/b\n", selfMountinfo: hybridMount + v1Mount,
			"/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "77\n", "/sys/fs/cgroup/unified/b/memory.max": "5\n",
		}, cgroupReading{version: 1, limit: 77}},
		{"colon in the path", tree{
			selfCgroup: "0::/a:b:c\n", selfMountinfo: v2Mount, "/sys/fs/cgroup/a:b:c/memory.max": "9\n",
		}, cgroupReading{version: 2, limit: 9}},
		{"escaped mount point and raw blanks in options", tree{
			selfCgroup:                        "0::/a\n",
			selfMountinfo:                     `30 23 0:26 / /mnt/c\040g\134x rw - cgroup2 none rw,path=C:\Program Files\x` + "\n",
			"/mnt/c g\\x/a/memory.max":        "11\n",
			"/mnt/c\\040g\\134x/a/memory.max": "12\n",
		}, cgroupReading{version: 2, limit: 11}},
		{"long line first", tree{
			selfCgroup: "0::/a\n", selfMountinfo: long + v2Mount, "/sys/fs/cgroup/a/memory.max": "13\n",
		}, cgroupReading{version: 2, limit: 13}},
		{"outside the namespace", tree{
			selfCgroup: "0::/../../other\n", selfMountinfo: v2Mount,
			"/sys/fs/cgroup/memory.max": "14\n", "/other/memory.max": "1\n",
		}, cgroupReading{version: 2, limit: 14}},
		{"bound to a part of the tree", tree{
			selfCgroup: "0::/pod/app\n", selfMountinfo: strings.Replace(v2Mount, " / /sys", " /pod /sys", 1),
			"/sys/fs/cgroup/app/memory.max": "15\n", "/sys/fs/cgroup/pod/app/memory.max": "1\n",
		}, cgroupReading{version: 2, limit: 15}},
		{"garbage", tree{
			selfCgroup: "x\n::\n0:\n0::relative\n", selfMountinfo: "- -\n\n1 2 - cgroup2\n",
		}, cgroupReading{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, err := findHierarchy(tc.files.read)
			if err != nil {
				t.Fatal(err)
			}
			if got := h.read(tc.files.read); got != tc.want {
				t.Errorf("read in %v = %+v; want %+v", h.groups, got, tc.want)
			}
		})
	}
}

func TestStatsApply(t *testing.T) {
	for _, tc := range []struct {
		name     string
		stats    Stats
		os       osReading
		explicit int64
		used     int64
		limit    int64
		source   LimitSource
	}{
		{"nothing known", Stats{}, osReading{}, 0, 100, 0, LimitSourceNone},
		{"system", Stats{}, osReading{systemTotal: 1000, rss: 50}, 0, 150, 1000, LimitSourceSystem},
		{"gomemlimit counts Go alone", Stats{GoTotal: 200, GoMemLimit: 1000}, osReading{rss: 500}, 0, 100, 1000, LimitSourceGoMemLimit},
		{"cgroup counts all but files", Stats{GoTotal: 200, GoMemLimit: 900}, osReading{cgroup: cgroupReading{
			version: 2, limit: 1000, usage: 800, inactiveFile: 100, activeFl: 100,
		}}, 0, 500, 1000, LimitSourceCgroupV2},
		{"the least room wins", Stats{GoTotal: 200, GoMemLimit: 110}, osReading{cgroup: cgroupReading{version: 1, limit: 1000, usage: 210}}, 0, 100, 110, LimitSourceGoMemLimit},
		{"explicit", Stats{GoTotal: 200}, osReading{rss: 260, cgroup: cgroupReading{version: 1, limit: 1000, usage: 260}}, 200, 160, 200, LimitSourceExplicit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := tc.stats
			s.apply(tc.os, 100, tc.explicit)
			if s.Used != tc.used || s.Limit != tc.limit || s.LimitSource != tc.source {
				t.Errorf("used %d of %d by %v; want %d of %d by %v", s.Used, s.Limit, s.LimitSource, tc.used, tc.limit, tc.source)
			}
		})
	}
}

func FuzzCgroup(f *testing.F) {
	f.Add("5:cpu,memory:/a\n0::/b\n", v1Mount+v2Mount, "1000\n", "some avg10=1.50 avg60=0\nfull avg10=0.25\n")
	f.Add("0::/a:b\n", `30 23 0:26 /r\040x /mnt/c\134g rw - cgroup2 none rw,x y`+"\n", "max\n", "inactive_file 5\n")
	f.Add("0::/../x\n", strings.Replace(v2Mount, " / /sys", " /a /sys", 1), none1, "total_inactive_file 99999999999999999999\n")
	f.Fuzz(func(t *testing.T, cgroup, mountinfo, number, table string) {
		read := func(name string) ([]byte, error) {
			switch {
			case name == selfCgroup:
				return []byte(cgroup), nil
			case name == selfMountinfo:
				return []byte(mountinfo), nil
			case strings.HasSuffix(name, ".stat"), strings.HasSuffix(name, ".pressure"):
				return []byte(table), nil
			}
			return []byte(number), nil
		}
		h, err := findHierarchy(read)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range h.groups {
			for part := range strings.SplitSeq(g.stat, "/") {
				if part == ".." {
					t.Errorf("file %q leads out of the mount", g.stat)
				}
			}
		}
		r := h.read(read)
		if r.limit < 0 || r.usage < 0 || r.inactiveFile < 0 || r.activeFl < 0 {
			t.Errorf("negative sizes: %+v", r)
		}
		if !(r.psi.Some >= 0 && r.psi.Some <= 1.01 && r.psi.Full >= 0 && r.psi.Full <= 1.01) {
			t.Errorf("PSI = %+v; want shares", r.psi)
		}
	})
}

// TestCgroupFollows: one hierarchy that is read again and again sees every change of
// a limit, and with version 1 does not read the limits while none has changed.
func TestCgroupFollows(t *testing.T) {
	const own, pod = "/sys/fs/cgroup/memory/pod/a/", "/sys/fs/cgroup/memory/pod/"
	stat := func(limit string) string { return "hierarchical_memory_limit " + limit + "\ntotal_inactive_file 1\n" }
	files := tree{
		selfCgroup: "5:memory:/pod/a\n", selfMountinfo: v1Mount,
		own + "memory.limit_in_bytes": none1, own + "memory.usage_in_bytes": "10\n", own + "memory.stat": stat(none1),
		pod + "memory.limit_in_bytes": none1, pod + "memory.usage_in_bytes": "30\n", pod + "memory.stat": stat(none1),
		"/sys/fs/cgroup/memory/memory.limit_in_bytes": none1,
	}
	reads := 0
	read := func(name string) ([]byte, error) {
		if strings.HasSuffix(name, "limit_in_bytes") {
			reads++
		}
		return files.read(name)
	}
	h, err := findHierarchy(read)
	if err != nil {
		t.Fatal(err)
	}
	h.prune(read)
	for i, step := range []struct {
		own, pod, told string
		limit, usage   int64
	}{
		{none1, none1, none1, 0, 10},
		{"900", none1, "900", 900, 10},
		{"900", "500", "500", 500, 30},
		{"900", "600", "600", 600, 30},
		{"400", "600", "400", 400, 10},
		{none1, none1, none1, 0, 10},
	} {
		files[own+"memory.limit_in_bytes"], files[own+"memory.stat"] = step.own, stat(step.told)
		files[pod+"memory.limit_in_bytes"] = step.pod
		for again := range 3 {
			reads = 0
			if r := h.read(read); r.limit != step.limit || r.usage != step.usage {
				t.Errorf("step %d: limit %d, usage %d; want %d, %d", i, r.limit, r.usage, step.limit, step.usage)
			}
			if again > 0 && reads != 0 {
				t.Errorf("step %d: %d limits read again although none changed", i, reads)
			}
		}
	}
}

// TestCgroupPrune: files that are not there are not asked for again.
func TestCgroupPrune(t *testing.T) {
	files := tree{
		selfCgroup: "0::/a\n", selfMountinfo: v2Mount,
		"/sys/fs/cgroup/a/memory.max": "100\n", "/sys/fs/cgroup/a/memory.current": "40\n",
	}
	h, err := findHierarchy(files.read)
	if err != nil {
		t.Fatal(err)
	}
	h.prune(files.read)
	r := h.read(func(name string) ([]byte, error) {
		if _, ok := files[name]; !ok {
			t.Errorf("%s was asked for", name)
		}
		return files.read(name)
	})
	if want := (cgroupReading{version: 2, limit: 100, usage: 40}); r != want {
		t.Errorf("read = %+v; want %+v", r, want)
	}
}
