package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	cfg, err := readConfig(args, getenv, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err == nil && cfg.migrations != "":
		err = writeMigrations(cfg.migrations, stdout)
	case err == nil:
		err = serve(ctx, cfg, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "chatserver:", strings.ReplaceAll(err.Error(), "\n", "; "))
		return 1
	}
	return 0
}

// serve runs the service until ctx ends, then drains it.
func serve(ctx context.Context, cfg config, stdout, stderr io.Writer) (err error) {
	start := time.Now()
	ln, err := net.Listen("tcp", cfg.addr) // first: a port in use must not cost a seeding
	if err != nil {
		return fmt.Errorf("cannot listen: %w (choose another with -addr)", err)
	}
	defer ln.Close()
	dir, leave, err := cfg.dataDir()
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	defer func() { err = errors.Join(err, leave()) }()
	a, err := newApp(ctx, cfg, dir, stderr)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		return err
	}
	srv := &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    64 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	a.Start("http://" + ln.Addr().String())
	fmt.Fprintf(stdout, "ready after %.1f s\n  chat         http://%[2]s/\n  performance  http://%[2]s/debug/performance\n", time.Since(start).Seconds(), ln.Addr())

	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	a.Stop() // the endless streams first, or Shutdown would wait for them
	if e := srv.Shutdown(drain); e != nil {
		srv.Close() // clients that hang on
	}
	return errors.Join(err, a.Close(drain))
}
