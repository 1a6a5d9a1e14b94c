package curve

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
)

// figure has n lines in each of three panels, over five decades.
func figure(n int) *Figure {
	f := &Figure{Title: `a <b> & "c"`, Machine: "2 × <processor>", Size: "entries & more", Ours: 1, Notes: []string{strings.Repeat("note <i> ", 40)}}
	for _, unit := range []Unit{Count, Nanoseconds, Bytes} {
		p := Panel{Title: "panel <" + unit.String() + "> & co", Unit: unit}
		for i := range n {
			name := fmt.Sprintf("line %d <&\x01>", i)
			if len(f.Panels) == 0 {
				f.Names = append(f.Names, name)
			}
			for x := 10.0; x <= 1e6; x *= 10 {
				y := 3 * float64(i+1) * math.Sqrt(x)
				p.Add(name, Point{X: x, Y: y, Low: y / 1.2, High: y * 1.3, Rounds: 5})
			}
		}
		f.Panels = append(f.Panels, p)
	}
	return f
}

// element is an element of an SVG as the tests look at it.
type element struct {
	name, text string
	attrs      map[string]string
}

func (e element) number(t *testing.T, name string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(e.attrs[name], 64)
	if err != nil {
		t.Fatalf("<%s> %s: %v", e.name, name, err)
	}
	return v
}

// parse reads XML strictly and returns its elements in order.
func parse(t *testing.T, b []byte) (all []element) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(b))
	open := []int{}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			e := element{name: tok.Name.Local, attrs: map[string]string{}}
			for _, a := range tok.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			open, all = append(open, len(all)), append(all, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				all[open[len(open)-1]].text += string(tok)
			}
		}
	}
}

func draw(t *testing.T, f *Figure) []element {
	t.Helper()
	var b bytes.Buffer
	if err := f.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() >= 40_000 {
		t.Errorf("the SVG has %d bytes", b.Len())
	}
	return parse(t, b.Bytes())
}

func TestSVGHasAll(t *testing.T) {
	f := figure(len(looks))
	texts, lines := map[string]int{}, 0
	for _, e := range draw(t, f) {
		texts[e.text]++
		if e.name == "polyline" {
			lines++
		}
	}
	want := []string{f.Title, f.Machine, "10", "100", "1 k", "10 k", "100 k", "1 M", "1 µs", "1 kB"}
	for _, p := range f.Panels {
		want = append(want, p.Title)
	}
	for _, n := range f.Names {
		want = append(want, strings.ReplaceAll(n, "\x01", "\uFFFD"))
	}
	for _, s := range want {
		if texts[s] == 0 {
			t.Errorf("no text %q", s)
		}
	}
	if texts[f.Size] != len(f.Panels) {
		t.Errorf("%d panels name the sizes; want %d", texts[f.Size], len(f.Panels))
	}
	if want := len(f.Names) * (1 + len(f.Panels)); lines != want {
		t.Errorf("%d lines, those of the legend included; want %d", lines, want)
	}
}

// TestPointsInsideTheirAxes draws figures of all magnitudes and has each line inside
// the frame that its panel drew before.
func TestPointsInsideTheirAxes(t *testing.T) {
	for _, ys := range [][]float64{{1}, {7, 7, 7}, {1e-3, 1e9}, {0.99, 1.01}, {199.99, 200.01}, {3, 40_000}, {1, 10}} {
		f := &Figure{Names: []string{"a"}, Panels: []Panel{{Title: "p"}}}
		for i, y := range ys {
			f.Panels[0].Add("a", Point{X: math.Pow(4, float64(i)), Y: y, Low: y * 0.9, High: y * 1.1})
		}
		var frame element
		points, ticks := 0, 0
		for _, e := range draw(t, f) {
			switch {
			case e.name == "rect" && e.attrs["class"] == "a":
				frame = e
			case e.name == "text" && e.attrs["text-anchor"] == "end":
				ticks++
			case e.name == "polyline" && frame.name != "":
				left, top := frame.number(t, "x"), frame.number(t, "y")
				for s := range strings.FieldsSeq(e.attrs["points"]) {
					var x, y float64
					if _, err := fmt.Sscanf(s, "%f,%f", &x, &y); err != nil {
						t.Fatal(err)
					}
					if x < left || x > left+frame.number(t, "width") || y < top || y > top+frame.number(t, "height") {
						t.Errorf("%v: point %s outside the frame %v", ys, s, frame.attrs)
					}
					points++
				}
			}
		}
		if points != len(ys) || ticks < 2 || ticks > 15 {
			t.Errorf("%v: %d points and %d ticks", ys, points, ticks)
		}
		a := axisOf([]float64{ys[0] * 0.9, ys[len(ys)-1] * 1.1})
		if a.least > ys[0]*0.9 || a.most < ys[len(ys)-1]*1.1 {
			t.Errorf("%v: the axis goes from %v to %v", ys, a.least, a.most)
		}
	}
}

