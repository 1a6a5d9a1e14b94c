package memory

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// place is where a profile goes in tests.
type place struct {
	bytes.Buffer
	closed int
	fail   error
}

func (p *place) Write(b []byte) (int, error) {
	if p.fail != nil {
		return 0, p.fail
	}
	return p.Buffer.Write(b)
}

func (p *place) Close() error { p.closed++; return nil }

// TestMonitorHeapProfile: one profile at the first critical level, none before and
// none after, whole and closed.
func TestMonitorHeapProfile(t *testing.T) {
	var used int64
	var opened int
	var out place
	m, err := NewMonitor(MonitorOptions{
		Source:         func() (Stats, error) { return Stats{Used: used, Limit: 100}, nil },
		DisableCollect: true, Dwell: -1,
		HeapProfile: func() (io.WriteCloser, error) { opened++; return &out, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, used = range []int64{10, 75, 90, 10, 90} {
		for range 3 {
			if _, err := m.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if used == 75 && opened != 0 {
			t.Error("a profile was begun at high")
		}
	}
	m.Close() // waits for the profile
	if opened != 1 || out.closed != 1 {
		t.Fatalf("opened %d times, closed %d times; want once each", opened, out.closed)
	}
	z, err := gzip.NewReader(&out.Buffer)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || !bytes.Contains(text, []byte("inuse_space")) {
		t.Errorf("the profile has %d bytes, %v; want a heap profile", len(text), err)
	}
}

func TestMonitorHeapProfileFails(t *testing.T) {
	boom := errors.New("boom")
	for _, tc := range []struct {
		name   string
		open   func() (io.WriteCloser, error)
		panics uint64
		log    string
	}{
		{"open", func() (io.WriteCloser, error) { return nil, boom }, 0, "boom"},
		{"write", func() (io.WriteCloser, error) { return &place{fail: boom}, nil }, 0, "boom"},
		{"panic", func() (io.WriteCloser, error) { panic(boom) }, 1, "boom"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log strings.Builder
			m, err := NewMonitor(MonitorOptions{
				Source:         func() (Stats, error) { return Stats{Used: 90, Limit: 100}, nil },
				DisableCollect: true, HeapProfile: tc.open, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			m.Check(t.Context())
			m.Close()
			if !strings.Contains(log.String(), tc.log) || m.Stats().Panics != tc.panics {
				t.Errorf("%d panics, log %s; want %d and %s", m.Stats().Panics, log.String(), tc.panics, tc.log)
			}
		})
	}
}

func TestCappedWriter(t *testing.T) {
	var out place
	w := &cappedWriter{w: &out, left: 10}
	for _, text := range []string{"12345", "67890"} {
		if n, err := w.Write([]byte(text)); n != 5 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if n, err := w.Write([]byte("x")); n != 0 || !errors.Is(err, errProfileSize) || out.String() != "1234567890" {
		t.Errorf("Write beyond the bound = %d, %v, %q", n, err, out.String())
	}
}
