package oom

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const root = "/sys/fs/cgroup/memory"

// Group is a control group of the version 1 memory hierarchy.
type Group struct{ dir string }

// NewGroup makes a group with a limit in bytes. An error says why that is not possible
// here.
func NewGroup(name string, limit int64) (*Group, error) {
	g := &Group{dir: filepath.Join(root, fmt.Sprintf("perfblocks-%s-%d", name, os.Getpid()))}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("needs root and a version 1 memory hierarchy: %w", err)
	}
	if err := g.SetLimit(limit); err != nil {
		return nil, fmt.Errorf("setting a limit: %w (and %v)", err, g.Close())
	}
	return g, nil
}

// Close removes the group once its last process is gone.
func (g *Group) Close() error {
	var err error
	for range 50 {
		if err = os.Remove(g.dir); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond) // the kernel takes its time with the dead
	}
	return err
}

// SetLimit changes the limit; the kernel refuses one that is below what is in use and
// cannot be reclaimed.
func (g *Group) SetLimit(limit int64) error {
	return os.WriteFile(filepath.Join(g.dir, "memory.limit_in_bytes"), strconv.AppendInt(nil, limit, 10), 0)
}

// Usage and Peak are in bytes, file pages included. ResetPeak makes the peak the usage
// of now.
func (g *Group) Usage() (int64, error) { return g.number("memory.usage_in_bytes") }

// Peak is the highest usage since the group was made or ResetPeak.
func (g *Group) Peak() (int64, error) { return g.number("memory.max_usage_in_bytes") }

// ResetPeak makes the present usage the peak.
func (g *Group) ResetPeak() error {
	return os.WriteFile(filepath.Join(g.dir, "memory.max_usage_in_bytes"), []byte("0"), 0)
}

// Kills is how many processes of the group the kernel has killed for want of memory.
func (g *Group) Kills() (int64, error) {
	data, err := os.ReadFile(filepath.Join(g.dir, "memory.oom_control"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		}
	}
	return 0, fmt.Errorf("no oom_kill in %q", data)
}

// enter is the command line that runs a program inside the group.
func (g *Group) enter(program string, args []string) []string {
	return append([]string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs"), program}, args...)
}

func (g *Group) number(file string) (int64, error) {
	data, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
}
