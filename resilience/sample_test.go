package resilience_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/perfblocks/perfblocks/resilience"
)

// withholding returns a handler whose guard lets nothing pass before it is flushed.
func withholding(t *testing.T, next slog.Handler) (*resilience.Guard, slog.Handler) {
	t.Helper()
	g := newGuard(t, resilience.GuardOptions{PerSecond: 1, Burst: 1, Window: time.Hour})
	for range 100 {
		_ = g.Observe(errBoom) // Takes the tokens.
	}
	return g, g.Handler(next)
}

// secret is logged by a type that a handler may redact.
type secret struct{ Password string }

type panickingText struct{}

func (panickingText) MarshalText() ([]byte, error) { panic("text") }
func (panickingText) Error() string                { panic("error") }

type panickingValue struct{}

func (panickingValue) LogValue() slog.Value { panic("value") }

type asGroup struct{ n int }

func (a asGroup) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("n", a.n), slog.Any("e", errBoom))
}

// TestSampleIsTheRecord compares what comes out of Flush with the same record logged
// directly.
func TestSampleIsTheRecord(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 789, time.FixedZone("", 5400))
	r := slog.NewRecord(at, slog.LevelWarn+1, "call failed: ünïcode", 0)
	r.AddAttrs(
		slog.Bool("yes", true), slog.Bool("no", false), slog.Int("neg", -7), slog.Int64("min", math.MinInt64),
		slog.Uint64("max", math.MaxUint64), slog.Float64("pi", math.Pi), slog.Duration("d", -time.Second), slog.Time("t", at),
		slog.Time("zero", time.Time{}), slog.String("s", "a\"b\x00c"), slog.String("", ""), slog.Attr{},
		slog.Group("g", slog.Int("a", 1), slog.Group("h", slog.String("b", "c")), slog.Group("none"), slog.Attr{}),
		slog.Group("", slog.Int("inline", 1)), slog.Any("nil", nil), slog.Any("err", fmt.Errorf("x: %w", errBoom)),
		slog.Any("strings", []string{"a<&>", "b"}), slog.Any("ints", []int{1, 2}), slog.Any("map", map[string]string{"k": "v"}),
		slog.Any("addr", netip.MustParseAddr("10.0.0.1")), slog.Any("level", slog.LevelInfo),
		slog.Any("info", resilience.Classify(sqlState("40001"))), slog.Any("valuer", asGroup{7}),
	)
	var want, got bytes.Buffer
	if err := slog.NewJSONHandler(&want, nil).WithGroup("w").WithAttrs([]slog.Attr{slog.Int("with", 1)}).Handle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	g, h := withholding(t, slog.NewJSONHandler(&got, nil))
	_ = h.WithGroup("w").WithAttrs([]slog.Attr{slog.Int("with", 1)}).Handle(t.Context(), r)
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if got.String() != want.String() {
		t.Errorf("the sample is\n%swant\n%s", got.String(), want.String())
	}
}

// TestSampleKeepsNothing checks that a sample neither reads, after the call, what
// belongs to the caller, nor shows what a handler might have redacted, and that
// values which panic harm nobody.
func TestSampleKeepsNothing(t *testing.T) {
	var buf bytes.Buffer
	g, h := withholding(t, slog.NewJSONHandler(&buf, nil))
	log := slog.New(h)
	list, m := []string{"before"}, map[string]string{"k": "before"}
	log.Error("bad", "list", list, "map", m, "secret", &secret{"hunter2"}, "text", panickingText{}, "value", panickingValue{}, "func", func() {})
	list[0], m["k"] = "after", "after"
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	out := buf.String()
	if strings.Contains(out, "after") || strings.Count(out, "before") != 2 {
		t.Errorf("values changed behind the sample: %s", out)
	}
	if strings.Contains(out, "hunter2") || !strings.Contains(out, "(*resilience_test.secret)") {
		t.Errorf("a value of a type of its own is not kept by type: %s", out)
	}
	for _, key := range []string{"text", "value", "func"} {
		if !strings.Contains(out, `"`+key+`":`) {
			t.Errorf("no attribute %s: %s", key, out)
		}
	}
}

// TestSampleErrorStaysAnError lets a handler redact errors by their type.
func TestSampleErrorStaysAnError(t *testing.T) {
	var buf bytes.Buffer
	g, h := withholding(t, slog.NewTextHandler(&buf, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if err, ok := a.Value.Any().(error); ok {
			return slog.Int(a.Key, len(err.Error()))
		}
		return a
	}}))
	slog.New(h).Error("bad", "err", errBoom)
	_ = g.Close()
	if !strings.Contains(buf.String(), "err=4") {
		t.Errorf("log %q; want the replaced error", buf.String())
	}
}

// counted counts how often it is asked.
type counted struct{ asked *int }

func (c counted) LogValue() slog.Value { *c.asked++; return slog.IntValue(1) }

func TestSampleAsksOnce(t *testing.T) {
	g, h := withholding(t, &logged{})
	asked := 0
	for range 500 {
		slog.New(h).Error("bad", "v", counted{&asked})
	}
	if asked != 1 {
		t.Errorf("LogValue was called %d times for 500 withheld records; want once, for the sample", asked)
	}
	_ = g.Close()
}

