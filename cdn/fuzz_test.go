package cdn

import (
	"bytes"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
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
