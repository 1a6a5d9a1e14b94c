package cdn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
	"time"
)

// recoverState reads journal and blobs. What both tell is the state; where they
// differ, the journal decides about writes that it knows of, and a file that it
// never mentions is taken over if it is newer than what the journal has of its key.
func (l *Local) recoverState() error {
	f, err := l.root.OpenFile("journal", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	l.journal.file = f
	if err := l.syncDir("."); err != nil { // it may be new, and what openDir made
		return err
	}
	size, err := l.replayJournal()
	if err != nil {
		return err
	}
	if l.damaged {
		l.torn = 0
		if err := l.quarantine("journal", io.NewSectionReader(f, 0, size)); err != nil {
			return err
		}
	}
	changed, err := l.scanBlobs()
	if err != nil {
		return err
	}
	for _, it := range l.items {
		l.tally(it, 1)
		if it.blob {
			l.used += it.size
		}
	}
	if !l.damaged && !changed && l.torn == 0 {
		return nil
	}
	l.report()
	if err := l.rewrite(); err != nil {
		if !errors.Is(err, ErrLocalFull) {
			return err
		}
		// What was found is sound without: a full disk must not keep what is on it
		// from being read and promoted. The next write tries again, since behind the
		// sound records may be anything.
		l.journal.broken = true
	}
	return nil
}

// replayJournal makes the items of what the journal tells, and returns its length.
func (l *Local) replayJournal() (size int64, err error) {
	records := 0
	size, sound, damaged, err := replayFile(io.NewSectionReader(l.journal.file, 0, math.MaxInt64), func(e *entry) {
		records++
		e.applyTo(l.items)
		l.lastGen.Store(max(l.lastGen.Load(), e.Gen))
	})
	l.torn, l.damaged = size-sound, damaged
	l.journal.size, l.journal.records = sound, records
	l.journalSize.Store(sound)
	return size, err
}

func (l *Local) report() {
	if log := l.opts.Logger; log != nil && (l.damaged || l.adopted > 0 || l.missing > 0) {
		log.Warn("cdn: local directory repaired", "journal_damaged", l.damaged, "torn_bytes", l.torn,
			"adopted", l.adopted, "missing", l.missing)
	}
}

// scanBlobs compares the files with the items; it reports whether it changed any.
func (l *Local) scanBlobs() (changed bool, err error) {
	named := make(map[blobFile]bool, len(l.items)) // the files; whether an item names them
	for digit := range byte(16) {
		if err := l.listBlobs(digit, func(b blobFile) { named[b] = false }); err != nil {
			return false, err
		}
	}
	lost := map[string]*item{}
	for key, it := range l.items {
		if _, there := named[it.file()]; it.blob && there {
			named[it.file()] = true
		} else if it.blob {
			lost[key] = it
		}
	}
	orphans := map[string][]*entry{}
	for b, ok := range named {
		l.lastGen.Store(max(l.lastGen.Load(), b.gen))
		if ok {
			continue
		}
		changed = true
		e, err := l.readManifest(b.name())
		if err == nil && (blobFile{e.Sum, e.Gen}) == b {
			orphans[e.Key] = append(orphans[e.Key], e)
		} else if err := l.root.Rename(b.name(), "quarantine/"+path.Base(b.name())); err != nil {
			return true, err
		}
	}
	if err := l.adoptAll(orphans, lost); err != nil {
		return true, err
	}
	for key, it := range lost {
		if changed = true; l.items[key] == it {
			l.markMissing(it)
		}
	}
	return changed, nil
}

// listBlobs calls found for each file of ours whose hash begins with digit. It asks for
// names alone, since all else costs a system call for each.
func (l *Local) listBlobs(digit byte, found func(blobFile)) error {
	dir := fmt.Sprintf("blobs/%x", digit)
	d, err := l.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1024)
		for _, name := range names {
			if b, ok := parseBlobName(name); ok && b.sum[0]>>4 == digit {
				found(b)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// markMissing notes that the file of it is gone. What was to be promoted stays
// listed, so that somebody learns of it.
func (l *Local) markMissing(it *item) {
	l.missing++
	c := *it
	c.blob = false
	switch it.state {
	case stateStored:
		delete(l.items, it.key)
		return
	case statePending, stateDead:
		c.state, c.after = stateDead, &after{err: "the local file is missing"}
	}
	l.items[it.key] = &c
}

// adoptAll takes over what is to be taken over of the files that no item names, by key.
// It reads the journal once more for what it tells of them: most directories have none.
func (l *Local) adoptAll(orphans map[string][]*entry, lost map[string]*item) error {
	if len(orphans) == 0 {
		return nil
	}
	known := map[string]uint64{} // key → highest generation that the journal tells of
	written := map[uint64]bool{} // generations of the files; whether the journal tells of them
	for _, es := range orphans {
		for _, e := range es {
			written[e.Gen] = false
		}
	}
	_, _, _, err := replayFile(io.NewSectionReader(l.journal.file, 0, math.MaxInt64), func(e *entry) {
		if orphans[e.Key] != nil {
			known[e.Key] = max(known[e.Key], e.Gen)
		}
		if _, ours := written[e.Gen]; ours {
			written[e.Gen] = true
		}
	})
	if err != nil {
		return err
	}
	for key, es := range orphans {
		l.adopt(es, known[key], written, lost[key] != nil)
	}
	return nil
}

// adopt takes over the newest of the files of one key that no item names, if the
// journal cannot have known it to be superseded, and removes the others. If the
// item's own file is lost, any file is better than none.
func (l *Local) adopt(es []*entry, known uint64, written map[uint64]bool, lost bool) {
	var best *entry
	for _, e := range es {
		if (lost || !written[e.Gen] && e.Gen > known) && (best == nil || e.Gen > best.Gen) && l.intact(e) {
			best = e
		}
	}
	for _, e := range es {
		if e != best {
			l.garbage[e.blobName()] = 0
		}
	}
	if best == nil {
		return
	}
	l.adopted++
	l.items[best.Key] = newItem(best)
}

// intact reports whether the content of e's file has its hash.
func (l *Local) intact(e *entry) bool {
	f, err := l.root.Open(e.blobName())
	if err != nil {
		return false
	}
	defer f.Close()
	h := newHasher()
	if _, err := io.Copy(h, io.LimitReader(f, e.Size)); err != nil {
		return false
	}
	sum, _ := h.sums()
	return sum == e.Sum
}

// readManifest reads the entry at the end of a blob file.
func (l *Local) readManifest(name string) (*entry, error) {
	f, err := l.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return decodeManifest(f, st.Size())
}

// decodeManifest reads the manifest at the end of a file of size bytes.
func decodeManifest(r io.ReaderAt, size int64) (*entry, error) {
	if size < int64(footerSize) {
		return nil, errTorn
	}
	foot := make([]byte, footerSize)
	if _, err := r.ReadAt(foot, size-int64(footerSize)); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(foot))
	if string(foot[4:]) != footerMagic || n > maxRecord+recordHeader || n > size-int64(footerSize) {
		return nil, errDamaged
	}
	rec := make([]byte, n)
	if _, err := r.ReadAt(rec, size-int64(footerSize)-n); err != nil {
		return nil, err
	}
	e, used, err := decodeRecord(rec)
	if err == nil && (int64(used) != n || e.Size != size-int64(footerSize)-n) {
		err = errDamaged
	}
	return e, err
}

// quarantine keeps a copy of what is damaged for people to look at.
func (l *Local) quarantine(name string, r io.Reader) error {
	to := fmt.Sprintf("quarantine/%s-%s", name, strings.ReplaceAll(time.Now().UTC().Format("20060102T150405.000000000"), ".", "-"))
	f, err := l.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Sync(), f.Close(), l.syncDir("quarantine"))
}

// clearTemps removes what a killed process was writing.
func (l *Local) clearTemps() error {
	es, err := fs.ReadDir(l.root.FS(), "tmp")
	if err != nil {
		return err
	}
	for _, e := range es {
		if err := l.root.RemoveAll("tmp/" + e.Name()); err != nil {
			return err
		}
	}
	return nil
}
