package cloudinarycdn

import (
	"strings"
	"testing"
)

// The request signatures are those that Cloudinary's own clients make.
func TestSignParamsVectors(t *testing.T) {
	p := &Provider{opts: Options{APISecret: "abcd"}}
	for _, c := range []struct {
		params map[string]string
		want   string
	}{
		{map[string]string{"eager": "w_400,h_300,c_pad|w_260,h_200,c_crop", "public_id": "sample_image", "timestamp": "1315060510"},
			"bfd09f95f331f558cbd1320e67aa8d488770583e"},
		{map[string]string{"public_id": "a&b", "timestamp": "1", "overwrite": ""}, "368b340cc521b1cd87742f387e69160439f8abe1"},
	} {
		if got := p.signParams(c.params); got != c.want {
			t.Errorf("signParams(%v) = %s; want %s", c.params, got, c.want)
		}
	}
	a, b := p.signParams(map[string]string{"public_id": "a", "timestamp": "1"}), p.signParams(map[string]string{"public_id": "a&timestamp=1"})
	if a == b {
		t.Error("an & inside a value can stand for two parameters")
	}
}

// The delivery signatures are those in the tests of Cloudinary's clients.
func TestSignPathVectors(t *testing.T) {
	p := &Provider{opts: Options{APISecret: "b"}}
	if got, want := p.signPath("c_crop,h_20,w_10", "image.jpg"), "s--Ai4Znfl3--"; got != want {
		t.Errorf("signPath = %s; want %s", got, want)
	}
	if got, want := p.signPath("", "image.jpg"), "s----SjmNDA--"; got != want {
		t.Errorf("signPath = %s; want %s", got, want)
	}
	p.opts.SHA256 = true
	if got := p.signPath("", "image.jpg"); len(got) != len("s----")+32 {
		t.Errorf("signPath with SHA-256 = %s; want 32 characters", got)
	}
}

func TestPublicID(t *testing.T) {
	for _, c := range []struct{ key, want string }{
		{"a/b.jpg", "a/b.jpg"},
		{"a b+ü.txt", "a b+ü.txt"},
		{`?&#\%<>~`, "~3F~26~23~5C~25~3C~3E~7E"},
		{"a~3Fb", "a~7E3Fb"},
	} {
		if got, err := publicID(c.key); got != c.want || err != nil {
			t.Errorf("publicID(%q) = %q, %v; want %q", c.key, got, err, c.want)
		}
	}
	for _, key := range []string{"", " a", "a ", "a/", strings.Repeat("ü", 256)} {
		if got, err := publicID(key); err == nil {
			t.Errorf("publicID(%.20q) = %q; want an error", key, got)
		}
	}
}

func FuzzPublicID(f *testing.F) {
	for _, k := range []string{"a/b.jpg", "a~b", "%7E", "~7E", "?", "日本"} {
		f.Add(k, k+"~")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, err1 := publicID(a)
		y, err2 := publicID(b)
		if err1 != nil || err2 != nil {
			return
		}
		if (x == y) != (a == b) {
			t.Errorf("publicID(%q) = %q, publicID(%q) = %q", a, x, b, y)
		}
		if strings.ContainsAny(x, `?&#\%<>`) || strings.Trim(x, " /") != x {
			t.Errorf("publicID(%q) = %q, which Cloudinary refuses", a, x)
		}
	})
}

func FuzzLocator(f *testing.F) {
	for _, s := range []string{"image/upload/v1/jpg", "raw/authenticated/v0/", "a", "image/upload/vx/jpg", "image/upload/v1/../x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, ok := parseLocator(s)
		if !ok {
			return
		}
		if again, ok := parseLocator(l.String()); !ok || again != l {
			t.Errorf("parseLocator(%q) = %+v, and again %+v, %v", s, l, again, ok)
		}
		if strings.ContainsAny(l.format, "./?#") {
			t.Errorf("parseLocator(%q) lets the format %q into URLs", s, l.format)
		}
	})
}
