package rediscache

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

func sample() *cache.Record {
	return &cache.Record{Version: -3, Codec: "json", Data: []byte("value \x00\xff"), Tags: []string{"t", "", "\x00bin\xff"},
		Position: 7<<32 | 9, Fresh: time.Minute, Keep: time.Hour + 300*time.Microsecond}
}

func TestRecordRoundTrip(t *testing.T) {
	for name, rec := range map[string]*cache.Record{
		"all fields": sample(),
		"no data":    {Position: 1, Tags: []string{"t"}, Fresh: 1, Keep: time.Second, Data: []byte{}},
	} {
		blob := encodeRecord("k", rec)
		if len(blob) != encodedSize(rec) {
			t.Errorf("%s: %d bytes; encodedSize = %d", name, len(blob), encodedSize(rec))
		}
		got, err := decodeRecord("k", blob, rec.Keep.Truncate(time.Millisecond)-5*time.Millisecond)
		if err != nil {
			t.Fatalf("%s: decodeRecord: %v", name, err)
		}
		want := *rec
		want.Age = 5 * time.Millisecond
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: decoded %+v; want %+v", name, *got, want)
		}
	}
}

func TestRecordGarbage(t *testing.T) {
	blob := encodeRecord("k", sample())
	bad := func(what, key, blob string, left time.Duration) {
		t.Helper()
		if rec, err := decodeRecord(key, blob, left); !errors.Is(err, errRecord) {
			t.Errorf("%s: decodeRecord = %+v, %v; want errRecord", what, rec, err)
		}
	}
	for i := range len(blob) {
		bad("truncated", "k", blob[:i], time.Second)
		for bit := range 8 {
			b := []byte(blob)
			b[i] ^= 1 << bit
			bad("flipped", "k", string(b), time.Second)
		}
	}
	bad("longer", "k", blob+"x", time.Second)
	bad("other key", "l", blob, time.Second)
	bad("no expiry", "k", blob, -time.Millisecond)
	bad("expiry in the future of its own", "k", blob, 2*time.Hour)
}

// FuzzDecodeRecord: whatever Redis holds is a record with consistent fields or an
// error. The sum is made right, so that what lies behind it is reached.
func FuzzDecodeRecord(f *testing.F) {
	blob := encodeRecord("k", sample())
	f.Add(blob[8:], int64(1000))
	f.Add(blob[8:40], int64(1))
	f.Add(strings.Repeat("\xff", 80), int64(-1))
	f.Add("", int64(0))
	f.Fuzz(func(t *testing.T, rest string, left int64) {
		b := []byte(recordMagic + "\x00\x00\x00\x00" + rest)
		sum := checksum("k", b[8:])
		b[4], b[5], b[6], b[7] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		rec, err := decodeRecord("k", string(b), time.Duration(left))
		if err != nil {
			return
		}
		if rec.Age < 0 || left <= 0 {
			t.Errorf("Age = %v with %v left", rec.Age, time.Duration(left))
		}
		if again := encodeRecord("k", rec); again != string(b) {
			t.Errorf("encoded again: %q; want %q", again, b)
		}
	})
}

func TestMessage(t *testing.T) {
	text := "PBi1\x00\x00\x00\x07\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x01t\x00\x00\x00\x00"
	want := message{pos: 7<<32 | 9, soft: true, tags: []string{"t", ""}}
	if m, ok := decodeMessage(text); !ok || !reflect.DeepEqual(m, want) {
		t.Errorf("decodeMessage = %+v, %v; want %+v", m, ok, want)
	}
	for i := range len(text) {
		if m, ok := decodeMessage(text[:i]); ok {
			t.Errorf("decodeMessage(first %d bytes) = %+v", i, m)
		}
	}
	if m, ok := decodeMessage(text + "x"); ok {
		t.Errorf("decodeMessage with a byte more = %+v", m)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add("PBi1\x00\x00\x00\x07\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01t")
	f.Add("PBi1" + strings.Repeat("\xff", 16))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := decodeMessage(text)
		n := messageHead
		for _, tag := range m.tags {
			n += 4 + len(tag)
		}
		if ok && n != len(text) {
			t.Errorf("decodeMessage took %d of %d bytes", n, len(text))
		}
	})
}

func TestCleanText(t *testing.T) {
	for text, want := range map[string]string{
		"ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'hunter2'": "ERR unknown command 'HELLO'",
		"OOM command not allowed": "OOM command not allowed",
		"ERR \xff":                "ERR ?",
		strings.Repeat("x", 5000): strings.Repeat("x", maxErrorText),
	} {
		if got := cleanText(text); got != want {
			t.Errorf("cleanText(%.40q) = %q; want %q", text, got, want)
		}
	}
}

func TestHasHashTag(t *testing.T) {
	for prefix, want := range map[string]bool{"chat:": false, "{chat}:": true, "a{chat}:": true, "{}:": false, "{chat": false, "}{": false, "": false, "{}{x}": false} {
		if got := hasHashTag(prefix); got != want {
			t.Errorf("hasHashTag(%q) = %v; want %v", prefix, got, want)
		}
	}
}

// TestNote: positions only grow, and only a new incarnation is a reset.
func TestNote(t *testing.T) {
	var resets []uint64
	r, err := New(Options{Hooks: Hooks{Reset: func(e ResetEvent) { resets = append(resets, e.Position); panic("hook") }}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, pos := range []uint64{5<<32 | 7, 5<<32 | 6, 5<<32 | 8, 4<<32 | 9, 9<<32 | 1} {
		r.note(pos)
	}
	if got := r.seen.Load(); got != 9<<32|1 {
		t.Errorf("seen = %d, %d", got>>32, got&(1<<32-1))
	}
	if len(resets) != 1 || resets[0] != 9<<32|1 || r.Stats().Resets != 1 {
		t.Errorf("resets = %v; want one", resets)
	}
}