func TestStep(t *testing.T) {
	for _, c := range []struct {
		v    float64
		on   int
		want float64
	}{{1, 0, 1}, {1.9, 0, 1}, {2, 1, 5}, {5, 1, 10}, {99, 0, 50}, {1000, -1, 500}, {0.02, 0, 0.02}, {0.02, -1, 0.01}, {0.01, -1, 0.005}} {
		if got := step(c.v, c.on); math.Abs(got/c.want-1) > 1e-9 {
			t.Errorf("step(%v, %d) = %v; want %v", c.v, c.on, got, c.want)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Figure){
		"zero":        func(f *Figure) { f.Panels[0].Lines[0].Points[0].Low = 0 },
		"NaN":         func(f *Figure) { f.Panels[1].Lines[0].Points[2].Y = math.NaN() },
		"infinite":    func(f *Figure) { f.Panels[1].Lines[0].Points[2].High = math.Inf(1) },
		"order":       func(f *Figure) { f.Panels[0].Lines[0].Points[1].X = 1 },
		"quartiles":   func(f *Figure) { f.Panels[0].Lines[0].Points[1].Low = 1e12 },
		"no name":     func(f *Figure) { f.Names = f.Names[:1] },
		"no points":   func(f *Figure) { f.Panels[0].Lines[0].Points = nil },
		"no line":     func(f *Figure) { f.Panels[0].Lines = nil },
		"no panel":    func(f *Figure) { f.Panels = nil },
		"many looks":  func(f *Figure) { f.Names = make([]string, len(looks)+1) },
		"nothing bad": func(*Figure) {},
	} {
		f := figure(2)
		spoil(f)
		if err := f.WriteSVG(io.Discard); (err == nil) != (name == "nothing bad") {
			t.Errorf("%s: WriteSVG = %v", name, err)
		}
	}
}

func TestOf(t *testing.T) {
	if got, want := Of(3, []float64{9, 1, 5, 2, 7}), (Point{X: 3, Y: 5, Low: 2, High: 7, Rounds: 5}); got != want {
		t.Errorf("Of = %+v; want %+v", got, want)
	}
}

func TestCSV(t *testing.T) {
	f := figure(2)
	var b bytes.Buffer
	if err := f.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 1+3*2*6 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if got := strings.Join(rows[1][1:4], "|") + "|" + rows[1][7]; got != "|"+f.Names[0]+"|10|5" {
		t.Errorf("the first row is %q", rows[1])
	}
}

// TestLooks holds the looks apart, and legible on both pages: 4.5 is what WCAG 2.2
// wants of text.
func TestLooks(t *testing.T) {
	dashes, markers := map[string]bool{}, map[string]bool{}
	for _, l := range looks {
		dashes[l.dashes], markers[l.marker] = true, true
		for colour, page := range map[string]string{l.light: lightPage, l.dark: darkPage} {
			if c := contrast(t, colour, page); c < 4.5 {
				t.Errorf("%s on %s has a contrast of %.2f", colour, page, c)
			}
		}
	}
	if len(dashes) != len(looks) || len(markers) != len(looks) {
		t.Errorf("%d looks have %d dashes and %d markers", len(looks), len(dashes), len(markers))
	}
	if c := contrast(t, "#777777", lightPage); math.Abs(c-4.48) > 0.01 {
		t.Errorf("contrast of #777 to white = %v; want 4.48", c)
	}
}

func contrast(t *testing.T, a, b string) float64 {
	light := func(s string) float64 {
		n, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, weight := range []float64{0.0722, 0.7152, 0.2126} {
			c := float64(n>>(8*i)&255) / 255
			if c <= 0.04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			sum += weight * c
		}
		return sum
	}
	x, y := light(a), light(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}
