package imageopt_test

import (
	"errors"
	"html/template"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt"
)

func TestHandlerFuncs(t *testing.T) {
	h := newHandler(t, newOptimizer(t, imageopt.Options{}), imageopt.HandlerOptions{Widths: []int{64, 128}})
	run := func(text string, data any) (string, error) {
		tmpl, err := template.New("").Funcs(h.Funcs()).Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		err = tmpl.Execute(&b, data)
		return b.String(), err
	}
	p := imageopt.Picture{Src: "a.jpg", Alt: "A <hill>", Width: 64, Height: 48, Sizes: "50vw", Priority: true, Class: "x", Quality: 50, Placeholder: "#aabbcc", Responsive: true}
	want, err := h.HTML(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`{{picture .}}`,
		`{{optimizedImage .Src .Alt 64 48 "responsive" "sizes=50vw" "priority" "class=x" "quality=50" "placeholder=#aabbcc"}}`,
	} {
		if got, err := run(text, p); err != nil || got != string(want) {
			t.Errorf("%s: %v\ngot  %s\nwant %s", text, err, got, want)
		}
	}
	if got, err := run(`<img src="{{imageURL "a b.jpg" 64}}">`, nil); err != nil || got != `<img src="/img/?url=a&#43;b.jpg&amp;w=64&amp;q=80">` {
		t.Errorf("imageURL: %s, %v", got, err)
	}
	for _, text := range []string{
		`{{optimizedImage "a.jpg" "" 64 48 "lazy"}}`, `{{optimizedImage "a.jpg" "" 64 48 "quality=best"}}`,
		`{{optimizedImage "a.jpg" "" 64 48 "quality=33"}}`, `{{optimizedImage "" "" 64 48}}`, `{{optimizedImage "a.jpg" "" 64 48 "priority=1"}}`,
		`{{optimizedImage "a.jpg" "" 64 48 "placeholder=url(x)"}}`,
	} {
		if _, err := run(text, nil); !errors.Is(err, imageopt.ErrOptions) {
			t.Errorf("%s: %v; want ErrOptions", text, err)
		}
	}
}
