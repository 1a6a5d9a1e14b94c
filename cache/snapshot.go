package cache

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"

	"github.com/maypok86/otter/v2"
)

// A snapshot is a header, records from the hottest to the coldest, and an end:
//
//	header  [magic 4][identity of the cache 16][wall clock, ns 8][moment, ns 8][sum 4]
//	record  [length 4][sum of the length 4][body][sum of the body 4]
//	end     a length of 0 with its sum
//
// Numbers are little endian, sums are CRC-32C. The length has a sum of its own, so that
// a damaged body is skipped, and a damaged length ends reading. A body is
//
//	strategy, version, codec, key, fresh 8, dead 8, stamp 8, number of tags,
//	for each a byte (1: its own invalidations count too) and its name, and the frame,
//
// with strings behind their length, and both length, version and number as uvarint.
// fresh and dead count from the moment of the header.
const (
	snapMagic  = "PBs1"
	snapHeader = 4 + identityLen + 8 + 8 + 4
	snapPrefix = 4 + 4
	snapMax    = 1 << 30 // of a body

	identityLen = 16
)

// Snapshot writes what is in memory to w, for [Cache.Restore] at the next start, and
// returns the number of entries written: those of strategies with a Codec, the
// hottest first if the engine tells (the default and otter do; others: in the order of Range, and
// none without), without cached absences. It takes the entries there are when it is
// called, and skips those that have died until their turn. The cache works meanwhile;
// values are encoded one at a time, without locks. w is written through a buffer, and
// need not be safe for concurrent use. An error is that of w or of the ctx; entries
// that cannot be encoded are left out.
//
// A snapshot holds keys and values as they are, and is checked for damage, not for
// forgery: keep it where the data may be.
func (c *Cache) Snapshot(ctx context.Context, w io.Writer) (entries int, err error) {
	if c.closed.Load() {
		return 0, ErrClosed
	}
	now, wall := c.now(), time.Now().UnixNano()
	items := c.hottest()
	out := bufio.NewWriter(w)
	head := append([]byte(snapMagic), c.identity[:]...)
	head = binary.LittleEndian.AppendUint64(head, uint64(wall))
	head = binary.LittleEndian.AppendUint64(head, uint64(now))
	_, _ = out.Write(appendSum(head, head)) // an error stays in out until Flush
	var body []byte
	for _, a := range items {
		if ctx.Err() != nil {
			return entries, fmt.Errorf("cache: snapshot: %w", ctxError(ctx))
		}
		rec, ok := c.snap(a.key, a.it, now)
		if !ok {
			continue
		}
		if body = rec.append(body[:0]); len(body) > snapMax {
			continue
		}
		prefix := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
		_, _ = out.Write(appendSum(prefix, prefix))
		if _, err := out.Write(appendSum(body, body)); err != nil {
			break
		}
		entries++
	}
	end := make([]byte, 4)
	_, _ = out.Write(appendSum(end, end))
	if err := out.Flush(); err != nil {
		return entries, fmt.Errorf("cache: snapshot: %w", err)
	}
	return entries, nil
}

func appendSum(dst, of []byte) []byte {
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(of, castagnoli))
}

// hottest returns the items of the engine in the order of a snapshot.
func (c *Cache) hottest() (items []aged) {
	collect := func(key Key, it *Item) bool { items = append(items, aged{key, it}); return true }
	switch e := c.engine.(type) {
	case hottest:
		e.Hottest(collect)
	case ranger:
		e.Range(collect)
	}
	return items
}

type hottest interface {
	Hottest(fn func(Key, *Item) bool)
}

// Hottest walks the items from the one that is kept longest, with a lock held.
func (e *otterEngine) Hottest(fn func(Key, *Item) bool) {
	e.c.Hottest()(func(ent otter.Entry[Key, *Item]) bool { return fn(ent.Key, ent.Value) })
}

