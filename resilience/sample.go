package resilience

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

const (
	sampleText  = 48        // bytes that each sample may have
	sampleMost  = 2 << 10   // bytes that it may have while there is room
	sampleTotal = 128 << 10 // room beyond the first bytes of each, of all together
)

// sample is the first withheld occurrence since one passed. It holds nothing that
// the caller goes on using or that is large: message and attributes are copied, in
// a form of our own, into one string.
type sample struct {
	time  time.Time
	next  slog.Handler // nil: seen by Observe
	data  string       // an encoded record; the code if seen by Observe
	pc    uintptr
	level slog.Level
	class Class // if seen by Observe
}

// sampleRoom counts what the samples of a guard hold beyond sampleText each.
type sampleRoom struct{ used atomic.Int64 }

// grant is how many bytes the next sample may have.
func (r *sampleRoom) grant() int {
	return int(min(sampleMost, sampleText+max(0, sampleTotal-r.used.Load())))
}

func (r *sampleRoom) add(s *sample) { r.used.Add(s.extra()) }

func (r *sampleRoom) remove(s *sample) {
	if s != nil {
		r.used.Add(-s.extra())
	}
}

func (s *sample) extra() int64 { return int64(max(0, len(s.data)-sampleText)) }

// newSample copies a record for next into at most room bytes, about. It calls
// methods of the attributes and so must be called under no lock.
func newSample(r *slog.Record, next slog.Handler, room int) *sample {
	e := encoder{room: room}
	e.text(r.Message)
	r.Attrs(e.attr)
	if e.cut {
		e.room = math.MaxInt
		e.attr(slog.Bool("truncated", true))
	}
	return &sample{time: r.Time.Round(0), next: next, data: string(e.out), pc: r.PC, level: r.Level}
}

// record makes the record again.
func (s *sample) record() slog.Record {
	d := decoder(s.data)
	r := slog.NewRecord(s.time, s.level, d.text(), s.pc)
	for len(d) > 0 {
		r.AddAttrs(d.attr())
	}
	return r
}

// What an encoded value is beyond the kinds of slog.
const (
	encodedNil   = 'n'
	encodedError = 'e'
	encodedJSON  = 'j'
)

// encoder writes attributes: the key, one byte for the kind, the value.
type encoder struct {
	out   []byte
	room  int  // for texts and attributes
	depth int  // of groups
	cut   bool // something was left out
}

// text writes s, or as much of it as there is room for.
func (e *encoder) text(s string) {
	if left := max(0, e.room-len(e.out)); len(s) > left {
		for left > 0 && !utf8.RuneStart(s[left]) {
			left--
		}
		s, e.cut = s[:left], true
	}
	e.out = append(binary.AppendUvarint(e.out, uint64(len(s))), s...)
}

// attr writes an attribute, or none if the room is used up.
func (e *encoder) attr(a slog.Attr) bool {
	if a.Equal(slog.Attr{}) {
		return true
	}
	if len(e.out)+len(a.Key)+2 > e.room || e.depth > maxGroups {
		e.cut = true
		return false
	}
	e.text(a.Key)
	e.value(a.Value.Resolve())
	return true
}

func (e *encoder) word(n uint64) { e.out = binary.AppendUvarint(e.out, n) }

func (e *encoder) value(v slog.Value) {
	kind := v.Kind()
	if kind == slog.KindAny {
		e.any(v.Any())
		return
	}
	e.out = append(e.out, byte(kind))
	switch kind { //nolint:exhaustive // Resolved, and not KindAny.
	case slog.KindBool:
		if v.Bool() {
			e.word(1)
		} else {
			e.word(0)
		}
	case slog.KindDuration:
		e.word(uint64(v.Duration()))
	case slog.KindInt64:
		e.word(uint64(v.Int64()))
	case slog.KindUint64:
		e.word(v.Uint64())
	case slog.KindFloat64:
		e.word(math.Float64bits(v.Float64()))
	case slog.KindTime:
		t := v.Time()
		_, zone := t.Zone()
		e.word(uint64(t.Unix()))
		e.word(uint64(t.Nanosecond()))
		e.word(uint64(zone))
	case slog.KindString:
		e.text(v.String())
	case slog.KindGroup:
		e.group(v.Group())
	}
}

