package cdn

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// FuzzRecord replays any bytes as a journal. What it accepts must survive writing
// and reading, alone, after damage and as the manifest of a blob.
func FuzzRecord(f *testing.F) {
	e := &entry{
		Key: "a/b.png", Gen: 7, State: statePending, Blob: true, Size: 3, Sum: hexSum{1, 2}, CRC: 9, Type: "image/png",
		Meta: map[string]string{"k": "v"}, Transform: &Transform{Quality: 80}, Time: time.Unix(1, 2).UTC(),
	}
	one, err := appendRecord(nil, e)
	if err != nil {
		f.Fatal(err)
	}
	two, _ := appendRecord(bytes.Clone(one), &entry{Key: "k", Gen: 8, State: stateGone, Time: time.Unix(3, 4).UTC()})
	f.Add(one)
	f.Add(two)
	f.Add(two[:len(two)-1])
	f.Add(two[5:])
	f.Add([]byte(recordMagic + "\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var got []*entry
		sound, damaged := replay(b, func(e *entry) { got = append(got, e) })
		if sound < 0 || sound > len(b) || damaged && len(got) == 0 {
			t.Fatalf("replay = %d of %d, damaged %v, with %d records", sound, len(b), damaged, len(got))
		}
		var streamed []*entry
		all, prefix, broken, err := replayFile(iotest.HalfReader(bytes.NewReader(b)), func(e *entry) {
			c := *e
			streamed = append(streamed, &c)
		})
		if all != int64(len(b)) || prefix != int64(sound) || broken != damaged || err != nil || !reflect.DeepEqual(streamed, got) {
			t.Errorf("replayFile = %d, %d, %v, %v with %+v; replay = %d, %d, %v with %+v", all, prefix, broken, err, streamed, len(b), sound, damaged, got)
		}
		var again []byte
		for _, e := range got {
			if again, err = appendRecord(again, e); err != nil {
				t.Fatal(err)
			}
		}
		i := 0
		n, damaged := replay(append(bytes.Clone(again), "torn"...), func(e *entry) {
			if !reflect.DeepEqual(e, got[i]) {
				t.Errorf("record %d came back as %+v; want %+v", i, e, got[i])
			}
			i++
		})
		if n != len(again) || i != len(got) || damaged {
			t.Errorf("replay of %d sound records = %d of %d bytes, %d records, damaged %v", len(got), n, len(again), i, damaged)
		}
		for _, e := range got {
			sameItem(t, e)
			if e.Size > 1<<10 {
				continue
			}
			file, err := appendManifest(make([]byte, e.Size), e)
			if err != nil {
				t.Fatal(err)
			}
			if m, err := decodeManifest(bytes.NewReader(file), int64(len(file))); err != nil || !reflect.DeepEqual(m, e) {
				t.Errorf("manifest = %+v, %v; want %+v", m, err, e)
			}
			if _, err := decodeManifest(bytes.NewReader(file[1:]), int64(len(file)-1)); err == nil {
				t.Error("manifest of a shortened file was accepted")
			}
		}
	})
}

// sameItem checks that the item of e tells what e tells, but for the condition and
// parts of microseconds.
func sameItem(t *testing.T, e *entry) {
	want := *e
	want.If, want.Time = 0, moment(e.Time)
	if want.Until = moment(e.Until); want.Until.UnixMicro() == 0 {
		want.Until = time.Time{}
	}
	if len(want.Meta) == 0 {
		want.Meta = nil
	}
	if want.Transform != nil && want.Transform.IsZero() {
		want.Transform = nil
	}
	if got := newItem(e).entry(); !reflect.DeepEqual(got, &want) {
		t.Errorf("item of %+v tells %+v", want, got)
	}
}

// FuzzPlain compares what the decoder reads without encoding/json with what that reads:
// it may leave a text to it, but not read it otherwise.
func FuzzPlain(f *testing.F) {
	full := &entry{
		Key: "a/ü.png", Gen: 7, If: 6, State: stateDone, Blob: true, Size: 3, Sum: hexSum{1, 2}, CRC: 9, Type: "image/png", Cache: immutable,
		Disposition: "inline", Meta: map[string]string{"k": "v", "l": ""}, CreateOnly: true, Derived: true, Transform: &Transform{Quality: 80, Fit: "cover"},
		Time: time.Unix(1, 2).UTC(), Until: time.Unix(3, 4).UTC(), Handle: "h", URL: "https://cdn.example/a", Err: "why",
	}
	for _, e := range []*entry{full, {Key: "k", Gen: 8, State: stateGone}} {
		text, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		if !new(decoder).plain(text) {
			f.Errorf("%s is left to encoding/json", text)
		}
		f.Add(text)
	}
	for _, s := range []string{
		`{"key":"a\u0026b","gen":1,"state":1,"size":0,"sha256":"","crc32c":0,"time":"0001-01-01T00:00:00Z"}`,
		`{"key":"a","gen":01,"state":300,"size":-1,"sha256":"00","crc32c":4294967296,"meta":{},"transform":{"Fit":"}"},"time":"x"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d decoder
		d.contentType, d.cache, d.disposition = "image/png", "x", "inline"
		if !d.plain(b) {
			return
		}
		var want entry
		if err := json.Unmarshal(b, &want); err != nil || !reflect.DeepEqual(d.e, want) {
			t.Errorf("%s reads as %+v; encoding/json reads %+v, %v", b, d.e, want, err)
		}
	})
}

// FuzzKey checks that what CheckKey lets through stays below a directory, makes a URL
// that leads back to it, and that no name leads to a key which is refused.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"a", "a/b.png", "..", "a/../b", "/a", "a//b", "a\\b", "C:", "a\x00", "%2e%2e/x", "ü ảnh?#&.png", "a/.", "\xff"} {
		f.Add(s)
	}
	base, err := parseBase("https://cdn.example/f/")
	if err != nil {
		f.Fatal(err)
	}
	l := &Local{base: base}
	f.Fuzz(func(t *testing.T, s string) {
		if key := derivedKey("f", s, [32]byte{1}, cleanExt(s)); CheckKey(key) != nil {
			t.Errorf("derivedKey(%q) = %q, which is refused", s, key)
		}
		if CheckKey(s) != nil {
			return
		}
		if !fs.ValidPath(s) || !filepath.IsLocal(s) && os.PathSeparator == '/' || strings.ContainsAny(s, "\x00\\\r\n") {
			t.Errorf("CheckKey(%q) = nil", s)
		}
		text, err := l.URL(Ref{Key: s})
		if err != nil {
			t.Fatal(err)
		}
		if u, err := url.Parse(text); err != nil || u.Path != "/f/"+s || u.Host != "cdn.example" || u.RawQuery != "" {
			t.Errorf("URL(%q) = %q, which reads as %+v, %v", s, text, u, err)
		}
	})
}
