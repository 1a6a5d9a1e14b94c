package resilience_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// TestGuardHandlerConforms runs the suite of the standard library.
func TestGuardHandlerConforms(t *testing.T) {
	g := newGuard(t, resilience.GuardOptions{MinLevel: slog.LevelDebug, First: 1000})
	defer func() { _ = g.Close() }()
	var buf bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		buf.Reset()
		return g.Handler(slog.NewJSONHandler(&buf, nil))
	}, func(t *testing.T) map[string]any {
		m := map[string]any{}
		if err := json.Unmarshal(buf.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		return m
	})
}

// TestGuardSampleConforms runs the same suite on the samples: each record is
// withheld and comes out of Flush.
func TestGuardSampleConforms(t *testing.T) {
	var buf bytes.Buffer
	var g *resilience.Guard
	slogtest.Run(t, func(*testing.T) slog.Handler {
		buf.Reset()
		g = newGuard(t, resilience.GuardOptions{MinLevel: slog.LevelDebug, PerSecond: 1, Burst: 1})
		_ = g.Observe(errBoom) // Takes the only token.
		return g.Handler(slog.NewJSONHandler(&buf, nil))
	}, func(t *testing.T) map[string]any {
		if buf.Len() > 0 {
			t.Fatalf("not withheld: %s", buf.String())
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		m := map[string]any{}
		if err := json.Unmarshal(buf.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		return m
	})
}

// TestGuardHandlerKinds tells what partakes in a fingerprint: of each case two
// records are logged, which are of one kind or of two.
func TestGuardHandlerKinds(t *testing.T) {
	boom, bang := errors.New("boom"), errors.New("bang")
	for name, c := range map[string]struct {
		log  func(l *slog.Logger, second bool)
		like bool
	}{
		"other attributes": {func(l *slog.Logger, s bool) { l.Error("m", "a", s, "b", pick(s, "x", "y")) }, true},
		"an error":         {func(l *slog.Logger, s bool) { l.Error("m", "e", pick(s, boom, bang)) }, false},
		"an error in a group": {func(l *slog.Logger, s bool) {
			l.Error("m", slog.Group("a", slog.Int("n", 1), slog.Group("b", slog.Any("e", pick(s, boom, bang)))))
		}, false},
		"With an error":       {func(l *slog.Logger, s bool) { l.With("e", pick(s, boom, bang)).Error("m") }, false},
		"With in a group":     {func(l *slog.Logger, s bool) { l.WithGroup("g").With("e", pick(s, boom, bang)).Error("m") }, false},
		"With something else": {func(l *slog.Logger, s bool) { l.With("id", pick(s, 1, 2)).Error("m") }, true},
		"levels": {func(l *slog.Logger, s bool) {
			l.Log(context.Background(), pick(s, slog.LevelWarn, slog.LevelError), "m")
		}, false},
		"messages":            {func(l *slog.Logger, s bool) { l.Error(pick(s, "m", "n")) }, false},
		"numbers in messages": {func(l *slog.Logger, s bool) { l.Error(pick(s, "try 9 of a1", "try 10 of b22")) }, true},
		"sentinel and like text": {func(l *slog.Logger, s bool) {
			l.Error("m", "e", pick(s, io.EOF, errors.New("EOF"))) //nolint:errorlint // Values.
		}, false},
		"wrapped and not":         {func(l *slog.Logger, s bool) { l.Error("m", "e", pick(s, boom, fmt.Errorf("x: %w", boom))) }, false},
		"wrapped differently":     {func(l *slog.Logger, s bool) { l.Error("m", "e", fmt.Errorf("%v: %w", s, boom)) }, true},
		"codes":                   {func(l *slog.Logger, s bool) { l.Error("m", "e", pick[error](s, sqlState("40001"), sqlState("23505"))) }, false},
		"a LogValuer, not asked":  {func(l *slog.Logger, s bool) { l.Error("m", "v", pick(s, lazy(1), lazy(2))) }, true},
		"long text, many numbers": {func(l *slog.Logger, s bool) { l.Error(strings.Repeat(pick(s, "id 7 ", "id 123456 "), 90) + "end") }, true},
		"apostrophes":             {func(l *slog.Logger, s bool) { l.Error("can't " + pick(s, "read", "write") + ", won't retry") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuard(t, resilience.GuardOptions{First: 1, Every: -1})
			defer func() { _ = g.Close() }()
			out := &logged{}
			l := slog.New(g.Handler(out))
			for _, second := range []bool{false, true} {
				c.log(l, second)
			}
			if got := out.records == 1; got != c.like {
				t.Errorf("%d records of 2 passed; alike: want %v", out.records, c.like)
			}
		})
	}
}

func pick[T any](second bool, a, b T) T {
	if second {
		return b
	}
	return a
}

// lazy must not be asked by a fingerprint.
type lazy int

func (lazy) LogValue() slog.Value { panic("asked") }

// badHandler returns an error or panics, after it has counted.
type badHandler struct {
	logged
	err error
}

func (f *badHandler) WithAttrs([]slog.Attr) slog.Handler { return f }
func (f *badHandler) WithGroup(string) slog.Handler      { return f }
func (f *badHandler) Handle(ctx context.Context, r slog.Record) error {
	_ = f.logged.Handle(ctx, r)
	if f.err == nil {
		panic("handler")
	}
	return f.err
}

// TestGuardHandlerFails checks that a bad handler stops neither the other summaries
// nor the window's end, and that it leaves no lock behind.
func TestGuardHandlerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, broken := range []error{errBoom, nil} {
			out := &badHandler{err: broken}
			g := newGuard(t, resilience.GuardOptions{First: 1, Every: -1})
			h := g.Handler(out)
			for i := range 40 {
				func() {
					defer func() { _ = recover() }()
					r := slog.NewRecord(time.Now(), slog.LevelError, "m", uintptr(1+i%20))
					if err := h.Handle(t.Context(), r); i < 20 && !errors.Is(err, errBoom) {
						t.Errorf("Handle = %v; want the error of the handler", err)
					}
				}()
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if out.total != 40 || out.records != 40 {
				t.Errorf("%d records for %d; want 40", out.records, out.total)
			}
			_, _ = catch(func() error { return h.Handle(t.Context(), slog.NewRecord(time.Now(), slog.LevelError, "m", 1)) })
			_, _ = catch(func() error { return h.Handle(t.Context(), slog.NewRecord(time.Now(), slog.LevelError, "m", 1)) })
			panicked, err := catch(g.Flush)
			if panicked != nil || err == nil {
				t.Errorf("Flush = %v, panic %v; want an error", err, panicked)
			}
			if broken != nil && !errors.Is(err, broken) {
				t.Errorf("Flush = %v; want the error of the handler", err)
			}
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func catch(f func() error) (panicked any, err error) {
	defer func() { panicked = recover() }()
	return nil, f()
}

// chatty logs through the guard whatever it is given.
type chatty struct {
	logged
	log  *slog.Logger
	deep int
}

func (c *chatty) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *chatty) WithGroup(string) slog.Handler      { return c }
func (c *chatty) Handle(ctx context.Context, r slog.Record) error {
	_ = c.logged.Handle(ctx, r)
	c.deep++
	c.log.Error("cannot write the log")
	return nil
}

// TestGuardReentrant lets handler, hook and LogValue use the guard that calls them.
func TestGuardReentrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &chatty{}
		var g *resilience.Guard
		g = newGuard(t, resilience.GuardOptions{First: 2, Every: -1, MaxKeys: 1, Hooks: resilience.GuardHooks{Summary: func(resilience.Summary) {
			_ = g.Observe(errBoom)
			_ = g.Flush()
		}}})
		out.log = slog.New(g.Handler(out))
		for range 10 {
			out.log.Error("bad", "v", logging{out.log})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if out.deep == 0 {
			t.Error("nothing was logged")
		}
		_ = g.Close()
	})
}

type logging struct{ log *slog.Logger }

func (l logging) LogValue() slog.Value {
	l.log.Info("asked")
	return slog.IntValue(1)
}

// TestGuardSecondFlush checks that Flush and Close may come in any number and order.
func TestGuardSecondFlush(t *testing.T) {
	g := newGuard(t, resilience.GuardOptions{First: 1, Every: -1})
	out := &logged{}
	log := slog.New(g.Handler(out))
	for _, flush := range []func() error{g.Flush, g.Flush, g.Close, g.Close, g.Flush} {
		for range 2 {
			log.Error("bad")
		}
		if err := flush(); err != nil {
			t.Error(err)
		}
		before, _ := out.counts()
		if err := flush(); err != nil {
			t.Error(err)
		}
		if after, _ := out.counts(); after != before {
			t.Errorf("the same again logged %d more", after-before)
		}
	}
	if out.total > 10 { // Close keeps what was seen after it for Flush.
		t.Errorf("%d counted; want 10", out.total)
	}
	if err := g.Flush(); err != nil || out.total != 10 {
		t.Errorf("%d counted, %v; want 10", out.total, err)
	}
}

func TestGuardCloseRacesWithWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			g := newGuard(t, resilience.GuardOptions{Window: time.Millisecond, First: 1, Every: -1})
			out := &logged{}
			log := slog.New(g.Handler(out))
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					log.Error("bad")
					time.Sleep(time.Millisecond)
					_ = g.Close()
				})
			}
			wg.Wait()
			if out.total != 4 {
				t.Fatalf("counted %d; want 4", out.total)
			}
		}
	})
}
