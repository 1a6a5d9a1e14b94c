package imageopt

import (
	"strings"
	"testing"
)

func TestParseAccept(t *testing.T) {
	for _, tc := range []struct {
		name, accept string
		want         string // jpeg png gif webp avif in quarters
	}{
		{"empty", "", "44400"},
		{"curl", "*/*", "44400"},
		{"chrome", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "44444"},
		{"firefox", "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "44444"},
		{"old safari", "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5", "44400"},
		{"image wildcard", "image/*", "44400"},
		{"refused", "image/webp;q=0, image/*", "44400"},
		{"specific beats wildcard", "image/*;q=1, image/png;q=0.25", "41400"},
		{"image/* beats */*", "*/*;q=1, image/*;q=0.5", "22200"},
		{"wildcard refused", "*/*;q=0, image/webp", "00040"},
		{"only named", "image/webp;q=0.5", "00020"},
		{"small weights count", "image/webp;q=0.001", "00010"},
		{"case and spaces", "IMAGE/WEBP ; Q=0.5 , Image/Jpeg", "40020"},
		{"jpg alias", "image/jpg", "40000"},
		{"parameters before q", "image/webp;version=1;q=0.5", "00020"},
		{"text only", "text/html", "00000"},
		{"bad q is skipped", "image/webp;q=2, image/png", "04000"},
		{"bad q is skipped 2", "image/webp;q=.5, image/png;q=0.1234, image/gif;q=1.001, image/jpeg", "40000"},
		{"nonsense", ";;;,,,q=1", "44400"},
		{"the best of two", "image/webp;q=0.25, image/webp;q=1", "00040"},
	} {
		w := parseAccept(tc.accept)
		var got strings.Builder
		for f := FormatJPEG; f <= FormatAVIF; f++ {
			got.WriteString(string(rune('0' + w[f])))
		}
		if got.String() != tc.want {
			t.Errorf("%s: parseAccept(%q) = %s; want %s", tc.name, tc.accept, got.String(), tc.want)
		}
		if parseAccept(w.header()) != w {
			t.Errorf("%s: %q is not read as it was written", tc.name, w.header())
		}
	}
}

func FuzzParseAccept(f *testing.F) {
	for _, s := range []string{"", "*/*", "image/avif,image/webp,*/*;q=0.8", "image/png;q=0.001;x=\"a,b\"", ";q=,,/", strings.Repeat("a/b,", 2000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := parseAccept(s)
		for i, v := range w {
			if v > 4 || v > 0 && (Format(i) == FormatAuto || Format(i) > FormatAVIF) {
				t.Errorf("parseAccept(%q)[%v] = %d", s, Format(i), v)
			}
		}
		if w[FormatWebP] > 0 && !strings.Contains(strings.ToLower(s), "image/webp") {
			t.Errorf("parseAccept(%q) allows WebP, which is not named", s)
		}
		if parseAccept(w.header()) != w {
			t.Errorf("%q is not read as it was written", w.header())
		}
	})
}
