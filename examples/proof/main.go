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
	context.AfterFunc(ctx, stop) // whoever interrupts twice does not want to wait
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
	fs.IntVar(&c.users, "users", 600, "`number` of users at once, on average over the measured day; at its peak a third more")
	fs.Float64Var(&c.zipf, "zipf", 0.99, "`exponent` of the users' popularity")
	fs.DurationVar(&c.measure, "measure", 0, "measured `time` of each mode; default 45s, with -full 104s, and half of it for what is not off, fk or all")
	fs.DurationVar(&c.warmup, "warmup", 0, "`time` before that; default 12s, with -full 30s")
	fs.IntVar(&c.limit, "limit", 384, "memory limit of the service in `MiB`")
	fs.Uint64Var(&c.seed, "seed", 1, "`seed` of what users do")
	fs.StringVar(&c.out, "out", "", "`directory` for plots and logs; default: a temporary one")
	fs.StringVar(&c.json, "json", "", "write all figures to this `file`; - for standard output, the tables go to standard error then")
	fs.StringVar(&c.only, "mode", "", "run this `mode` only, or, with -full, search or adverse")
	fs.BoolVar(&c.faults, "faults", true, "play the script of faults")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if c.measure == 0 {
		c.measure = map[bool]time.Duration{false: 45 * time.Second, true: 104 * time.Second}[c.full]
	}
	if c.warmup == 0 {
		c.warmup = map[bool]time.Duration{false: 12 * time.Second, true: 30 * time.Second}[c.full]
	}
	c.plan.limit = int64(c.limit) << 20
	return c, c.check(fs.NArg())
}

func (c *settings) check(arguments int) error {
	names := []string{}
	for _, st := range c.steps(nil, nil) {
		names = append(names, st.name)
	}
	switch {
	case arguments > 0:
		return errors.New("all settings are flags, see -help")
	case c.users < 1 || c.users > 100_000:
		return fmt.Errorf("-users %d is not in 1 to 100000", c.users)
	case c.limit < 64 || c.limit > 1<<20:
		return fmt.Errorf("-limit %d is not in 64 to 1048576 MiB", c.limit)
	case !(c.zipf >= 0 && c.zipf <= 5): // not a number is not either
		return fmt.Errorf("-zipf %v is not in 0 to 5", c.zipf)
	case c.measure < 2*time.Second || c.measure > time.Hour || c.warmup < 0 || c.warmup > time.Hour:
		return fmt.Errorf("-measure %v is not in 2s to 1h, or -warmup %v is not in 0 to 1h", c.measure, c.warmup)
	case c.only != "" && len(names) == 0:
		return fmt.Errorf("there is no -mode %q, with -full=%t", c.only, c.full)
	}
	return nil
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
		err = c.tell(r, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "proof:", err)
		return 2
	}
	switch {
	case r.Interrupted || len(r.Failed) > 0:
		return 2
	case r.missed() > 0:
		return 1
	}
	return 0
}

// step is a part of the run that can fail by itself.
type step struct {
	name string
	do   func(context.Context) error
}

// steps are what the settings ask for: first what the goals are judged by.
func (c *settings) steps(r *report, say func(string, ...any)) (all []step) {
	add := func(name string, do func(context.Context) error) {
		if c.only == "" || c.only == name {
			all = append(all, step{name, do})
		}
	}
	measure := func(modes []mode) {
		for _, m := range modes {
			add(m.name, func(ctx context.Context) error {
				x, err := c.run(ctx, m)
				if err == nil {
					say("mode %s: %.0f answers/s, p99 %s, good %.2f %%", m.name, x.All.PerSecond, msText(x.All.P99), 100*x.All.GoodShare())
					r.Results = append(r.Results, x)
				}
				return err
			})
		}
	}
	measure(mainModes())
	if c.full {
		add("search", func(ctx context.Context) error { return c.searchUsers(ctx, r, say) })
		add("adverse", func(ctx context.Context) error { return c.adverse(ctx, r, say) })
		measure(sideModes())
	}
	return all
}

// measureAll does all steps, one after another. A step that fails, or an interruption,
// does not lose what was measured before it.
func (c *settings) measureAll(ctx context.Context, progress io.Writer) (r *report, err error) {
	if c.json != "" && c.json != "-" { // now rather than in forty minutes
		f, err := os.OpenFile(c.json, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	temporary := c.out == ""
	if temporary {
		c.out, err = os.MkdirTemp("", "proof-")
	} else {
		err = os.MkdirAll(c.out, 0o755)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		os.Remove(c.bin)
		if err != nil && temporary {
			os.RemoveAll(c.out)
		}
	}()
	start := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(progress, "%4.0f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	say("building chatserver; plots and logs go to %s", c.out)
	if c.bin, err = build(ctx, c.out); err != nil {
		return nil, err
	}
	r = &report{Machine: thisMachine(), Full: c.full, Faults: c.faults, Plan: map[string]string{
		"users": fmt.Sprint(c.users), "measure": c.measure.String(), "warmup": c.warmup.String(), "seed": fmt.Sprint(c.seed), "zipf": fmt.Sprint(c.zipf), "limit": fmt.Sprintf("%d MiB", c.limit),
	}}
	for _, st := range c.steps(r, say) {
		say("%s", st.name)
		err := st.do(ctx)
		if ctx.Err() != nil {
			say("interrupted in %s", st.name)
			r.Interrupted = true
			break
		}
		if err != nil {
			say("%s: %v", st.name, err)
			r.Failed = append(r.Failed, st.name+": "+err.Error())
		}
		if err := c.save(r); err != nil {
			say("%v", err)
		}
	}
	r.judge()
	return r, nil
}

// save writes the figures to the file of -json.
func (c *settings) save(r *report) error {
	if c.json == "" || c.json == "-" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.json, append(text, '\n'), 0o644)
}

func (c *settings) tell(r *report, stdout, stderr io.Writer) error {
	tables := stdout
	if c.json == "-" {
		tables = stderr
	}
	r.markdown(tables)
	paths, err := plots(c.out, r.Results, c.plan)
	for _, path := range paths {
		fmt.Fprintln(tables, "plot:", path)
	}
	if c.json != "-" {
		return errors.Join(err, c.save(r))
	}
	text, e := json.MarshalIndent(r, "", "  ")
	if e == nil {
		_, e = stdout.Write(append(text, '\n'))
	}
	return errors.Join(err, e)
}
