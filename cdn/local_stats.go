package cdn

import "iter"

// Stats describes what the Local holds.
func (l *Local) Stats() LocalStats {
	l.mu.Lock()
	s := l.stats
	l.mu.Unlock()
	s.JournalBytes = l.journalSize.Load()
	s.Syncs, s.Records = l.syncs.Load(), l.written.Load()
	s.TornBytes, s.Damaged, s.Adopted, s.Missing = l.torn, l.damaged, l.adopted, l.missing
	return s
}

// tally adds (n = 1) or takes away (n = -1) an item in the gauges and the work list;
// l.mu is held.
func (l *Local) tally(it *item, n int) {
	if it == nil {
		return
	}
	if n < 0 {
		delete(l.active, it)
	} else if it.waits() || it.state == stateDone && it.blob {
		l.active[it] = struct{}{}
	}
	s := &l.stats
	if it.servable() {
		s.Objects += n
		s.Bytes += int64(n) * it.size
	}
	switch it.state {
	case statePending:
		s.Pending += n
		s.PendingBytes += int64(n) * it.size
	case stateDead:
		s.Dead += n
	case stateDelete:
		s.Deletes += n
	case stateDone:
		s.Redirects += n
	}
}

// Metrics yields each figure of [Local.Stats] under a Prometheus name, labelled with
// the URL that the Local serves. Ranging over it again reads afresh.
func (l *Local) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s := l.Stats()
		label := `{url="` + escapeLabel(l.opts.URL) + `"}`
		damaged := 0.0
		if s.Damaged {
			damaged = 1
		}
		for _, m := range []struct {
			name  string
			value float64
		}{
			{"cdn_local_objects", float64(s.Objects)},
			{"cdn_local_bytes", float64(s.Bytes)},
			{"cdn_local_pending_objects", float64(s.Pending)},
			{"cdn_local_pending_bytes", float64(s.PendingBytes)},
			{"cdn_local_dead_objects", float64(s.Dead)},
			{"cdn_local_pending_deletes", float64(s.Deletes)},
			{"cdn_local_redirects", float64(s.Redirects)},
			{"cdn_local_journal_bytes", float64(s.JournalBytes)},
			{"cdn_local_journal_syncs_total", float64(s.Syncs)},
			{"cdn_local_journal_records_total", float64(s.Records)},
			{"cdn_local_journal_damaged", damaged},
			{"cdn_local_adopted_objects", float64(s.Adopted)},
			{"cdn_local_missing_objects", float64(s.Missing)},
		} {
			if !yield(m.name+label, m.value) {
				return
			}
		}
	}
}
