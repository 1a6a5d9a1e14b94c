package memory

import (
	"context"
	"log/slog"
	"time"
)

// creditLife is how long freed bytes are taken as on their way when no collection
// comes to show them.
const creditLife = 10 * time.Second

// drain runs the callbacks that are due, unless another goroutine is at it: then
// that one finds them before it leaves.
func (m *Monitor) drain(ctx context.Context) {
	for m.due() && m.working.CompareAndSwap(false, true) {
		func() {
			defer m.working.Store(false)
			for m.step(ctx) {
			}
		}()
	}
}

func (m *Monitor) due() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.events) > 0 || m.relieve || m.optimize || m.calm > 0
}

// step does one thing that is due and reports whether there was one.
func (m *Monitor) step(ctx context.Context) bool {
	m.mu.Lock()
	observers, shrinkers := m.observers, m.shrinkers
	if len(m.events) > 0 {
		e := m.events[0]
		m.events = m.events[1:]
		m.mu.Unlock()
		m.log(slog.LevelInfo, "memory: level changed", slog.String("from", e.From.String()),
			slog.String("to", e.To.String()), slog.String("reason", e.Reason), slog.Any("memory", e.Stats))
		m.profileOnce(e.To)
		for _, o := range observers {
			if !o.gone.Load() { // an earlier one may have cancelled it
				m.protect(func() { o.f(e) })
			}
		}
		return true
	}
	relieve, optimize, calm, level, s := m.relieve, m.optimize, m.calm, m.judge.level, m.stats.Memory
	m.relieve, m.optimize, m.calm = false, false, 0
	need := m.needLocked(s)
	m.mu.Unlock()
	switch {
	case relieve:
		m.relief(ctx, shrinkers, level, need)
	case calm > 0:
		for _, r := range shrinkers {
			if r.holder != nil {
				r.holder.growBack(calm)
			}
		}
	}
	if optimize && !relieve { // relief has had its own
		m.collectFor(ctx, reasonQuiet)
	}
	return relieve || optimize || calm > 0
}

// needLocked returns the bytes to free so that usage falls below LevelHigh for
// good. Where something else than usage keeps the level up, anything freed will do
// until its effect can be seen. What was freed since the last collection is not in
// the sample yet.
func (m *Monitor) needLocked(s Stats) int64 {
	if s.GCCycles != m.creditGC || s.At.Sub(m.creditAt) >= creditLife {
		m.credit = 0
	}
	need := s.Used - int64((m.opts.High-m.opts.Hysteresis)*float64(s.Limit))
	if evidence, _ := m.judge.raw(s, m.opts.Hysteresis); evidence > LevelNormal {
		need = max(1, need)
	}
	return need - m.credit
}

// relief asks shrinkers for need bytes and collects what they dropped.
func (m *Monitor) relief(ctx context.Context, shrinkers []*registration, level Level, need int64) {
	target := keepAtHigh
	if level == LevelCritical {
		target = keepAtCritical
	}
	var freed int64
	for _, r := range shrinkers {
		if freed >= need || ctx.Err() != nil {
			break
		}
		if !r.gone.Load() { // an earlier one may have unregistered it
			freed += m.ask(ctx, r, level, target)
		}
	}
	if freed == 0 && level < LevelCritical || m.opts.DisableCollect || ctx.Err() != nil {
		return
	}
	m.collectFor(ctx, reasonPressure)
}

func (m *Monitor) collectFor(ctx context.Context, reason string) {
	if _, err := m.Collect(ctx, reason); err != nil {
		m.log(slog.LevelDebug, "memory: collect", slog.String("error", err.Error()))
	}
}

// ask has one shrinker give memory back.
func (m *Monitor) ask(ctx context.Context, r *registration, level Level, target float64) (freed int64) {
	start := time.Now()
	m.protect(func() {
		if r.holder != nil {
			freed = r.holder.shrinkAndHold(ctx, target)
		} else {
			freed = max(0, r.shrinker.Shrink(ctx, target))
		}
	})
	if r.holder != nil && r.gone.Load() { // unregistered meanwhile: nobody else would lift it
		r.holder.growBack(forever)
	}
	m.mu.Lock()
	m.stats.Shrinks++
	m.stats.Freed += freed
	m.credit += freed
	m.creditGC, m.creditAt = m.stats.Memory.GCCycles, m.stats.Memory.At
	m.mu.Unlock()
	if f := m.opts.Hooks.Shrunk; f != nil {
		e := ShrinkEvent{Name: r.name, Level: level, Target: target, Freed: freed, Took: time.Since(start)}
		m.protect(func() { f(e) })
	}
	return freed
}

// protect runs a caller's function on a goroutine of ours: its panic must not end
// the program, so it is counted and logged.
func (m *Monitor) protect(f func()) {
	guard(func() error { f(); return nil }, func(err error) {
		if err == nil {
			return
		}
		m.countPanic()
		m.log(slog.LevelError, "memory: callback", slog.String("error", err.Error()))
	})
}

func (m *Monitor) countPanic() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Panics++
}
