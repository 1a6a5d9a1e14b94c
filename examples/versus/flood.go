package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"runtime"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/resilience"
)

// distinct is an error unlike those of other numbers; digits would not tell them apart.
func distinct(n int) error {
	text := []byte("call failed ")
	for range 6 {
		text = append(text, 'a'+byte(n%26))
		n /= 26
	}
	return errors.New(string(text))
}

// floods counts what the flood guard passes and keeps.
func floods(r *bench.Report) error {
	const identical, unique, keys = 1_000_000, 2_000_000, 4096
	var summed uint64
	o := resilience.GuardOptions{
		Window: time.Hour, PerSecond: -1,
		Hooks: resilience.GuardHooks{Summary: func(s resilience.Summary) { summed += s.Suppressed }},
	}
	flood := func(n int, err func(int) error) (emitted, counted uint64, heap float64, e error) {
		summed = 0
		g, e := resilience.NewGuard(o)
		if e != nil {
			return 0, 0, 0, e
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			if d := g.Observe(err(i)); d.Emit {
				emitted++
				counted += 1 + d.Suppressed
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		e = g.Close()
		return emitted, counted + summed, float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / 1024, e
	}
	row := func(measure, unit string, got float64, goal string, ok bool) {
		r.Add(bench.Row{Measure: measure, Unit: unit, Ours: got, Goal: goal, OK: ok})
	}
	emitted, counted, _, err := flood(identical, func(int) error { return errDown })
	if err != nil {
		return err
	}
	row("1,000,000 identical errors in a window", "passed", float64(emitted), "≤ First + N/Every = 10,005", emitted <= 5+identical/100)
	row("the same", "counted", float64(counted), "= 1,000,000", counted == identical)
	emitted, _, _, err = flood(keys, distinct)
	if err != nil {
		return err
	}
	row("4,096 distinct errors, once each", "lost", float64(keys-emitted), "= 0", emitted == keys)
	_, counted, heap, err := flood(unique, distinct)
	if err != nil {
		return err
	}
	row("2,000,000 distinct errors", "KiB of heap", heap, "≤ 1,024", heap <= 1024)
	row("the same", "counted", float64(counted), "= 2,000,000", counted == unique)
	return nil
}

// withheld compares an error record that the flood guard withholds, and an error
// that it only counts, with a record that is written, and with what zap's sampler
// drops by its message alone. slog finds its caller before any handler is asked, zap
// after the sampler.
func withheld(r *bench.Report) error {
	f, err := os.CreateTemp("", "versus-*.log")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		os.Remove(f.Name())
	}()
	g, err := resilience.NewGuard(resilience.GuardOptions{Every: -1, Window: time.Hour})
	if err != nil {
		return err
	}
	ctx := context.Background()
	write := func(h slog.Handler) func(n int) {
		l := slog.New(h)
		return func(n int) {
			for range n {
				l.LogAttrs(ctx, slog.LevelError, "call failed", slog.Any("error", errDown), slog.String("upstream", "ai"))
			}
		}
	}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(f), zapcore.DebugLevel)
	sampled := zap.New(zapcore.NewSamplerWithOptions(core, time.Hour, 5, 0), zap.AddCaller())
	written := bench.Side{Name: "slog JSON to a file", Op: write(slog.NewJSONHandler(f, nil))}
	others := []bench.Side{
		written,
		{Name: "slog JSON to nowhere", Op: write(slog.NewJSONHandler(io.Discard, nil))},
		{Name: "a handler that does nothing", Op: write(idle{})},
		{Name: "zap sampler", Op: func(n int) {
			for range n {
				sampled.Error("call failed", zap.Error(errDown), zap.String("upstream", "ai"))
			}
		}},
	}
	goal := bench.Goal{Peer: written.Name, MaxRatio: 1.0 / 5, MaxAllocs: -1}
	through := bench.Side{Name: ours, Op: write(g.Handler(slog.NewJSONHandler(f, nil)))}
	observed := bench.Side{Name: ours, Op: func(n int) {
		for range n {
			g.Observe(errDown)
		}
	}}
	err = errors.Join(
		r.Compare(bench.Comparison{Measure: "one error record in a flood, through slog", Sides: append([]bench.Side{through}, others...)}, goal),
		r.Compare(bench.Comparison{Measure: "one error in a flood, by Observe", Sides: []bench.Side{observed, written, others[3]}}, goal))
	return errors.Join(err, g.Close())
}

// idle is a handler that does nothing with a record: the rest is slog's own cost.
type idle struct{}

func (idle) Enabled(context.Context, slog.Level) bool  { return true }
func (idle) Handle(context.Context, slog.Record) error { return nil }
func (i idle) WithAttrs([]slog.Attr) slog.Handler      { return i }
func (i idle) WithGroup(string) slog.Handler           { return i }

// messages notes which messages were written.
type messages struct {
	idle
	seen map[string]bool
}

func (m messages) Handle(_ context.Context, r slog.Record) error {
	m.seen[r.Message] = true
	return nil
}

// zapMessages does the same for zap.
type zapMessages struct {
	zapcore.Core
	seen map[string]bool
}

func (m zapMessages) Enabled(zapcore.Level) bool { return true }

func (m zapMessages) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.AddCore(e, m)
}

func (m zapMessages) Write(e zapcore.Entry, _ []zapcore.Field) error {
	m.seen[e.Message] = true
	return nil
}

// neverLogged logs distinct messages, each once, and counts those of which no record
// was written in the end: by us under the default bound of records a second, and by
// a sampler of zap that passes the first of each.
func neverLogged(r *bench.Report) error {
	for _, c := range []struct {
		kinds, maxKeys int
		measure        string
	}{
		{1000, 0, "1,000 distinct messages, once each"},
		{4096, 0, "4,096 distinct messages, once each"},
		{20_000, 20_000, "20,000 distinct messages, MaxKeys 20,000"},
		{20_000, 0, "20,000 distinct messages, MaxKeys 4,096 (the rest is one record with its number)"},
	} {
		g, err := resilience.NewGuard(resilience.GuardOptions{First: 1, Every: -1, MaxKeys: c.maxKeys})
		if err != nil {
			return err
		}
		us, theirs := messages{seen: map[string]bool{}}, zapMessages{zapcore.NewNopCore(), map[string]bool{}}
		log := slog.New(g.Handler(us))
		sampled := zap.New(zapcore.NewSamplerWithOptions(theirs, time.Hour, 1, 0))
		for i := range c.kinds {
			log.Error(distinct(i).Error())
			sampled.Error(distinct(i).Error())
		}
		if err := g.Close(); err != nil {
			return err
		}
		row := bench.Row{
			Measure: c.measure, Unit: "never logged", Ours: float64(c.kinds - len(us.seen)), OK: true,
			Peers: []bench.Value{{Name: "zap sampler", Value: float64(c.kinds - len(theirs.seen))}},
		}
		if cmp.Or(c.maxKeys, 4096) >= c.kinds {
			row.Goal, row.OK = "= 0", row.Ours == 0
		}
		r.Add(row)
	}
	return nil
}
