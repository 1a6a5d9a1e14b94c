package oom

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Status is a line that the service prints; see there.
type Status struct {
	Answered, Late, Refused, Slow, Open int64
	Cached, Limit                       int64
	Level                               int
	Paused, Ended                       bool
}

// Result is how a run went.
type Result struct {
	Killed  bool          // by the kernel, for want of memory
	Lived   time.Duration // until the end or the kill
	Last    Status
	Peak    int64         // of the group, in bytes
	CutPeak int64         // after Reacted
	Reacted time.Duration // from the cut until runtime, cache and usage had followed; 0: not seen
}

// Ask is what to run.
type Ask struct {
	Mode       string
	Env        []string
	Limit      int64         // of the group, in bytes
	Load       time.Duration // of requests
	CutTo      int64         // in a pause after Load, unless 0
	Rest       time.Duration // of requests after that
	Patience   time.Duration // then the service is stopped, alive
	RuntimeCut int64         // the runtime's limit is at most this after the cut
}

// Build compiles the service into dir.
func Build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "service")
	const source = "github.com/perfblocks/perfblocks/examples/versus/internal/oom/service"
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the service: %w: %s", err, out)
	}
	return program, nil
}

// Run runs the service in a new group.
func Run(ctx context.Context, program string, a Ask) (r Result, err error) {
	g, err := NewGroup(a.Mode, a.Limit)
	if err != nil {
		return r, err
	}
	defer func() {
		if e := g.Close(); err == nil {
			err = e
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, a.Patience)
	defer cancel()
	line := g.enter(program, []string{"-mode", a.Mode, "-load", a.Load.String(), "-rest", a.Rest.String()})
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(os.Environ(), a.Env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return r, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	watchErr := watch(g, a, in, out, &r)
	err = cmd.Wait()
	r.Lived = time.Since(start)
	kills, killErr := g.Kills()
	if peak, e := g.Peak(); e == nil && a.CutTo == 0 {
		r.Peak = peak
	} else if e == nil {
		r.CutPeak = peak
	}
	switch exit, _ := err.(*exec.ExitError); {
	case killErr != nil:
		return r, killErr
	case exit != nil && kills > 0 && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		r.Killed = true
		return r, nil
	case ctx.Err() != nil: // patience is at its end
		return r, nil
	case err != nil:
		return r, err
	}
	return r, watchErr
}

// watch follows what the service prints, and cuts the limit in its pause.
func watch(g *Group, a Ask, in io.Writer, out io.Reader, r *Result) error {
	var cut time.Time
	var before int64
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var s Status
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return fmt.Errorf("the service printed %q: %w", lines.Bytes(), err)
		}
		r.Last = s
		switch {
		case s.Paused && cut.IsZero():
			if err := g.SetLimit(a.CutTo); err != nil {
				continue // more is in use than that: the service still gives back
			}
			peak, err := g.Peak()
			if err != nil {
				return err
			}
			r.Peak = peak
			cut, before = time.Now(), s.Cached
			if _, err := io.WriteString(in, "go on\n"); err != nil {
				return err
			}
		case !cut.IsZero() && r.Reacted == 0 && s.Limit <= a.RuntimeCut && s.Cached <= before*4/5:
			// A fifth of the cache is gone and the runtime knows; is the group small?
			usage, err := g.Usage()
			if err != nil {
				return err
			}
			if usage > a.CutTo*9/10 {
				continue
			}
			r.Reacted = time.Since(cut)
			if err := g.ResetPeak(); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}
