package cdn

import (
	"encoding/json"
	"time"
	"unique"
)

// item is an entry as it is held in memory: there may be very many of them, so that
// what most of them have in common is held once, and what few of them have is apart.
// Like entries, items are immutable once committed.
type item struct {
	key   string
	sum   hexSum
	gen   uint64
	size  int64
	time  int64 // in microseconds since 1970, as moment
	attrs unique.Handle[attrs]
	after *after // nil: nothing has become of it yet
	crc   uint32
	state objState
	blob  bool
}

// attrs is what objects of one kind have in common. Metadata is in JSON, since a map
// cannot be compared.
type attrs struct {
	contentType, cache, disposition, meta string
	transform                             Transform
	createOnly, derived                   bool
}

// after is what became of an object.
type after struct {
	until            int64 // in microseconds since 1970; 0: not retained
	handle, url, err string
}

// moment is t as entries tell it: in UTC and whole microseconds, which items can hold.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// newItem is the item of e, without its condition.
func newItem(e *entry) *item {
	a := attrs{contentType: e.Type, cache: e.Cache, disposition: e.Disposition, createOnly: e.CreateOnly, derived: e.Derived}
	if len(e.Meta) > 0 {
		text, _ := json.Marshal(e.Meta) // of strings: it cannot fail
		a.meta = string(text)
	}
	if e.Transform != nil {
		a.transform = *e.Transform
	}
	it := &item{
		key: e.Key, sum: e.Sum, gen: e.Gen, size: e.Size, time: e.Time.UnixMicro(), attrs: unique.Make(a),
		crc: e.CRC, state: e.State, blob: e.Blob,
	}
	if !e.Until.IsZero() || e.Handle != "" || e.URL != "" || e.Err != "" {
		it.after = &after{handle: e.Handle, url: e.URL, err: e.Err}
		if !e.Until.IsZero() {
			it.after.until = e.Until.UnixMicro()
		}
	}
	return it
}

// entry is the unconditional entry of the item.
func (it *item) entry() *entry {
	a := it.attrs.Value()
	e := &entry{
		Key: it.key, Gen: it.gen, State: it.state, Blob: it.blob, Size: it.size, Sum: it.sum, CRC: it.crc,
		Type: a.contentType, Cache: a.cache, Disposition: a.disposition, CreateOnly: a.createOnly, Derived: a.derived,
		Time: time.UnixMicro(it.time).UTC(),
	}
	if a.meta != "" {
		_ = json.Unmarshal([]byte(a.meta), &e.Meta) // what newItem made
	}
	if !a.transform.IsZero() {
		e.Transform = &a.transform
	}
	if it.after != nil {
		e.Handle, e.URL, e.Err, e.Until = it.after.handle, it.after.url, it.after.err, it.until()
	}
	return e
}

// until is when the local copy goes; zero: it is not retained.
func (it *item) until() time.Time {
	if it.after == nil || it.after.until == 0 {
		return time.Time{}
	}
	return time.UnixMicro(it.after.until).UTC()
}

// file identifies the blob of the item.
func (it *item) file() blobFile { return blobFile{it.sum, it.gen} }

// servable reports that the bytes are to be read from disk.
func (it *item) servable() bool { return it.blob && it.state <= stateDone }

// waits reports that the provider does not have the object or does not know of its delete.
func (it *item) waits() bool {
	return it.state == statePending || it.state == stateDead || it.state == stateDelete
}

// applyTo changes m as e says and returns what it replaced; ok tells whether e
// applied at all.
func (e *entry) applyTo(m map[string]*item) (old, now *item, ok bool) {
	old = m[e.Key]
	if e.If != 0 && (old == nil || old.gen != e.If) {
		return nil, nil, false
	}
	if e.State == stateGone {
		delete(m, e.Key)
		return old, nil, true
	}
	now = newItem(e)
	m[e.Key] = now
	return old, now, true
}
