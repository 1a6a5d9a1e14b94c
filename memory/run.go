package memory

import (
	"context"
	"time"
)

// monitorKey is the context key under which Run leaves its Monitor.
type monitorKey struct{}

// Run runs a long operation with regard to memory: at LevelCritical it first waits
// as [Checkpoint] does, and fn's ctx lets Checkpoint find the monitor. If memory is
// short when fn has returned, or the Go runtime then holds 16 MiB and a quarter more
// than it aimed at before (Stats.HeapGoal), a collection of what it left behind starts
// in the background (see Collect for its limits, and MonitorHooks.Collected for what
// it freed), unless MonitorOptions.DisableCollect says otherwise. It returns
// fn's error; a panic of fn passes through. If ctx ends during the wait, fn does not
// run. It costs two samples: use it for operations of milliseconds and more.
func (m *Monitor) Run(ctx context.Context, fn func(context.Context) error) error {
	if m.opts.Disabled {
		return fn(ctx)
	}
	if m.Level() == LevelCritical {
		if err := m.pause(ctx); err != nil {
			return err
		}
	}
	defer m.afterRun(ctx, m.look(ctx).HeapGoal)
	return fn(context.WithValue(ctx, monitorKey{}, m))
}

// afterRun collects if that pays, given the heap that the runtime aimed at before. The
// goal is twice the live heap, usually: what is above it now is the operation's, while
// the garbage below comes back by itself in any program that goes on allocating.
func (m *Monitor) afterRun(ctx context.Context, goal int64) {
	if m.opts.DisableCollect {
		return
	}
	if m.Level() == LevelNormal {
		if now := m.look(ctx); goal == 0 || !worth(now.GoTotal-goal, now) {
			return
		}
	}
	_, _ = m.startCollection(reasonAfterRun) // refusals are counted
}

// look takes a sample that is not judged, unless ctx ends while another one is taken.
func (m *Monitor) look(ctx context.Context) Stats {
	select {
	case m.sampling <- struct{}{}:
	default:
		select {
		case m.sampling <- struct{}{}:
		case <-ctx.Done():
			return Stats{}
		}
	}
	defer func() { <-m.sampling }()
	s, _ := m.readSource() // what could not be read is zero, and not worth anything
	return s
}

// Checkpoint is for the loops of a long operation inside [Monitor.Run]: it returns
// an error that matches ctx.Err when ctx has ended, and at LevelCritical waits until
// the level falls, at most MonitorOptions.MaxPause, then returns nil. Without a
// monitor in ctx it only looks at ctx. It does not allocate below LevelCritical.
func Checkpoint(ctx context.Context) error {
	if ctx.Err() != nil {
		return contextError(ctx, "checkpoint")
	}
	m, _ := ctx.Value(monitorKey{}).(*Monitor)
	if m == nil || m.Level() < LevelCritical {
		return nil
	}
	return m.pause(ctx)
}

// pause waits for a level below critical, for MaxPause or for the end of ctx.
func (m *Monitor) pause(ctx context.Context) error {
	if ctx.Err() != nil {
		return contextError(ctx, "checkpoint")
	}
	timer := time.NewTimer(m.opts.MaxPause)
	defer timer.Stop()
	for {
		m.mu.Lock()
		changed, level := m.changed, m.judge.level
		m.mu.Unlock()
		if level < LevelCritical {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return contextError(ctx, "checkpoint")
		}
	}
}
