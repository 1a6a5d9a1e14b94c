package imageopt_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt"
)

func plainURL(src string, w int) string {
	return fmt.Sprintf("/img/?url=%s&w=%d", url.QueryEscape(src), w)
}

func TestPictureHTML(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    imageopt.Picture
		want string
	}{
		{
			"fixed", imageopt.Picture{Src: "a.jpg", Alt: "A cat", Width: 300, Height: 200},
			`<picture><img alt="A cat" width="300" height="200" loading="lazy" decoding="async"` +
				` srcset="/img/?url=a.jpg&amp;w=320 1x, /img/?url=a.jpg&amp;w=640 2x" src="/img/?url=a.jpg&amp;w=320"></picture>`,
		},
		{
			"responsive", imageopt.Picture{
				Src: "a.jpg", Width: 700, Height: 200, Responsive: true, Priority: true, Widths: []int{960, 320, 960},
				Placeholder: "#a0b0C0", Class: "hero", Sizes: "(max-width: 768px) 100vw, 50vw",
			},
			`<picture><img alt="" width="700" height="200" class="hero" loading="eager" fetchpriority="high" decoding="async"` +
				` style="background-color:#a0b0C0" sizes="(max-width: 768px) 100vw, 50vw"` +
				` srcset="/img/?url=a.jpg&amp;w=320 320w, /img/?url=a.jpg&amp;w=960 960w" src="/img/?url=a.jpg&amp;w=960"></picture>`,
		},
		{
			"default sizes, largest width", imageopt.Picture{Src: "a.jpg", Width: 5000, Height: 1, Responsive: true, Widths: []int{64}},
			`<picture><img alt="" width="5000" height="1" loading="lazy" decoding="async" sizes="100vw"` +
				` srcset="/img/?url=a.jpg&amp;w=64 64w" src="/img/?url=a.jpg&amp;w=64"></picture>`,
		},
		{
			"hostile strings", imageopt.Picture{
				Src: `"><script>alert(1)</script>`, Alt: `"><script>`, Class: `x" onload="y`, Sizes: `"><b>`, Width: 10, Height: 10, Widths: []int{64},
				Placeholder: "data:image/jpeg;base64,/9j/AA==",
			},
			`<picture><img alt="&#34;&gt;&lt;script&gt;" width="10" height="10" class="x&#34; onload=&#34;y" loading="lazy" decoding="async"` +
				` style="background:url(data:image/jpeg;base64,/9j/AA==) center/cover no-repeat" sizes="&#34;&gt;&lt;b&gt;"` +
				` srcset="/img/?url=%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E&amp;w=64 64w"` +
				` src="/img/?url=%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E&amp;w=64"></picture>`,
		},
	} {
		got, err := tc.p.HTML(plainURL)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", tc.name, err, got, tc.want)
		}
	}
	got, err := imageopt.Picture{Src: "a", Width: 1, Height: 1, Widths: []int{64}}.HTML(func(string, int) string { return "/a b,c d.jpg" })
	if err != nil || !strings.Contains(string(got), `srcset="/a%20b%2Cc%20d.jpg 1x"`) {
		t.Errorf("spaces and commas in srcset: %s, %v", got, err)
	}
}

func TestPictureRejects(t *testing.T) {
	ok := imageopt.Picture{Src: "a", Width: 1, Height: 1}
	for name, change := range map[string]func(p *imageopt.Picture) func(string, int) string{
		"no src":  func(p *imageopt.Picture) func(string, int) string { p.Src = ""; return plainURL },
		"no size": func(p *imageopt.Picture) func(string, int) string { p.Width, p.Height = 0, -1; return plainURL },
		"widths":  func(p *imageopt.Picture) func(string, int) string { p.Widths = []int{0}; return plainURL },
		"quality": func(p *imageopt.Picture) func(string, int) string { p.Quality = 101; return plainURL },
		"css": func(p *imageopt.Picture) func(string, int) string {
			p.Placeholder = "red;background:url(x)"
			return plainURL
		},
		"svg data": func(p *imageopt.Picture) func(string, int) string {
			p.Placeholder = "data:image/svg+xml;base64,AAAA"
			return plainURL
		},
		"broken data": func(p *imageopt.Picture) func(string, int) string {
			p.Placeholder = "data:image/png;base64,A)"
			return plainURL
		},
		"nil func": func(p *imageopt.Picture) func(string, int) string { return nil },
		"javascript": func(p *imageopt.Picture) func(string, int) string {
			return func(string, int) string { return "javascript:alert(1)" }
		},
		"tabs": func(p *imageopt.Picture) func(string, int) string {
			return func(string, int) string { return " java\tscript:alert(1)" }
		},
		"empty url": func(p *imageopt.Picture) func(string, int) string { return func(string, int) string { return "" } },
	} {
		p := ok
		f := change(&p)
		if got, err := p.HTML(f); !errors.Is(err, imageopt.ErrOptions) || got != "" {
			t.Errorf("%s: %q, %v; want ErrOptions", name, got, err)
		}
	}
}
