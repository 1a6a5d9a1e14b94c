package imageopt

import (
	"html/template"
	"strconv"
	"strings"
)

// Funcs returns functions for [template.Template.Funcs] that write elements with
// addresses of this handler:
//
//	{{picture .Photo}}                         a value of type Picture
//	{{optimizedImage "a.jpg" "A hill" 640 480 "responsive" "sizes=50vw" "priority"}}
//	{{imageURL "a.jpg" 640}}                   the address alone
//
// optimizedImage takes source, alternative text, width and height in CSS pixels, and
// then any of "responsive", "priority", "sizes=…", "quality=…", "placeholder=…" and
// "class=…". Errors, which match [ErrOptions], end the template.
func (h *Handler) Funcs() template.FuncMap {
	return template.FuncMap{
		"picture":  h.HTML,
		"imageURL": func(src string, width int) string { return h.URL(src, width, 0) },
		"optimizedImage": func(src, alt string, width, height int, more ...string) (template.HTML, error) {
			p := Picture{Src: src, Alt: alt, Width: width, Height: height}
			if err := p.set(more); err != nil {
				return "", err
			}
			return h.HTML(p)
		},
	}
}

// set reads fields as a template gives them.
func (p *Picture) set(fields []string) error {
	var bad fieldErrors
	for _, f := range fields {
		name, value, has := strings.Cut(f, "=")
		switch {
		case name == "responsive" && !has:
			p.Responsive = true
		case name == "priority" && !has:
			p.Priority = true
		case name == "sizes" && has:
			p.Sizes = value
		case name == "class" && has:
			p.Class = value
		case name == "placeholder" && has:
			p.Placeholder = value
		case name == "quality" && has:
			q, err := strconv.Atoi(value)
			bad.check(err == nil, "quality %.20q is not a number", value)
			p.Quality = q
		default:
			bad.addf("field %.40q of a picture is unknown", f)
		}
	}
	return bad.err()
}
