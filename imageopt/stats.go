package imageopt

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync/atomic"
	"time"
)

// Stats is a snapshot of an [Optimizer]. Counters run since New; they are read
// one by one, so sums over them can be off by the jobs that just end.
type Stats struct {
	// Jobs is the number of calls that ended, good or bad: each Process,
	// Placeholder and ranged-over Variants is one.
	Jobs uint64
	// Results is the number of pictures made. Originals of them are the source
	// itself, kept because it was not larger.
	Results, Originals uint64
	// TooLarge, Unsupported, Corrupt (with truncated), Busy, Canceled and Failed
	// count jobs by how they failed; Failed is everything else.
	TooLarge, Unsupported, Corrupt, Busy, Canceled, Failed uint64
	// BytesIn is the sum of source lengths over results; BytesOut that of the
	// results, in bytes. A source counts once for each of its results.
	BytesIn, BytesOut int64
	// WaitTime, DecodeTime, ResizeTime and EncodeTime are summed over all jobs.
	WaitTime, DecodeTime, ResizeTime, EncodeTime time.Duration
	// Memory is booked by running jobs now, in bytes, and MaxMemory is its bound.
	Memory, MaxMemory int64
	// Running and Waiting are the jobs admitted and in the queue now.
	Running, Waiting int
}

// BytesSaved returns BytesIn − BytesOut, which is negative when results are
// larger than their sources.
func (s Stats) BytesSaved() int64 { return s.BytesIn - s.BytesOut }

// Event describes a finished job for [Hooks].
type Event struct {
	// Op is "process", "variants" or "placeholder".
	Op string
	// Results is how many pictures the job made.
	Results int
	// BytesIn is the length of the source, BytesOut the sum over the results.
	BytesIn, BytesOut int64
	// Wait, Decode, Resize and Encode are the times of the job's stages.
	Wait, Decode, Resize, Encode time.Duration
	// Err is the error of the job, or nil. For variants it is the last one.
	Err error
}

// Hooks is a set of optional callbacks. They run on the goroutine of the call,
// outside all locks, and must be safe for concurrent use. Fields may be added.
type Hooks struct {
	// Done is called once for each job, when it has ended.
	Done func(Event)
}

type counters struct {
	jobs, results, originals                               atomic.Uint64
	tooLarge, unsupported, corrupt, busy, canceled, failed atomic.Uint64
	bytesIn, bytesOut                                      atomic.Int64
	wait, decode, resize, encode                           atomic.Int64
}

// Stats returns the counters as they are now.
func (o *Optimizer) Stats() Stats {
	c := &o.stats
	s := Stats{
		Jobs: c.jobs.Load(), Results: c.results.Load(), Originals: c.originals.Load(),
		TooLarge: c.tooLarge.Load(), Unsupported: c.unsupported.Load(), Corrupt: c.corrupt.Load(),
		Busy: c.busy.Load(), Canceled: c.canceled.Load(), Failed: c.failed.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		WaitTime: time.Duration(c.wait.Load()), DecodeTime: time.Duration(c.decode.Load()),
		ResizeTime: time.Duration(c.resize.Load()), EncodeTime: time.Duration(c.encode.Load()),
		MaxMemory: o.opts.MaxMemory,
	}
	s.Memory, s.Running, s.Waiting = o.queue.state()
	return s
}

// Metrics yields the figures of Stats under Prometheus-legal names in base units,
// with the labels inside the name, such as
// `imageopt_jobs_total{imageopt="avatars",outcome="busy"}`. Each range reads afresh.
func (o *Optimizer) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s := o.Stats()
		ok := s.Jobs - min(s.Jobs, s.TooLarge+s.Unsupported+s.Corrupt+s.Busy+s.Canceled+s.Failed)
		for _, m := range []struct {
			name, label, value string
			v                  float64
		}{
			{"jobs_total", "outcome", "ok", float64(ok)},
			{"jobs_total", "outcome", "too_large", float64(s.TooLarge)},
			{"jobs_total", "outcome", "unsupported", float64(s.Unsupported)},
			{"jobs_total", "outcome", "corrupt", float64(s.Corrupt)},
			{"jobs_total", "outcome", "busy", float64(s.Busy)},
			{"jobs_total", "outcome", "canceled", float64(s.Canceled)},
			{"jobs_total", "outcome", "failed", float64(s.Failed)},
			{"results_total", "", "", float64(s.Results)},
			{"originals_total", "", "", float64(s.Originals)},
			{"source_bytes_total", "", "", float64(s.BytesIn)},
			{"result_bytes_total", "", "", float64(s.BytesOut)},
			{"stage_seconds_total", "stage", "wait", s.WaitTime.Seconds()},
			{"stage_seconds_total", "stage", "decode", s.DecodeTime.Seconds()},
			{"stage_seconds_total", "stage", "resize", s.ResizeTime.Seconds()},
			{"stage_seconds_total", "stage", "encode", s.EncodeTime.Seconds()},
			{"memory_bytes", "", "", float64(s.Memory)},
			{"memory_limit_bytes", "", "", float64(s.MaxMemory)},
			{"running_jobs", "", "", float64(s.Running)},
			{"waiting_jobs", "", "", float64(s.Waiting)},
		} {
			if !yield(metricName("imageopt_"+m.name, "imageopt", o.opts.Name, m.label, m.value), m.v) {
				return
			}
		}
	}
}

// metricName writes name{k1="v1",k2="v2"}; an empty key is left out.
func metricName(name string, kv ...string) string {
	var b strings.Builder
	b.WriteString(name)
	sep := byte('{')
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i] == "" {
			continue
		}
		b.WriteByte(sep)
		sep = ','
		b.WriteString(kv[i] + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(kv[i+1]) + `"`)
	}
	b.WriteByte('}')
	return b.String()
}

// finish books a job and tells the hook.
func (o *Optimizer) finish(e Event) {
	c := &o.stats
	c.jobs.Add(1)
	c.bytesOut.Add(e.BytesOut)
	c.bytesIn.Add(e.BytesIn * int64(e.Results))
	c.results.Add(uint64(e.Results))
	c.wait.Add(int64(e.Wait))
	c.decode.Add(int64(e.Decode))
	c.resize.Add(int64(e.Resize))
	c.encode.Add(int64(e.Encode))
	switch {
	case e.Err == nil:
	case errors.Is(e.Err, context.Canceled), errors.Is(e.Err, context.DeadlineExceeded):
		c.canceled.Add(1)
	case errors.Is(e.Err, ErrTooLarge):
		c.tooLarge.Add(1)
	case errors.Is(e.Err, ErrUnsupported):
		c.unsupported.Add(1)
	case errors.Is(e.Err, ErrCorrupt), errors.Is(e.Err, ErrTruncated):
		c.corrupt.Add(1)
	case errors.Is(e.Err, ErrBusy):
		c.busy.Add(1)
	default:
		c.failed.Add(1)
	}
	if f := o.opts.Hooks.Done; f != nil {
		f(e)
	}
}
