package memory

import (
	"errors"
	"io"
	"log/slog"
	"runtime/pprof"
)

// maxProfileBytes bounds the one heap profile of a Monitor.
const maxProfileBytes = 16 << 20

var errProfileSize = errors.New("memory: heap profile: over 16 MiB")

// profileOnce starts writing the heap profile at the first LevelCritical, beside the
// relief: writing takes longer than shrinking, and the profile is of the last
// collection anyway.
func (m *Monitor) profileOnce(to Level) {
	if m.opts.HeapProfile == nil || to < LevelCritical {
		return
	}
	m.mu.Lock()
	if m.profiled || m.closed {
		m.mu.Unlock()
		return
	}
	m.profiled = true
	m.wg.Add(1) // before Close waits, because closed is not set yet
	m.mu.Unlock()
	go func() {
		defer m.wg.Done()
		m.protect(func() {
			if err := m.writeProfile(); err != nil {
				m.log(slog.LevelWarn, "memory: heap profile", slog.String("error", err.Error()))
			}
		})
	}()
}

func (m *Monitor) writeProfile() (err error) {
	w, err := m.opts.HeapProfile()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return pprof.Lookup("heap").WriteTo(&cappedWriter{w: w, left: maxProfileBytes}, 0)
}

// cappedWriter refuses what goes beyond its bound.
type cappedWriter struct {
	w    io.Writer
	left int
}

func (c *cappedWriter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		return 0, errProfileSize
	}
	n, err := c.w.Write(p)
	c.left -= n
	return n, err
}
