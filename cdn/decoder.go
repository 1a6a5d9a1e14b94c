package cdn

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"strconv"
	"unicode/utf8"
)

// decoder reads records. Its entry is overwritten by the next one, but not the strings
// and maps in it.
type decoder struct {
	e entry
	// Of the record before. Few records differ in them, so that they are made once.
	contentType, cache, disposition string
}

// decode reads the record at the start of b into d.e and returns its length.
func (d *decoder) decode(b []byte) (int, error) {
	if len(b) < recordHeader {
		return 0, errTorn
	}
	size := binary.LittleEndian.Uint32(b[4:])
	if string(b[:4]) != recordMagic || size > maxRecord {
		return 0, errDamaged
	}
	end := recordHeader + int(size)
	if len(b) < end {
		return 0, errTorn
	}
	crc := crc32.Update(crc32.Checksum(b[4:8], castagnoli), castagnoli, b[recordHeader:end])
	if crc != binary.LittleEndian.Uint32(b[8:]) {
		return 0, errDamaged
	}
	if !d.plain(b[recordHeader:end]) {
		d.e = entry{}
		if json.Unmarshal(b[recordHeader:end], &d.e) != nil {
			return 0, errDamaged
		}
	}
	if d.e.check() != nil {
		return 0, errDamaged
	}
	return end, nil
}

// plain reads an entry as json.Marshal writes it, as long as no text needs an escape: the
// records of a directory are all decoded at its start, where reflection is felt. It reports
// false where anything is different; what is in d.e then counts for nothing.
func (d *decoder) plain(b []byte) bool {
	d.e = entry{}
	e, t := &d.e, &text{b: b, ok: true}
	t.must(`{"key":`)
	e.Key = string(t.quoted())
	t.must(`,"gen":`)
	e.Gen = t.number(64)
	if t.has(`,"if":`) {
		e.If = t.number(64)
	}
	t.must(`,"state":`)
	e.State = objState(t.number(8))
	e.Blob = t.has(`,"blob":true`)
	t.must(`,"size":`)
	e.Size = int64(t.number(63))
	t.must(`,"sha256":`)
	t.unmarshal(&e.Sum, t.quoted())
	t.must(`,"crc32c":`)
	e.CRC = uint32(t.number(32))
	e.Type = t.again(`,"type":`, &d.contentType)
	e.Cache = t.again(`,"cache":`, &d.cache)
	e.Disposition = t.again(`,"disposition":`, &d.disposition)
	if t.has(`,"meta":{`) {
		e.Meta = t.pairs()
	}
	e.CreateOnly = t.has(`,"createOnly":true`)
	e.Derived = t.has(`,"derived":true`)
	if t.has(`,"transform":`) {
		e.Transform = new(Transform)
		if object := t.flat(); t.ok {
			t.ok = json.Unmarshal(object, e.Transform) == nil
		}
	}
	t.must(`,"time":`)
	t.unmarshal(&e.Time, t.quoted())
	if t.has(`,"until":`) {
		t.unmarshal(&e.Until, t.quoted())
	}
	for _, f := range []struct {
		name string
		to   *string
	}{{`,"handle":`, &e.Handle}, {`,"url":`, &e.URL}, {`,"err":`, &e.Err}} {
		if t.has(f.name) {
			*f.to = string(t.quoted())
		}
	}
	t.must(`}`)
	return t.ok && len(t.b) == 0
}

// text is what is left of a JSON text of one spelling. The first thing that is not as
// expected clears ok for good.
type text struct {
	b  []byte
	ok bool
}

// has takes s off the front, if it is there.
func (t *text) has(s string) bool {
	if !t.ok || len(t.b) < len(s) || string(t.b[:len(s)]) != s {
		return false
	}
	t.b = t.b[len(s):]
	return true
}

func (t *text) must(s string) { t.ok = t.has(s) }

// quoted takes a string without escapes off the front. It is part of the text.
func (t *text) quoted() []byte {
	if !t.has(`"`) {
		t.ok = false
		return nil
	}
	ascii := true
	for i, c := range t.b {
		switch {
		case c == '"':
			s := t.b[:i]
			t.b = t.b[i+1:]
			t.ok = ascii || utf8.Valid(s)
			return s
		case c == '\\' || c < ' ':
			t.ok = false
			return nil
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	t.ok = false
	return nil
}

// again takes the string behind name off the front, if there is one; it is *last if that
// reads the same.
func (t *text) again(name string, last *string) string {
	if !t.has(name) {
		return ""
	}
	if s := t.quoted(); string(s) != *last {
		*last = string(s)
	}
	return *last
}

// number takes a number without a sign, of at most so many bits, off the front.
func (t *text) number(bits int) uint64 {
	n := 0
	for n < len(t.b) && t.b[n] >= '0' && t.b[n] <= '9' {
		n++
	}
	v, err := strconv.ParseUint(string(t.b[:n]), 10, bits)
	t.ok = t.ok && err == nil && (n == 1 || t.b[0] != '0')
	t.b = t.b[n:]
	return v
}

// pairs takes the rest of an object of strings off the front.
func (t *text) pairs() map[string]string {
	m := map[string]string{}
	for t.ok {
		k := string(t.quoted())
		t.must(`:`)
		m[k] = string(t.quoted())
		if t.has(`}`) {
			break
		}
		t.must(`,`)
	}
	return m
}

// flat takes an object that holds no other off the front.
func (t *text) flat() []byte {
	n := bytes.IndexByte(t.b, '}') + 1
	if !t.ok || n == 0 {
		t.ok = false
		return nil
	}
	object := t.b[:n]
	t.b = t.b[n:]
	return object
}

// unmarshal has v read s, unless something went wrong before.
func (t *text) unmarshal(v interface{ UnmarshalText([]byte) error }, s []byte) {
	t.ok = t.ok && v.UnmarshalText(s) == nil
}
