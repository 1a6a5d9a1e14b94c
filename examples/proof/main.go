package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are the flags.
type settings struct {
	full  bool
	json  string
	only  string
	limit int
	plan
}

func readSettings(args []string, stderr io.Writer) (c settings, err error) {
	fs := flag.NewFlagSet("proof", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.BoolVar(&c.full, "full", false, "every mode and the search for the most users; judges, some forty minutes")
	fs.IntVar(&c.users, "users", 600, "`number` of users at once")
	fs.Float64Var(&c.zipf, "zipf", 0.99, "`exponent` of the users' popularity")
	fs.DurationVar(&c.measure, "measure", 0, "measured `time` for each mode; default 45s, with -full 100s")
	fs.DurationVar(&c.warmup, "warmup", 0, "`time` before that; default 12s, with -full 30s")
	fs.IntVar(&c.limit, "limit", 384, "memory limit of the service in `MiB`")
	fs.Uint64Var(&c.seed, "seed", 1, "`seed` of what users do")
	fs.StringVar(&c.out, "out", "", "`directory` for plots and logs; default: a temporary one")
	fs.StringVar(&c.json, "json", "", "write all figures to this `file`, - for standard output")
	fs.StringVar(&c.only, "mode", "", "run this `mode` only")
	fs.BoolVar(&c.faults, "faults", true, "play the script of faults")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if fs.NArg() > 0 || c.users < 1 || c.users > 100_000 || c.limit < 64 || c.zipf < 0 {
		return c, fmt.Errorf("proof: users must be 1 to 100000, the limit at least 64 MiB, the exponent not negative, and there are no arguments; see -help")
	}
	c.plan.limit = int64(c.limit) << 20
	if c.measure == 0 {
		c.measure = map[bool]time.Duration{false: 45 * time.Second, true: 100 * time.Second}[c.full]
	}
	if c.warmup == 0 {
		c.warmup = map[bool]time.Duration{false: 12 * time.Second, true: 30 * time.Second}[c.full]
	}
	return c, nil
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := readSettings(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var r *report
	if err == nil {
		r, err = c.measureAll(ctx, stderr)
	}
	if err == nil {
		err = c.tell(r, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "proof:", err)
		return 2
	}
	if r.missed() > 0 {
		return 1
	}
	return 0
}

// measureAll runs the modes one after another.
func (c *settings) measureAll(ctx context.Context, progress io.Writer) (*report, error) {
	var err error
	if c.out == "" {
		c.out, err = os.MkdirTemp("", "proof-")
	} else {
		err = os.MkdirAll(c.out, 0o755)
	}
	if err != nil {
		return nil, err
	}
	start := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(progress, "%4.0f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	say("building chatserver; plots and logs go to %s", c.out)
	if c.bin, err = build(ctx, c.out); err != nil {
		return nil, err
	}
	r := &report{Machine: thisMachine(), Full: c.full, Plan: map[string]string{
		"users": fmt.Sprint(c.users), "measure": c.measure.String(), "warmup": c.warmup.String(), "seed": fmt.Sprint(c.seed), "zipf": fmt.Sprint(c.zipf), "limit": fmt.Sprintf("%d MiB", c.limit),
	}}
	for _, m := range modes(c.full) {
		if c.only != "" && m.name != c.only {
			continue
		}
		say("mode %s", m.name)
		x, err := c.run(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("mode %s: %w", m.name, err)
		}
		say("mode %s: %.0f answers/s, p99 %s, good %.2f %%", m.name, x.All.PerSecond, msText(x.All.P99), 100*x.All.GoodShare())
		r.Results = append(r.Results, x)
	}
	if len(r.Results) == 0 {
		return nil, fmt.Errorf("there is no mode %q", c.only)
	}
	if c.full && c.only == "" {
		if err := c.searchUsers(ctx, r, say); err != nil {
			return nil, err
		}
	}
	r.judge()
	return r, nil
}

func (c *settings) tell(r *report, stdout io.Writer) error {
	r.markdown(stdout)
	paths, err := plots(c.out, r.Results, c.plan)
	if err != nil {
		return err
	}
	for _, path := range paths {
		fmt.Fprintln(stdout, "plot:", path)
	}
	if c.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if c.json == "-" {
		_, err = stdout.Write(append(text, '\n'))
		return err
	}
	return os.WriteFile(c.json, append(text, '\n'), 0o644)
}
