package cdn

import (
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
)

// Stats is a snapshot of an [Uploader]'s counters since New and of its gauges now.
// Counters are read one after the other, so that they may differ by the calls that
// were under way.
type Stats struct {
	Stored, FellBack, Deduped, Failed uint64 // ended uploads, each counted once
	Retries                           uint64 // attempts beyond the first
	Promoted                          uint64 // pending objects moved to the provider
	PromoteFailures                   uint64 // attempts to promote that failed
	BytesIn                           uint64 // read from callers
	BytesSent                         uint64 // sent to the provider, repeated ones too
	BytesLocal                        uint64 // written to local disk by falling back
	// Requests counts calls to the provider, for cost.
	Requests Requests

	Active       int   // uploads under way now
	MemoryBytes  int64 // buffers now
	Pending      int   // objects waiting for promotion now, dead ones not counted
	PendingBytes int64 // their size
	Deletes      int   // deletes waiting for the provider now
	Dead         int   // objects given up, readable locally, now
}

// Requests counts calls by operation. Each call of an upload in parts is one: Put for
// what begins it, sends a part or completes it, Head for a list of parts, Delete for an
// abort.
type Requests struct {
	Put, Head, Open, Delete, Purge uint64 // since New
}

// counters is the live form of the totals in Stats.
type counters struct {
	stored, fellBack, deduped, failed   atomic.Uint64
	retries, promoted, promoteFailures  atomic.Uint64
	bytesIn, bytesSent, bytesLocal      atomic.Uint64
	reqPut, reqHead, reqOpen, reqDelete atomic.Uint64
	reqPurge                            atomic.Uint64
	active                              atomic.Int64
}

// Stats returns the counters. It takes the Local's lock briefly.
func (u *Uploader) Stats() Stats {
	c := &u.count
	s := Stats{
		Stored: c.stored.Load(), FellBack: c.fellBack.Load(), Deduped: c.deduped.Load(), Failed: c.failed.Load(),
		Retries: c.retries.Load(), Promoted: c.promoted.Load(), PromoteFailures: c.promoteFailures.Load(),
		BytesIn: c.bytesIn.Load(), BytesSent: c.bytesSent.Load(), BytesLocal: c.bytesLocal.Load(),
		Requests: Requests{
			Put: c.reqPut.Load(), Head: c.reqHead.Load(), Open: c.reqOpen.Load(), Delete: c.reqDelete.Load(),
			Purge: c.reqPurge.Load(),
		},
		Active:      int(c.active.Load()),
		MemoryBytes: u.memory.used.Load(),
	}
	if u.local != nil {
		l := u.local.Stats()
		s.Pending, s.PendingBytes, s.Deletes, s.Dead = l.Pending, l.PendingBytes, l.Deletes, l.Dead
	}
	return s
}

// Metrics yields each figure of [Uploader.Stats] under a Prometheus name with its
// labels, in base units. Ranging over it again reads afresh.
func (u *Uploader) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s := u.Stats()
		base := `{cdn="` + escapeLabel(u.opts.Name) + `",provider="` + escapeLabel(u.name) + `"`
		for _, m := range []struct {
			name, label string
			value       float64
		}{
			{"cdn_uploads_total", "result=stored", float64(s.Stored)},
			{"cdn_uploads_total", "result=fallback", float64(s.FellBack)},
			{"cdn_uploads_total", "result=deduped", float64(s.Deduped)},
			{"cdn_uploads_total", "result=failed", float64(s.Failed)},
			{"cdn_uploads_active", "", float64(s.Active)},
			{"cdn_retries_total", "", float64(s.Retries)},
			{"cdn_promotions_total", "result=ok", float64(s.Promoted)},
			{"cdn_promotions_total", "result=failed", float64(s.PromoteFailures)},
			{"cdn_received_bytes_total", "", float64(s.BytesIn)},
			{"cdn_sent_bytes_total", "", float64(s.BytesSent)},
			{"cdn_local_written_bytes_total", "", float64(s.BytesLocal)},
			{"cdn_requests_total", "op=put", float64(s.Requests.Put)},
			{"cdn_requests_total", "op=head", float64(s.Requests.Head)},
			{"cdn_requests_total", "op=open", float64(s.Requests.Open)},
			{"cdn_requests_total", "op=delete", float64(s.Requests.Delete)},
			{"cdn_requests_total", "op=purge", float64(s.Requests.Purge)},
			{"cdn_memory_bytes", "", float64(s.MemoryBytes)},
			{"cdn_pending_objects", "", float64(s.Pending)},
			{"cdn_pending_bytes", "", float64(s.PendingBytes)},
			{"cdn_pending_deletes", "", float64(s.Deletes)},
			{"cdn_dead_objects", "", float64(s.Dead)},
		} {
			labels := base
			if k, v, ok := strings.Cut(m.label, "="); ok {
				labels += fmt.Sprintf(`,%s="%s"`, k, v)
			}
			if !yield(m.name+labels+"}", m.value) {
				return
			}
		}
	}
}

// escapeLabel makes s safe between the quotes of a Prometheus label.
func escapeLabel(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
}
