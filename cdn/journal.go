package cdn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// compactAt is the size of a journal that is worth rewriting, in bytes.
const compactAt = 256 << 10

// journal is the log of entries. Concurrent commits share one write and one sync:
// the first to come leads, takes all that is queued, and hands the lead to the next
// in the queue, so that nobody works for the others more than once.
type journal struct {
	mu      sync.Mutex
	queue   []*commit // guarded by mu
	leading bool      // guarded by mu
	closed  bool      // guarded by mu

	// The rest belongs to the leader, and to NewLocal and Close when there is none.
	file    *os.File
	size    int64
	records int  // in the file
	broken  bool // the file may hold anything after size: write a new one first
}

// commit is one or more entries that become durable and visible together.
type commit struct {
	entries    []*entry
	createOnly bool // refuse with ErrExists if the key is taken
	applied    bool // the last entry took effect
	buf        []byte
	err        error
	turn       chan bool // receives true: lead; false: done
}

// commit makes entries durable, then visible. It reports whether the last of them
// applied, which an entry with If may not.
func (l *Local) commit(createOnly bool, entries ...*entry) (applied bool, err error) {
	c := &commit{entries: entries, createOnly: createOnly, turn: make(chan bool, 1)}
	for _, e := range entries {
		if c.buf, err = appendRecord(c.buf, e); err != nil {
			return false, err
		}
	}
	j := &l.journal
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return false, ErrClosed
	}
	j.queue = append(j.queue, c)
	lead := !j.leading
	j.leading = true
	j.mu.Unlock()
	if lead || <-c.turn {
		l.lead(c)
	}
	l.collect()
	return c.applied, c.err
}

// lead writes everything queued, own included, and passes the lead on.
func (l *Local) lead(own *commit) {
	j := &l.journal
	j.mu.Lock()
	batch := j.queue
	j.queue = nil
	j.mu.Unlock()
	l.writeBatch(batch)
	for _, c := range batch {
		if c != own {
			c.turn <- false
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.queue) > 0 {
		j.queue[0].turn <- true
	} else {
		j.leading = false
	}
}

// writeBatch appends, syncs and applies a batch; it sets each commit's err.
func (l *Local) writeBatch(batch []*commit) {
	j := &l.journal
	l.refuseExisting(batch)
	var buf []byte
	n := 0
	for _, c := range batch {
		if c.err == nil {
			buf = append(buf, c.buf...)
			n += len(c.entries)
		}
	}
	if n == 0 {
		return
	}
	err := l.appendSync(buf, n)
	for _, c := range batch {
		switch {
		case c.err != nil:
		case err != nil:
			c.err = err
		default:
			for _, e := range c.entries {
				c.applied = l.apply(e)
			}
		}
	}
	if err == nil && j.size > compactAt && j.records > 4*l.itemCount() && l.collect() == 0 {
		_ = l.rewrite() // a failure leaves the old journal, or one that the next batch mends
	}
}

// refuseExisting fails the create-only commits whose key is taken, by what is there
// or by an earlier commit of the batch.
func (l *Local) refuseExisting(batch []*commit) {
	taken := map[string]bool{}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range batch {
		for _, e := range c.entries {
			if old := l.items[e.Key]; c.createOnly && (old != nil && old.state <= stateDone || taken[e.Key]) {
				c.err = fmt.Errorf("%w: %q", ErrExists, e.Key)
			}
		}
		if c.err == nil {
			for _, e := range c.entries {
				taken[e.Key] = e.State <= stateDone
			}
		}
	}
}

// appendSync makes buf durable at the end of the file. After a failed write the
// file is cut back; after a failed sync it is never written again, since the kernel
// may have dropped the pages: the next call writes a new file.
func (l *Local) appendSync(buf []byte, records int) error {
	j := &l.journal
	if j.broken {
		if err := l.rewrite(); err != nil {
			return err
		}
	}
	if _, err := j.file.WriteAt(buf, j.size); err != nil {
		j.broken = j.file.Truncate(j.size) != nil
		return localError("write journal", err)
	}
	if err := j.file.Sync(); err != nil {
		j.broken = true
		return localError("sync journal", err)
	}
	j.size += int64(len(buf))
	j.records += records
	l.syncs.Add(1)
	l.written.Add(uint64(records))
	l.journalSize.Store(j.size)
	return nil
}

// rewrite replaces the journal by a snapshot of the items. Files that no item
// names are removed for good before, since only the old journal tells that they are
// garbage. If it fails before the new journal has its name, the old one stays in use.
func (l *Local) rewrite() (err error) {
	j := &l.journal
	l.collect()
	if err := l.syncDirs(); err != nil {
		return localError("sync directories", err)
	}
	l.mu.Lock()
	all := make([]*item, 0, len(l.items))
	for _, it := range l.items {
		all = append(all, it)
	}
	l.mu.Unlock()
	f, err := l.root.OpenFile("journal.new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return localError("create journal", err)
	}
	defer func() {
		if err != nil {
			err = localError("write journal", err)
			f.Close()
			_ = l.root.Remove("journal.new") // not to stand in the way of what has room in the old one
		}
	}()
	size, err := writeSnapshot(f, all)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := l.root.Rename("journal.new", "journal"); err != nil {
		return err
	}
	j.broken = true // from here on the old file is nobody's any more
	if err := l.syncDir("."); err != nil {
		return err
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size, j.records, j.broken = f, size, len(all), false
	l.journalSize.Store(size)
	return nil
}

// writeSnapshot writes one unconditional record for each item.
func writeSnapshot(w io.Writer, all []*item) (size int64, err error) {
	var buf []byte
	for i, it := range all {
		if buf, err = appendRecord(buf, it.entry()); err != nil {
			return size, err
		}
		if len(buf) >= 64<<10 || i == len(all)-1 {
			n, err := w.Write(buf)
			size += int64(n)
			if err != nil {
				return size, err
			}
			buf = buf[:0]
		}
	}
	return size, nil
}

// localError gives a failure of the local disk its kind.
func localError(op string, err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %s: %w", ErrLocalFull, op, err)
	}
	if errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("%w: %s", ErrClosed, op)
	}
	return fmt.Errorf("cdn: local %s: %w", op, err)
}