// TestSampleIsCut gives records that are too large to keep.
func TestSampleIsCut(t *testing.T) {
	long := strings.Repeat("é", 5000)
	deep := slog.Int("n", 1)
	for range 100 {
		deep = slog.Group("g", deep)
	}
	many := make([]any, 0, 2000)
	for i := range 1000 {
		many = append(many, fmt.Sprint("key", i), i)
	}
	for name, log := range map[string]func(*slog.Logger){
		"message": func(l *slog.Logger) { l.Error(long, "a", 1) },
		"text":    func(l *slog.Logger) { l.Error("m", "a", long, "b", 1) },
		"error":   func(l *slog.Logger) { l.Error("m", "a", fmt.Errorf("%s", long)) },
		"group":   func(l *slog.Logger) { l.Error("m", slog.Group("g", slog.String("a", long), slog.Int("b", 1))) },
		"list":    func(l *slog.Logger) { l.Error("m", "a", []string{long}) },
		"deep":    func(l *slog.Logger) { l.Error("m", deep) },
		"many":    func(l *slog.Logger) { l.Error("m", many...) },
	} {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			g, h := withholding(t, slog.NewJSONHandler(&buf, nil))
			log(slog.New(h))
			if err := g.Close(); err != nil {
				t.Error(err)
			}
			var m map[string]any
			if err := json.Unmarshal(buf.Bytes(), &m); err != nil || m["truncated"] != true {
				t.Errorf("sample is not JSON with truncated=true: %v %.200s", err, buf.String())
			}
			if n := buf.Len(); n > 4096 || !utf8.Valid(buf.Bytes()) || strings.Contains(buf.String(), `\ufffd`) {
				t.Errorf("sample of %d bytes, cut in a rune: %.200s", n, buf.String())
			}
		})
	}
}

// TestSampleHeap withholds one record of each of the most kinds, each of which
// holds 64 KiB, and checks that all of them together keep little, that each is
// still logged, and that the room comes back.
func TestSampleHeap(t *testing.T) {
	out := &logged{}
	g, h := withholding(t, out)
	for round := range 3 {
		before := liveHeap()
		for i := range 4095 { // One key is errBoom's.
			big := strings.Repeat("x", 64<<10)
			r := slog.NewRecord(time.Time{}, slog.LevelError, big[:300], uintptr(i+1))
			r.AddAttrs(slog.String("body", big), slog.Any("error", fmt.Errorf("%s", big[:1000])), slog.Any("buffer", bytes.NewBufferString(big[:8192])))
			_ = h.Handle(t.Context(), r)
		}
		if grown := liveHeap() - before; grown > 1<<20 {
			t.Errorf("round %d: heap grew by %d KiB; want at most 1024", round, grown>>10)
		}
		if err := g.Flush(); err != nil {
			t.Error(err)
		}
		if want := (round + 1) * 4095; out.records < want-200 || int(out.total) < want { // A token now and then.
			t.Errorf("round %d: %d records for %d; want %d", round, out.records, out.total, want)
		}
		_ = g.Observe(errBoom)
	}
	_ = g.Close()
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// FuzzSample compares, for attributes of all kinds, the sample with the same record
// logged directly, unless it says that it was cut.
func FuzzSample(f *testing.F) {
	f.Add("message", []byte("\x00k\x01\x02text\x05"), int64(7))
	f.Add(strings.Repeat("é", 2000), []byte{6, 6, 6, 1, 7, 7, 2, 3}, int64(-1))
	f.Add("", []byte{}, int64(0))
	f.Fuzz(func(t *testing.T, message string, shape []byte, n int64) {
		r := slog.NewRecord(time.Time{}, slog.LevelError, message, 0)
		r.AddAttrs(fuzzAttrs(&shape, message, n, 0)...)
		var want, got bytes.Buffer
		if err := slog.NewJSONHandler(&want, nil).Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		g, h := withholding(t, slog.NewJSONHandler(&got, nil))
		_ = h.Handle(t.Context(), r)
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got.String(), `"truncated":true`) && got.String() != want.String() {
			t.Errorf("sample\n%swant\n%s", got.String(), want.String())
		}
	})
}

// fuzzAttrs makes attributes as shape says.
func fuzzAttrs(shape *[]byte, text string, n int64, depth int) (attrs []slog.Attr) {
	for len(*shape) > 0 && len(attrs) < 50 {
		c := (*shape)[0]
		*shape = (*shape)[1:]
		key := text[:min(len(text), int(c>>4))]
		switch c & 15 {
		case 0:
			attrs = append(attrs, slog.String(key, text))
		case 1:
			attrs = append(attrs, slog.Int64(key, n))
		case 2:
			attrs = append(attrs, slog.Uint64(key, uint64(n)))
		case 3:
			attrs = append(attrs, slog.Float64(key, float64(n)/3))
		case 4:
			attrs = append(attrs, slog.Duration(key, time.Duration(n)))
		case 5:
			attrs = append(attrs, slog.Time(key, time.Unix(n%1e10, n%1e9)))
		case 6:
			if depth < 12 {
				attrs = append(attrs, slog.Attr{Key: key, Value: slog.GroupValue(fuzzAttrs(shape, text, n, depth+1)...)})
			}
		case 7:
			return attrs
		case 8:
			attrs = append(attrs, slog.Any(key, errors.New(text)))
		case 9:
			attrs = append(attrs, slog.Any(key, []string{text, key}))
		case 10:
			attrs = append(attrs, slog.Any(key, nil), slog.Bool(key, n&1 == 0))
		}
	}
	return attrs
}