// group writes each attribute behind a 1, and a 0 behind the last.
func (e *encoder) group(attrs []slog.Attr) {
	e.depth++
	for _, a := range attrs {
		start := len(e.out)
		e.out = append(e.out, 1)
		more := e.attr(a)
		if len(e.out) == start+1 { // Nothing was written.
			e.out = e.out[:start]
		}
		if !more {
			break
		}
	}
	e.out = append(e.out, 0)
	e.depth--
}

// any writes what has a text of its own as that text, and of others the type only:
// a value that is kept would change, or grow, or be logged unredacted, behind the
// back of its owner.
func (e *encoder) any(v any) {
	switch v := v.(type) {
	case nil:
		e.out = append(e.out, encodedNil)
	case error:
		e.out = append(e.out, encodedError)
		e.text(textOf(v, func() (string, error) { return v.Error(), nil }))
	case []string, []int, []int64, []float64, []bool, map[string]string:
		e.json(v)
	case encoding.TextMarshaler:
		e.value(slog.StringValue(textOf(v, func() (string, error) {
			b, err := v.MarshalText()
			return string(b), err
		})))
	default:
		e.value(slog.StringValue(fmt.Sprintf("(%T)", v)))
	}
}

// json writes v as slog.JSONHandler would, or its type if there is no room.
func (e *encoder) json(v any) {
	var b bytes.Buffer
	j := json.NewEncoder(&b)
	j.SetEscapeHTML(false)
	if err := j.Encode(v); err != nil || b.Len()+2 > e.room-len(e.out) {
		e.value(slog.StringValue(fmt.Sprintf("(%T)", v)))
		e.cut = true
		return
	}
	e.out = append(e.out, encodedJSON)
	e.text(string(bytes.TrimSpace(b.Bytes())))
}

// textOf asks v for its text and survives a panic.
func textOf(v any, ask func() (string, error)) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("(%T: panic)", v)
		}
	}()
	text, err := ask()
	if err != nil {
		return fmt.Sprintf("(%T)", v)
	}
	return text
}

// sampleError stands for an error of which only the text was kept.
type sampleError string

func (e sampleError) Error() string { return string(e) }

// decoder reads what an encoder wrote, and nothing else.
type decoder string

func (d *decoder) byte() byte {
	c := (*d)[0]
	*d = (*d)[1:]
	return c
}

func (d *decoder) word() (n uint64) {
	for shift := 0; ; shift += 7 {
		c := d.byte()
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
}

func (d *decoder) text() string {
	n := d.word()
	s := (*d)[:n]
	*d = (*d)[n:]
	return string(s)
}

func (d *decoder) attr() slog.Attr { return slog.Attr{Key: d.text(), Value: d.value()} }

func (d *decoder) value() slog.Value {
	switch kind := d.byte(); kind {
	case encodedNil:
		return slog.AnyValue(nil)
	case encodedError:
		return slog.AnyValue(sampleError(d.text()))
	case encodedJSON:
		return slog.AnyValue(json.RawMessage(d.text()))
	case byte(slog.KindBool):
		return slog.BoolValue(d.word() != 0)
	case byte(slog.KindDuration):
		return slog.DurationValue(time.Duration(d.word()))
	case byte(slog.KindInt64):
		return slog.Int64Value(int64(d.word()))
	case byte(slog.KindUint64):
		return slog.Uint64Value(d.word())
	case byte(slog.KindFloat64):
		return slog.Float64Value(math.Float64frombits(d.word()))
	case byte(slog.KindTime):
		sec, nsec, zone := int64(d.word()), int64(d.word()), int(int64(d.word()))
		return slog.TimeValue(time.Unix(sec, nsec).In(time.FixedZone("", zone)))
	case byte(slog.KindString):
		return slog.StringValue(d.text())
	default:
		var attrs []slog.Attr
		for d.byte() != 0 {
			attrs = append(attrs, d.attr())
		}
		return slog.GroupValue(attrs...)
	}
}