// snap makes the record of the entry of key, if it can still serve.
func (c *Cache) snap(key Key, it *Item, since int64) (snapRecord, bool) {
	co := c.coreOf(it)
	if co.codec == "" || it.marked(markGone) {
		return snapRecord{}, false
	}
	now := c.now()
	dead := c.deadOf(it)
	if now >= dead || !c.alive(it, now) {
		return snapRecord{}, false
	}
	var frame []byte
	if err := capture(func() (err error) { frame, err = co.frame(it); return err }); err != nil {
		return snapRecord{}, false
	}
	rec := snapRecord{strategy: co.name, version: co.version, codec: co.codec, key: key.ID,
		fresh: fromMoment(it.staleSince(), since), dead: fromMoment(dead, since), frame: frame}
	if it.layout() >= layoutTagged {
		rec.stamp = it.tagged().stamp // else 0, older than any invalidation
	}
	self := co.tagPrefix + key.ID
	for _, name := range c.tags.namesAbove(it.tags(), self) {
		tag := snapTag{name: name}
		if isEntryTag(name) {
			n := c.tags.find(name)
			tag.linked = n != nil && n.linked.Load()
		}
		rec.tags = append(rec.tags, tag)
	}
	return rec, true
}

// fromMoment returns the nanoseconds from since to at.
func fromMoment(at, since int64) int64 {
	if at >= never {
		return never
	}
	return at - since
}

// alive is judge without what only a second level or a read can tell.
func (c *Cache) alive(it *Item, now int64) bool {
	l := it.layout()
	if idle := c.coreOf(it).idle; idle > 0 && l == layoutFull && now-it.full().used.Load() >= idle {
		return false
	}
	if l >= layoutTagged && !c.recheck(it, c.tags.epoch.Load(), now) {
		return false
	}
	return l >= layoutWindowed || !it.marked(markSoft) // without windows, expired is dead
}

// frame returns the bytes of an item; errNoFrame for a cached absence.
func (v *View[V]) frame(it *Item) ([]byte, error) {
	switch it.kind() {
	case kindPacked:
		return held[packed](it).frame, nil
	case kindSealed:
		return held[sealed](it).frame, nil
	case kindNegative:
		return nil, errNoFrame
	}
	frame, _, _, err := v.encode(*held[V](it))
	return frame, err
}

var errNoFrame = errors.New("an absence has no bytes")

// snapRecord is one entry of a snapshot.
type snapRecord struct {
	strategy string
	version  int
	codec    string
	key      string
	fresh    int64 // nanoseconds from the moment of the header; may be below 0
	dead     int64
	stamp    uint64
	tags     []snapTag
	frame    []byte
}

type snapTag struct {
	name   string
	linked bool
}

// append appends the body of r to b.
func (r *snapRecord) append(b []byte) []byte {
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	text(r.strategy)
	b = binary.AppendUvarint(b, uint64(r.version))
	text(r.codec)
	text(r.key)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.fresh))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.dead))
	b = binary.LittleEndian.AppendUint64(b, r.stamp)
	b = binary.AppendUvarint(b, uint64(len(r.tags)))
	for _, t := range r.tags {
		linked := byte(0)
		if t.linked {
			linked = 1
		}
		b = append(b, linked)
		text(t.name)
	}
	return append(b, r.frame...)
}

var errRecord = fmt.Errorf("%w: no record of a snapshot", ErrDecode)

// parseSnap returns the record in b, which it copies.
func parseSnap(b []byte) (r snapRecord, err error) {
	bad := false
	number := func(limit uint64) uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > limit {
			bad, b = true, nil
			return 0
		}
		b = b[size:]
		return n
	}
	take := func(n int) []byte {
		if n > len(b) {
			bad, b = true, nil
			return make([]byte, min(n, 8))
		}
		part := b[:n]
		b = b[n:]
		return part
	}
	text := func() string { return string(take(int(number(uint64(len(b)))))) }
	fixed := func() uint64 { return binary.LittleEndian.Uint64(take(8)) }
	r.strategy = text()
	r.version = int(number(math.MaxInt))
	r.codec, r.key = text(), text()
	r.fresh, r.dead, r.stamp = int64(fixed()), int64(fixed()), fixed()
	for range number(uint64(len(b) / 2)) {
		if bad {
			break
		}
		linked := take(1)[0] == 1
		r.tags = append(r.tags, snapTag{name: text(), linked: linked})
	}
	if bad || r.strategy == "" || r.fresh > never || r.fresh < -never || r.dead > never || r.dead < r.fresh {
		return snapRecord{}, errRecord
	}
	r.frame = append([]byte(nil), b...)
	return r, nil
}
