package cache

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"
)

// RestoreReport tells what a [Cache.Restore] did, in entries.
type RestoreReport struct {
	Restored int  // in memory now
	Skipped  int  // of no strategy here or another Version or Codec, dead, invalidated, too large, or here already
	Damaged  int  // records that could not be read
	Full     bool // stopped at the bound; the rest was colder
}

// Restore puts the entries of a [Cache.Snapshot] into memory. Call it at the start,
// after every [Add] and [Cache.Depend]: entries of strategies that the cache does not
// have are skipped. A value is decoded when a view asks for it; until then an entry
// counts for its bytes, and one that turns out to be damaged is a miss.
//
// What comes back counts as loaded when the snapshot was taken. An entry is fresh for
// as long as it would have been by the wall clock, at most for the TTL that its strategy
// has now, and never longer than it was at the snapshot although the clock was set back.
// Its tags and dependencies are restored with it. Whatever was written or invalidated
// in this cache wins over the snapshot, whether before Restore or during it, and, if
// the snapshot is of this same cache, since the snapshot. What happened between the
// snapshot and the start of this process is not known: if data changed then,
// invalidate its tags, before or after. With Options.Remote, where other nodes go on
// invalidating meanwhile, nothing is restored; the second level keeps the records.
//
// Entries are taken from the hottest on until the bound is reached. Damage is told by
// an error matching ErrDecode after all that is readable was restored: a damaged
// record is skipped, a torn end or a damaged length ends the reading. Other errors are
// those of r and of the ctx, with what was read before restored, and ErrClosed.
func (c *Cache) Restore(ctx context.Context, r io.Reader) (RestoreReport, error) {
	var rep RestoreReport
	if c.closed.Load() {
		return rep, ErrClosed
	}
	if c.opts.Disabled || c.remote != nil {
		return rep, nil
	}
	in := &snapReader{r: bufio.NewReader(r), max: snapMax}
	if c.opts.MaxBytes > 0 {
		in.max = min(c.opts.MaxBytes+1<<20, snapMax)
	}
	err := in.header()
	if err == nil {
		err = c.restore(ctx, in, &rep)
	}
	if err == nil && rep.Damaged > 0 {
		err = errRecord
	}
	if err != nil {
		return rep, fmt.Errorf("cache: restore: %d entries restored, %d skipped, %d damaged: %w",
			rep.Restored, rep.Skipped, rep.Damaged, err)
	}
	return rep, nil
}

