package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// meter reads the memory of the child from a control group of its own, where one can
// be made (root), and else from the process.
type meter struct {
	pid   int
	limit int64  // of the group; 0 without one
	group string // the group's directory; "" without one
	files groupFiles
}

// groupFiles are the names of one version of the kernel's interface.
type groupFiles struct{ root, is, limit, usage, inactive, events string }

// groupVersions are version 2 and version 1.
func groupVersions() []groupFiles {
	return []groupFiles{
		{"/sys/fs/cgroup", "cgroup.controllers", "memory.max", "memory.current", "inactive_file", "memory.events"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "memory.oom_control"},
	}
}

// newMeter makes a control group with that limit, if it may.
func newMeter(limit int64) (*meter, error) {
	for _, files := range groupVersions() {
		if _, err := os.Stat(filepath.Join(files.root, files.is)); err != nil {
			continue
		}
		group := filepath.Join(files.root, fmt.Sprintf("perfblocks-proof-%d-%d", os.Getpid(), time.Now().UnixNano()))
		if os.Mkdir(group, 0o755) != nil {
			continue
		}
		// Without O_CREATE: where the memory controller is not handed down there is no such file.
		f, err := os.OpenFile(filepath.Join(group, files.limit), os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(strconv.FormatInt(limit, 10))
			err = errors.Join(err, f.Close())
		}
		if err == nil {
			return &meter{group: group, files: files, limit: limit}, nil
		}
		os.Remove(group)
	}
	return &meter{}, nil
}

// add puts the process into the group.
func (m *meter) add(pid int) error {
	m.pid = pid
	if m.group == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(m.group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
}

// used is the group's usage less inactive files, or the resident memory.
func (m *meter) used() (int64, error) {
	if m.group == "" {
		return field(fmt.Sprintf("/proc/%d/status", m.pid), "VmRSS:", 1024)
	}
	text, err := os.ReadFile(filepath.Join(m.group, m.files.usage))
	if err != nil {
		return 0, err
	}
	current, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, err
	}
	inactive, err := field(filepath.Join(m.group, "memory.stat"), m.files.inactive, 1)
	return max(current-inactive, 0), err
}

func (m *meter) kills() int64 {
	if m.group == "" {
		return 0
	}
	n, _ := field(filepath.Join(m.group, m.files.events), "oom_kill", 1) // gone groups have none
	return n
}

// close removes the group; the child must have ended.
func (m *meter) close() error {
	if m.group == "" {
		return nil
	}
	err := os.Remove(m.group)
	for range 20 { // busy for a moment after its last process has ended
		if err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
		err = os.Remove(m.group)
	}
	return err
}

// field reads the number behind a word that begins a line.
func field(path, word string, unit int64) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == word {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n * unit, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, word)
}
