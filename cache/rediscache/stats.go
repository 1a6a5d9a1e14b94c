package rediscache

import (
	"iter"
	"strings"
	"sync/atomic"
	"time"
)

// Stats is a snapshot of counters since New, and of the state now. It is a plain
// value. Its fields are read one by one while the remote works, so that they may
// differ by the operations under way.
type Stats struct {
	Hits          uint64        // Gets that returned a record
	Misses        uint64        // Gets that found none, or one that is of no use
	Invalid       uint64        // misses by an invalidation or lost positions
	Garbage       uint64        // misses by a value that is no record of its key
	Sets          uint64        // records stored
	Refused       uint64        // records not stored: invalid already, or larger than MaxRecordBytes
	Leases        uint64        // leases taken
	LeasesHeld    uint64        // leases refused, since another node had them
	Invalidations uint64        // tags invalidated by this node
	Pushed        uint64        // tags that were told to this node, its own included
	PushLosses    uint64        // times the push connection was lost or missed something
	Resets        uint64        // times that lost positions were noticed, here or elsewhere
	Errors        uint64        // failed operations; a miss is none
	Connects      uint64        // connections made
	BytesRead     uint64        // size of the records that Gets returned, as stored
	BytesWritten  uint64        // size of the records stored
	Time          time.Duration // total time of the operations; Watch does not count
	Operations    uint64        // operations of all kinds; Watch does not count
	Listening     bool          // the push connection works now
}

// HitRatio returns Hits/(Hits+Misses), or 0 before the first Get.
func (s Stats) HitRatio() float64 {
	if n := s.Hits + s.Misses; n > 0 {
		return float64(s.Hits) / float64(n)
	}
	return 0
}

// MeanTime returns the mean time of an operation, or 0 before the first.
func (s Stats) MeanTime() time.Duration {
	if s.Operations > 0 {
		return s.Time / time.Duration(s.Operations)
	}
	return 0
}

type counters struct {
	hits, misses, invalid, garbage       atomic.Uint64
	sets, refused                        atomic.Uint64
	leases, leasesHeld                   atomic.Uint64
	invalidations, pushed, losses        atomic.Uint64
	resets, errors, connects, operations atomic.Uint64
	read, written                        atomic.Uint64
	nanos                                atomic.Int64
	listening                            atomic.Int64 // calls of Watch that are ready
}

// Stats returns the counters as they are now.
func (r *Remote) Stats() Stats {
	n := &r.n
	return Stats{
		Hits: n.hits.Load(), Misses: n.misses.Load(), Invalid: n.invalid.Load(), Garbage: n.garbage.Load(),
		Sets: n.sets.Load(), Refused: n.refused.Load(), Leases: n.leases.Load(), LeasesHeld: n.leasesHeld.Load(),
		Invalidations: n.invalidations.Load(), Pushed: n.pushed.Load(), PushLosses: n.losses.Load(),
		Resets: n.resets.Load(), Errors: n.errors.Load(), Connects: n.connects.Load(),
		BytesRead: n.read.Load(), BytesWritten: n.written.Load(),
		Time: time.Duration(n.nanos.Load()), Operations: n.operations.Load(), Listening: n.listening.Load() > 0,
	}
}

// Metrics yields the figures of [Stats] as Prometheus samples: a name with its
// label, such as rediscache_hits_total{remote="main"}, and a value in base units
// (seconds, bytes). Names ending in _total only grow. Each range over it reads afresh.
func (r *Remote) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		label := `{remote="` + escapeLabel(r.opts.Name) + `"}`
		s := r.Stats()
		listening := 0.0
		if s.Listening {
			listening = 1
		}
		for _, m := range []struct {
			name  string
			value float64
		}{
			{"hits_total", float64(s.Hits)},
			{"misses_total", float64(s.Misses)},
			{"invalid_total", float64(s.Invalid)},
			{"garbage_total", float64(s.Garbage)},
			{"sets_total", float64(s.Sets)},
			{"refused_total", float64(s.Refused)},
			{"leases_total", float64(s.Leases)},
			{"leases_held_total", float64(s.LeasesHeld)},
			{"invalidations_total", float64(s.Invalidations)},
			{"pushed_total", float64(s.Pushed)},
			{"push_losses_total", float64(s.PushLosses)},
			{"resets_total", float64(s.Resets)},
			{"errors_total", float64(s.Errors)},
			{"connects_total", float64(s.Connects)},
			{"read_bytes_total", float64(s.BytesRead)},
			{"written_bytes_total", float64(s.BytesWritten)},
			{"operation_seconds_total", s.Time.Seconds()},
			{"operations_total", float64(s.Operations)},
			{"listening", listening},
		} {
			if !yield("rediscache_"+m.name+label, m.value) {
				return
			}
		}
	}
}

// escapeLabel makes s fit between the quotes of a label.
func escapeLabel(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "?"))
}
