package cdn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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
	if err := l.syncDir("."); err != nil { // it may be new
		return err
	}
	log, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	known := map[string]uint64{}   // key → highest generation that the journal tells of
	written := map[uint64]string{} // generation → key, of the writes that the journal tells of
	records := 0
	sound, damaged := replay(log, func(e *entry) {
		records++
		e.applyTo(l.entries)
		known[e.Key] = max(known[e.Key], e.Gen)
		written[e.Gen] = e.Key
		l.lastGen.Store(max(l.lastGen.Load(), e.Gen))
	})
	l.torn, l.damaged = int64(len(log)-sound), damaged
	l.journal.size, l.journal.records = int64(sound), records
	l.journalSize.Store(int64(sound))
	if damaged {
		l.torn = 0
		if err := l.quarantine("journal", log); err != nil {
			return err
		}
	}
	changed, err := l.scanBlobs(known, written)
	if err != nil {
		return err
	}
	for _, e := range l.entries {
		l.tally(e, 1)
		if e.Blob {
			l.used += e.Size
		}
	}
	if !damaged && !changed && l.torn == 0 {
		return nil
	}
	l.report(damaged)
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

func (l *Local) report(damaged bool) {
	if log := l.opts.Logger; log != nil && (damaged || l.adopted > 0 || l.missing > 0) {
		log.Warn("cdn: local directory repaired", "journal_damaged", damaged, "torn_bytes", l.torn,
			"adopted", l.adopted, "missing", l.missing)
	}
}

// scanBlobs compares the files with the entries; it reports whether it changed any.
func (l *Local) scanBlobs(known map[string]uint64, written map[uint64]string) (changed bool, err error) {
	files := map[string]bool{} // blob files, by name below blobs/
	want := map[string]bool{}
	for _, e := range l.entries {
		if e.Blob {
			want[e.blobName()] = true
		}
	}
	orphans := map[string][]*entry{}
	err = fs.WalkDir(l.root.FS(), "blobs", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		sum, gen, ok := parseBlobName(d.Name())
		if !ok {
			return nil // not ours
		}
		l.lastGen.Store(max(l.lastGen.Load(), gen))
		if files[name] = true; want[name] {
			return nil
		}
		e, err := l.readManifest(name)
		if err != nil || e.Sum != sum || e.Gen != gen {
			changed = true
			return l.root.Rename(name, "quarantine/"+d.Name())
		}
		orphans[e.Key] = append(orphans[e.Key], e)
		return nil
	})
	if err != nil {
		return changed, err
	}
	lost := map[string]*entry{}
	for key, e := range l.entries {
		if e.Blob && !files[e.blobName()] {
			changed, lost[key] = true, e
		}
	}
	for key, es := range orphans {
		changed = true
		l.adopt(es, known[key], written, lost[key] != nil)
	}
	for key, e := range lost {
		if l.entries[key] == e {
			l.markMissing(e)
		}
	}
	return changed, nil
}

// markMissing notes that the file of e is gone. What was to be promoted stays
// listed, so that somebody learns of it.
func (l *Local) markMissing(e *entry) {
	l.missing++
	c := *e
	c.Blob, c.If = false, 0
	switch e.State {
	case stateStored:
		delete(l.entries, e.Key)
		return
	case statePending, stateDead:
		c.State, c.Err = stateDead, "the local file is missing"
	}
	l.entries[e.Key] = &c
}

// adopt takes over the newest of the files of one key that no entry names, if the
// journal cannot have known it to be superseded, and removes the others. If the
// entry's own file is lost, any file is better than none.
func (l *Local) adopt(es []*entry, known uint64, written map[uint64]string, lost bool) {
	var best *entry
	for _, e := range es {
		_, seen := written[e.Gen]
		if (lost || !seen && e.Gen > known) && (best == nil || e.Gen > best.Gen) && l.intact(e) {
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
	best.If = 0
	l.entries[best.Key] = best
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

// quarantine keeps a copy of damaged bytes for people to look at.
func (l *Local) quarantine(name string, b []byte) error {
	to := fmt.Sprintf("quarantine/%s-%s", name, strings.ReplaceAll(time.Now().UTC().Format("20060102T150405.000000000"), ".", "-"))
	f, err := l.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
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
