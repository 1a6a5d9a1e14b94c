package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
)

// blocks are the names that -off takes.
var blocks = []string{"cache", "resilience", "memory", "cdn", "imageopt", "dbindex"}

// config is what flags and environment say, checked.
type config struct {
	addr       string
	demo       bool
	users      int
	data       string // "": a temporary directory
	migrations string
	off        blockSet
	engine     string // default, otter or ristretto
	faults     bool   // the emulated services fail on their script
	baseline   bool

	databaseURL string
	redisURL    string
	debugToken  string
	getenv      func(string) string
}

// blockSet is a set of block names, as a flag.
type blockSet map[string]bool

func (s blockSet) String() string {
	var on []string
	for _, b := range blocks {
		if s[b] {
			on = append(on, b)
		}
	}
	return strings.Join(on, ",")
}

func (s blockSet) Set(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !slices.Contains(blocks, name) {
			return fmt.Errorf("%q is not a block; the blocks are %s", name, strings.Join(blocks, ", "))
		}
		s[name] = true
	}
	return nil
}

// readConfig parses args. It returns flag.ErrHelp when help was asked for.
func readConfig(args []string, getenv func(string) string, usage io.Writer) (config, error) {
	c := config{off: blockSet{}, getenv: getenv}
	fs := flag.NewFlagSet("chatserver", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.addr, "addr", "127.0.0.1:8080", "`address` to listen on")
	fs.BoolVar(&c.demo, "demo", true, "let demo visitors use the service")
	fs.IntVar(&c.users, "users", 2000, "`number` of seeded users")
	fs.StringVar(&c.data, "data", "", "keep the data in this `directory`; default: a temporary one")
	fs.StringVar(&c.migrations, "migrations", "", "write the index migrations into this `directory` and exit")
	fs.Var(c.off, "off", "comma-separated `blocks` to pass through: "+strings.Join(blocks, ", "))
	fs.BoolVar(&c.faults, "faults", true, "let the emulated services fail on their script")
	fs.BoolVar(&c.baseline, "baseline", false, "pass through all blocks, with foreign-key indexes and a map of 30 seconds instead")
	fs.StringVar(&c.engine, "engine", "default", "cache `engine`: default, otter or ristretto")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(usage)
			fs.Usage()
		}
		return c, err
	}
	if fs.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q; all settings are flags, see -help", fs.Arg(0))
	}
	if c.baseline {
		for _, b := range blocks {
			c.off[b] = true
		}
	}
	c.databaseURL, c.redisURL, c.debugToken = getenv("DATABASE_URL"), getenv("REDIS_URL"), getenv("DEBUG_TOKEN")
	return c, c.check()
}

func (c config) check() error {
	var errs []error
	if _, port, err := net.SplitHostPort(c.addr); err != nil || port == "" {
		errs = append(errs, fmt.Errorf("-addr %q is not host:port", c.addr))
	}
	if c.users < 1 || c.users > 200_000 {
		errs = append(errs, fmt.Errorf("-users %d is not in 1 to 200000", c.users))
	}
	if !slices.Contains([]string{"default", "otter", "ristretto"}, c.engine) {
		errs = append(errs, fmt.Errorf("-engine %q is not default, otter or ristretto", c.engine))
	}
	errs = append(errs, checkURL("DATABASE_URL", c.databaseURL, "postgres", "postgresql"), checkURL("REDIS_URL", c.redisURL, "redis", "rediss", "unix"))
	return errors.Join(errs...)
}

// checkURL checks the scheme only, and repeats nothing that may hold a password.
func checkURL(name, value string, schemes ...string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || !slices.Contains(schemes, u.Scheme) {
		return fmt.Errorf("%s must be a URL that begins with %s://", name, strings.Join(schemes, ":// or "))
	}
	return nil
}

// dataDir returns the directory to use and how to leave it.
func (c config) dataDir() (dir string, leave func() error, err error) {
	if c.data != "" {
		return c.data, func() error { return nil }, os.MkdirAll(c.data, 0o755)
	}
	dir, err = os.MkdirTemp("", "chatserver-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}
