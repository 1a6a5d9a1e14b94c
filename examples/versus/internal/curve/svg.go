package curve

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// look is how a line is drawn. Its colours have a contrast of at least 4.5 to the
// light and to the dark page.
type look struct {
	light, dark, dashes, marker string
}

var looks = []look{
	{"#0b57d0", "#8ab4f8", "", "circle"},
	{"#b3261e", "#ff9d94", "12 3", "square"},
	{"#0b6b4b", "#6edcb0", "6 3", "triangle"},
	{"#8a4b00", "#f0b35e", "2 3", "diamond"},
	{"#6a1b9a", "#d7a3f5", "9 3 2 3", "cross"},
	{"#37474f", "#c3ccd3", "4 2 1 2 1 2", "bar"},
	{"#00616b", "#66d1dc", "1 4", "plus"},
}

const (
	lightPage, darkPage = "#ffffff", "#0d1117"

	width, cellHeight                  = 960, 300
	plotLeft, plotTop                  = 70, 34
	plotWidth, plotHeight              = width/2 - plotLeft - 24, cellHeight - plotTop - 54
	legendTop, legendLine, legendGlyph = 66, 20, 40
)

// page is an SVG that grows.
type page struct{ strings.Builder }

func (p *page) add(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// text writes text at a place; class is its look, anchor "start", "middle" or "end".
func (p *page) text(x, y float64, class, anchor, s string) {
	p.add(`<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, class, x, y, anchor, escape(s))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

// WriteSVG draws the figure.
func (f *Figure) WriteSVG(w io.Writer) error {
	if err := f.Check(); err != nil {
		return err
	}
	var p page
	legend, bottom := f.legend()
	height := bottom + cellHeight*((len(f.Panels)+1)/2)
	notes := wrap(f.Notes, 150)
	p.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title" font-family="system-ui, sans-serif" font-size="12">`,
		width, height+16*len(notes)+12, width, height+16*len(notes)+12)
	p.add(`<title id="title">%s</title>`, escape(f.Title))
	p.add("<style>%s</style>", style())
	p.add(`<rect class="page" width="100%%" height="100%%"/>`)
	p.add(`<text class="t" x="20" y="28" font-size="18" font-weight="600">%s</text>`, escape(f.Title))
	p.text(20, 47, "m", "start", f.Machine)
	p.WriteString(legend)
	x := axisOfSizes(f)
	for i := range f.Panels {
		f.panel(&p, &f.Panels[i], x, float64(i%2*width/2), float64(bottom+i/2*cellHeight))
	}
	for i, s := range notes {
		p.text(20, float64(height+8+16*i), "m", "start", s)
	}
	p.add("</svg>")
	_, err := io.WriteString(w, p.String())
	return err
}

// style is the looks, for light and for dark pages.
func style() string {
	var b strings.Builder
	scheme := func(page, text, muted, grid, frame string, colour func(look) string) {
		fmt.Fprintf(&b, ".page{fill:%s}.t{fill:%s}.m{fill:%s}.g{stroke:%s}.a{fill:none;stroke:%s}", page, text, muted, grid, frame)
		for i, l := range looks {
			fmt.Fprintf(&b, ".s%d{stroke:%s;fill:%s}", i, colour(l), colour(l))
		}
	}
	scheme(lightPage, "#1f2328", "#59636e", "#d8dee4", "#8c959f", func(l look) string { return l.light })
	b.WriteString("@media (prefers-color-scheme:dark){")
	scheme(darkPage, "#e6edf3", "#9aa4af", "#2b323b", "#6e7681", func(l look) string { return l.dark })
	b.WriteString("}.l{fill:none}")
	return b.String()
}

// legend lays out the names, and returns where the panels can begin.
func (f *Figure) legend() (string, int) {
	var p page
	x, y := 20.0, float64(legendTop)
	for i, name := range f.Names {
		wide := legendGlyph + 24 + 7*float64(len([]rune(name)))
		if x+wide > width-10 && x > 20 {
			x, y = 20, y+legendLine
		}
		f.stroke(&p, i, fmt.Sprintf("%.1f,%.1f %.1f,%.1f", x, y, x+legendGlyph, y))
		marker(&p, i, x+legendGlyph/2, y)
		p.text(x+legendGlyph+6, y+4, "t", "start", name)
		x += wide
	}
	return p.String(), int(y) + 16
}

// stroke draws a line in the look of the name i.
func (f *Figure) stroke(p *page, i int, points string) {
	thick, dashes := 1.5, ""
	if i < f.Ours {
		thick = 2.5
	}
	if d := looks[i].dashes; d != "" {
		dashes = fmt.Sprintf(` stroke-dasharray="%s"`, d)
	}
	p.add(`<polyline class="s%d l" stroke-width="%g"%s points="%s"/>`, i, thick, dashes, points)
}

// marker draws the mark of the name i.
func marker(p *page, i int, x, y float64) {
	switch looks[i].marker {
	case "circle":
		p.add(`<circle class="s%d" cx="%.1f" cy="%.1f" r="3.5"/>`, i, x, y)
	case "square":
		p.add(`<path class="s%d" d="M%.1f %.1fh6v6h-6z"/>`, i, x-3, y-3)
	case "triangle":
		p.add(`<path class="s%d" d="M%.1f %.1fl4 7h-8z"/>`, i, x, y-4)
	case "diamond":
		p.add(`<path class="s%d" d="M%.1f %.1fl4 4l-4 4l-4 -4z"/>`, i, x, y-4)
	case "cross":
		p.add(`<path class="s%d l" stroke-width="2" d="M%.1f %.1fl7 7m0 -7l-7 7"/>`, i, x-3.5, y-3.5)
	case "bar":
		p.add(`<path class="s%d" d="M%.1f %.1fh10v3h-10z"/>`, i, x-5, y-1.5)
	default:
		p.add(`<path class="s%d l" stroke-width="2" d="M%.1f %.1fh8m-4 -4v8"/>`, i, x-4, y)
	}
}

// axisOfSizes spans the sizes of all panels, which are its ticks as well.
func axisOfSizes(f *Figure) axis {
	a := axis{}
	for _, p := range f.Panels {
		for _, l := range p.Lines {
			for _, pt := range l.Points {
				a.ticks = append(a.ticks, pt.X)
			}
		}
	}
	return spread(a)
}

// panel draws one system of axes, its corner at x, y.
func (f *Figure) panel(p *page, panel *Panel, sizes axis, x, y float64) {
	var values []float64
	for _, l := range panel.Lines {
		for _, pt := range l.Points {
			values = append(values, pt.Low, pt.High)
		}
	}
	up := axisOf(values)
	left, top := x+plotLeft, y+plotTop
	atX := func(v float64) float64 { return left + sizes.of(v)*plotWidth }
	atY := func(v float64) float64 { return top + plotHeight - up.of(v)*plotHeight }
	p.add(`<text class="t" x="%.1f" y="%.1f" font-size="13" font-weight="600">%s</text>`, left, top-12, escape(panel.Title))
	for _, v := range up.ticks {
		p.add(`<path class="g" d="M%.1f %.1fh%d"/>`, left, atY(v), plotWidth)
		p.text(left-8, atY(v)+4, "m", "end", panel.Unit.text(v))
	}
	for _, v := range sizes.ticks {
		p.add(`<path class="g" d="M%.1f %.1fv%d"/>`, atX(v), top, plotHeight)
		p.text(atX(v), top+plotHeight+17, "m", "middle", Count.text(v))
	}
	p.add(`<rect class="a" x="%.1f" y="%.1f" width="%d" height="%d"/>`, left, top, plotWidth, plotHeight)
	p.text(left+plotWidth/2, top+plotHeight+36, "m", "middle", f.Size)
	for i := len(f.Names) - 1; i >= 0; i-- { // ours are drawn last, above the others
		f.line(p, i, panel.Line(f.Names[i]), atX, atY)
	}
}

// line draws the points of the name i, with whiskers where their spread can be seen.
func (f *Figure) line(p *page, i int, l Line, atX, atY func(float64) float64) {
	if len(l.Points) == 0 {
		return
	}
	p.add(`<g><title>%s</title>`, escape(l.Name))
	points := make([]string, len(l.Points))
	for j, pt := range l.Points {
		points[j] = fmt.Sprintf("%.1f,%.1f", atX(pt.X), atY(pt.Y))
		if low, high := atY(pt.Low), atY(pt.High); low-high > 2 {
			p.add(`<path class="s%d l" d="M%.1f %.1fV%.1fm-3 0h6M%.1f %.1fh6"/>`, i, atX(pt.X), low, high, atX(pt.X)-3, low)
		}
	}
	f.stroke(p, i, strings.Join(points, " "))
	for _, pt := range l.Points {
		marker(p, i, atX(pt.X), atY(pt.Y))
	}
	p.add("</g>")
}

// wrap breaks texts into lines of at most n letters, between words.
func wrap(texts []string, n int) (lines []string) {
	for _, t := range texts {
		line := ""
		for word := range strings.FieldsSeq(t) {
			if line != "" && len([]rune(line))+1+len([]rune(word)) > n {
				lines = append(lines, line)
				line = ""
			}
			line = strings.TrimSpace(line + " " + word)
		}
		lines = append(lines, line)
	}
	return lines
}