// restore reads what fits, and stores it from the coldest on, as if it had been used
// in that order.
func (c *Cache) restore(ctx context.Context, in *snapReader, rep *RestoreReport) error {
	since := snapSince{moment: 1, age: snapAge(time.Now().UnixNano(), in.wall)}
	if since.same = in.identity == c.identity; since.same {
		since.moment = in.moment
	}
	room := c.max - c.liveWeight()
	var items []aged
	var err error
	for err == nil {
		if ctx.Err() != nil {
			err = ctxError(ctx)
			break
		}
		var rec snapRecord
		if rec, err = in.next(); errors.Is(err, errSkipRecord) {
			rep.Damaged++
			err = nil
			continue
		}
		var it *Item
		if err == nil {
			it = c.unsnap(rec, since)
		} else if !errors.Is(err, errLargeRecord) {
			break
		}
		if it == nil {
			rep.Skipped++
			err = nil
			continue
		}
		if room -= it.Weight(); room < 0 {
			c.tags.release(it.tags()[len(c.coreOf(it).static):]...)
			rep.Full = true
			break
		}
		items = append(items, aged{Key{Strategy: it.strategy(), ID: rec.key}, it})
	}
	for _, a := range slices.Backward(items) {
		if c.revive(a.key, a.it, since.moment) {
			rep.Restored++
		} else {
			rep.Skipped++
		}
	}
	c.tellEvictions()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// snapAge returns the nanoseconds that have passed by the wall clock, which may have been
// set back, and must not overflow what is subtracted from it.
func snapAge(now, wall int64) int64 {
	if wall < now-never {
		return never
	}
	return max(now-wall, 0)
}

// snapSince says what a snapshot means for this cache.
type snapSince struct {
	same   bool  // it is of this cache, so that its stamps mean something
	moment int64 // what was written from here on wins
	age    int64
}

// sealed is a restored value that no view has asked for yet.
type sealed struct {
	frame []byte
	id    string // of the entry, for the item that will take its place
}

// unsnap makes the item of a record, or returns nil if it is of no use here.
func (c *Cache) unsnap(rec snapRecord, since snapSince) *Item {
	c.coreMu.RLock()
	co := c.byName[rec.strategy]
	c.coreMu.RUnlock()
	if co == nil || co.codec == "" || co.codec != rec.codec || co.version != rec.version || len(rec.frame) < frameMin {
		return nil
	}
	left := func(d int64) int64 {
		if d >= never {
			return d
		}
		return d - since.age
	}
	fresh := min(left(rec.fresh), co.ttl)
	windows := addMoment(fresh, max(co.swr, co.sie))
	dead := min(left(rec.dead), windows)
	if dead <= 0 {
		return nil
	}
	nodes := c.snapNodes(co, rec)
	it, bytes := co.seal(co.layoutFor(dead < windows, len(nodes)), rec)
	it.meta.Or(co.id)
	it.attach(nodes)
	it.tagged().stamp = 1 // it has a node, its own, and so this layout
	if since.same {
		it.tagged().stamp = rec.stamp
	}
	co.dateRestored(it, rec.key, fresh, dead)
	it.weigh(c, bytes+co.overhead(rec.key, len(nodes)))
	return it
}

// seal puts the bytes of a record into an item, and counts them.
func (co *core) seal(l layout, rec snapRecord) (*Item, int64) {
	if plain, n := binary.Uvarint(rec.frame[2:]); n > 0 && co.compressed && rec.frame[1] != algNone {
		it, size := makeItem(l, kindPacked, packed{frame: rec.frame, saved: int64(plain) - int64(len(rec.frame))})
		return it, int64(size) + int64(cap(rec.frame))
	}
	it, size := makeItem(l, kindSealed, sealed{frame: rec.frame, id: rec.key})
	return it, int64(size) + int64(cap(rec.frame))
}

// dateRestored sets the moments of it, which is fresh and dead in so many nanoseconds.
func (co *core) dateRestored(it *Item, id string, fresh, dead int64) {
	now := co.c.now()
	it.fresh = addMoment(now, fresh)
	l := it.layout()
	if l >= layoutWindowed {
		at := int64(never)
		if co.ahead > 0 && it.fresh < never && co.ttl < never {
			at = max(it.fresh-int64(float64(co.ttl)*(1-co.ahead)), 0)
			it.meta.Or(markMoment)
		}
		it.windowed().retry.Store(at)
	}
	if l == layoutFull {
		f := it.full()
		f.id, f.verified, f.dead = id, now, addMoment(now, dead)
		f.used.Store(now)
		if co.idle > 0 {
			it.meta.Or(markMoment)
		}
	}
}

// snapNodes returns the nodes of a restored item, with references. Unlike other
// items it holds the node of its own tag too: no flight stands for it when an
// invalidation of its key passes by before it is stored.
func (c *Cache) snapNodes(co *core, rec snapRecord) []*node {
	nodes := slices.Clone(co.static)
	self := co.tagPrefix + rec.key
	for _, t := range append(rec.tags, snapTag{name: self}) {
		if t.name == "" || slices.ContainsFunc(nodes, func(n *node) bool { return n.name == t.name }) {
			continue
		}
		nodes = append(nodes, c.tags.acquire(t.name))
		if t.linked && t.name != self {
			c.watchEntry(t.name)
		}
	}
	return slices.Clip(nodes)
}

// revive stores a restored item unless something newer is known.
func (c *Cache) revive(key Key, it *Item, since int64) bool {
	co := c.coreOf(it)
	s := c.flights.shard(key)
	s.mu.Lock()
	_, present := c.get(key)
	now := c.now()
	if present || c.overwritten(key, it, since) || now >= c.deadOf(it) || !c.recheck(it, c.tags.epoch.Load(), now) {
		s.mu.Unlock()
		c.tags.release(it.tags()[len(co.static):]...)
		return false
	}
	err := c.store(key, it)
	s.mu.Unlock()
	if err == nil {
		c.armSweep()
		c.stored(co, key.ID)
	}
	return err == nil
}

// overwritten tells whether a restored item, or an entry that it depends on, was written
// by hand at the moment since or later. Its references to its nodes came first: a writer
// sees them, and stamps them, or is seen here.
func (c *Cache) overwritten(key Key, it *Item, since int64) bool {
	if c.flights.lastWrite(key).Load() >= since {
		return true
	}
	for _, n := range it.tags() {
		if _, inner, ok := c.entryOf(n.name); ok && c.flights.lastWrite(inner).Load() >= since {
			return true
		}
	}
	return false
}

// overhead returns the bytes of an entry besides its item.
func (co *core) overhead(id string, nodes int) int64 {
	return engineBytes + int64(len(id)) + int64(nodes-len(co.static))*8
}

// thaw decodes a restored value and puts it in the place of its bytes.
func (v *View[V]) thaw(it *Item) (V, error) {
	x := held[sealed](it)
	val, err := v.decode(x.frame)
	if err != nil {
		return val, err
	}
	live, size := makeItem(it.layout(), kindValue, val)
	live.meta.Or(v.core.id)
	live.attach(it.tags())
	live.fresh = it.fresh
	bytes := v.core.overhead(x.id, len(it.tags()))
	if err := capture(func() error { bytes += addMoment(int64(size), v.sizeOf(val)); return nil }); err != nil {
		return val, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	live.weigh(v.core.c, bytes)
	v.core.c.exchange(v.key(x.id), it, live)
	if v.s.Clone != nil {
		val = v.s.Clone(val)
	}
	return val, nil
}

// exchange stores it in the place of old, if that is still there. Its layout and its
// nodes are the same.
func (c *Cache) exchange(key Key, old, it *Item) {
	defer c.tellEvictions()
	s := c.flights.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if cur, ok := c.get(key); !ok || cur != old {
		return
	}
	it.age(old)
	for _, n := range it.tags()[len(c.coreOf(it).static):] {
		c.tags.retain(n)
	}
	_ = c.store(key, it) // what does not fit is decoded anew each time
}

// age gives it the state of old. The stamps are not taken as checked: they are compared
// anew, so that a mark that old gets meanwhile is not lost.
func (it *Item) age(old *Item) {
	l := it.layout()
	if l >= layoutTagged {
		it.tagged().stamp = old.tagged().stamp
	}
	if l >= layoutWindowed {
		it.windowed().retry.Store(old.windowed().retry.Load())
		it.windowed().soft.Store(old.windowed().soft.Load())
	}
	if l == layoutFull {
		f, o := it.full(), old.full()
		f.id, f.dead, f.verified = o.id, o.dead, o.verified
		f.rpos, f.rgen, f.byHand = o.rpos, o.rgen, o.byHand
		f.used.Store(o.used.Load())
	}
	it.meta.Or(old.meta.Load() & (markSoft | markMoment))
}

// snapReader reads a snapshot.
type snapReader struct {
	r        *bufio.Reader
	max      int64 // of a body that is worth reading
	buf      bytes.Buffer
	identity [identityLen]byte
	wall     int64
	moment   int64
}

var (
	errSnapshot    = fmt.Errorf("%w: no snapshot", ErrDecode)
	errTorn        = fmt.Errorf("%w: the snapshot ends early or is damaged", ErrDecode)
	errSkipRecord  = errors.New("damaged record")
	errLargeRecord = errors.New("record larger than the cache")
)

func (in *snapReader) header() error {
	var h [snapHeader]byte
	if err := in.full(h[:]); err != nil {
		return err
	}
	body, sum := h[:snapHeader-4], binary.LittleEndian.Uint32(h[snapHeader-4:])
	if string(body[:4]) != snapMagic || crc32.Checksum(body, castagnoli) != sum {
		return errSnapshot
	}
	copy(in.identity[:], body[4:])
	in.wall = int64(binary.LittleEndian.Uint64(body[4+identityLen:]))
	in.moment = int64(binary.LittleEndian.Uint64(body[4+identityLen+8:]))
	return nil
}

// next returns the next record, io.EOF at the end, errSkipRecord for one that is damaged,
// or errLargeRecord.
func (in *snapReader) next() (snapRecord, error) {
	var p [snapPrefix]byte
	if err := in.full(p[:]); err != nil {
		return snapRecord{}, err
	}
	n := int64(binary.LittleEndian.Uint32(p[:]))
	if crc32.Checksum(p[:4], castagnoli) != binary.LittleEndian.Uint32(p[4:]) || n > snapMax {
		return snapRecord{}, errTorn
	}
	if n == 0 {
		return snapRecord{}, io.EOF
	}
	if n > in.max {
		if _, err := io.CopyN(io.Discard, in.r, n+4); err != nil {
			return snapRecord{}, early(err)
		}
		return snapRecord{}, errLargeRecord
	}
	in.buf.Reset() // grows with what is there, not with what a length promises
	if _, err := io.CopyN(&in.buf, in.r, n+4); err != nil {
		return snapRecord{}, early(err)
	}
	body := in.buf.Bytes()
	if crc32.Checksum(body[:n], castagnoli) != binary.LittleEndian.Uint32(body[n:]) {
		return snapRecord{}, errSkipRecord
	}
	rec, err := parseSnap(body[:n])
	if err != nil {
		return rec, errSkipRecord
	}
	return rec, nil
}

func (in *snapReader) full(b []byte) error {
	_, err := io.ReadFull(in.r, b)
	return early(err)
}

// early tells of an end where more should follow.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}
