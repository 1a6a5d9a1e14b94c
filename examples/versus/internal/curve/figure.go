package curve

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
)

// Unit is what the figures of a panel are.
type Unit uint8

// The units.
const (
	Count       Unit = iota // plain numbers
	Nanoseconds             // written as ns, µs, ms or s
	Bytes                   // written as B, kB, MB or GB
)

// String returns "", "ns" or "bytes".
func (u Unit) String() string {
	switch u {
	case Nanoseconds:
		return "ns"
	case Bytes:
		return "bytes"
	}
	return ""
}

// Point is a figure at one size: the median of its rounds, with the quartiles.
type Point struct {
	X, Y, Low, High float64
	Rounds          int
}

// Of returns the point of the rounds' values at x.
func Of(x float64, rounds []float64) Point {
	v := slices.Sorted(slices.Values(rounds))
	if len(v) == 0 {
		return Point{X: x}
	}
	at := func(q float64) float64 { return v[int(q*float64(len(v)-1)+0.5)] }
	return Point{X: x, Y: at(0.5), Low: at(0.25), High: at(0.75), Rounds: len(v)}
}

// Line is the points of one contender, by size.
type Line struct {
	Name   string
	Points []Point
}

// At returns the point at size x.
func (l Line) At(x float64) (Point, bool) {
	for _, p := range l.Points {
		if p.X == x {
			return p, true
		}
	}
	return Point{}, false
}

// Panel is one system of axes.
type Panel struct {
	Title string
	Unit  Unit
	Lines []Line
}

// Add adds a point to the line of that name.
func (p *Panel) Add(name string, pt Point) {
	for i := range p.Lines {
		if p.Lines[i].Name == name {
			p.Lines[i].Points = append(p.Lines[i].Points, pt)
			return
		}
	}
	p.Lines = append(p.Lines, Line{Name: name, Points: []Point{pt}})
}

// Line returns the line of that name, without points if there is none.
func (p *Panel) Line(name string) Line {
	for _, l := range p.Lines {
		if l.Name == name {
			return l
		}
	}
	return Line{Name: name}
}

// Figure is panels over the same sizes, with one legend.
type Figure struct {
	Title   string
	Machine string   // where and when it was measured
	Size    string   // what the sizes count, under each panel
	Names   []string // of all lines, as in the legend; a name has one look in all panels
	Ours    int      // how many of Names, the first, are drawn stronger
	Panels  []Panel
	Notes   []string // what is to be known, below the panels
}

// Check reports what cannot be drawn: more lines than there are looks, a line that the
// legend does not name, figures that a logarithm does not have or that are not in order.
func (f *Figure) Check() error {
	var errs []error
	if len(f.Names) > len(looks) {
		errs = append(errs, fmt.Errorf("curve: %d lines; there are %d looks", len(f.Names), len(looks)))
	}
	if len(f.Panels) == 0 {
		errs = append(errs, errors.New("curve: no panel"))
	}
	for _, p := range f.Panels {
		if len(p.Lines) == 0 {
			errs = append(errs, fmt.Errorf("curve: panel %q has no line", p.Title))
		}
		for _, l := range p.Lines {
			if !slices.Contains(f.Names, l.Name) {
				errs = append(errs, fmt.Errorf("curve: panel %q: the legend has no line %q", p.Title, l.Name))
			}
			if err := l.check(); err != nil {
				errs = append(errs, fmt.Errorf("curve: panel %q: line %q: %w", p.Title, l.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (l Line) check() error {
	last := 0.0
	for _, p := range l.Points {
		for _, v := range []float64{p.X, p.Y, p.Low, p.High} {
			if !(v > 0) || math.IsInf(v, 0) {
				return fmt.Errorf("%v at size %v has no logarithm", v, p.X)
			}
		}
		if p.X <= last || p.Low > p.Y || p.Y > p.High {
			return fmt.Errorf("%+v is out of order", p)
		}
		last = p.X
	}
	if len(l.Points) == 0 {
		return errors.New("no points")
	}
	return nil
}

// WriteCSV writes all points, one to a line.
func (f *Figure) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"panel", "unit", "line", "size", "median", "lower quartile", "upper quartile", "rounds"}}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
	for _, p := range f.Panels {
		for _, l := range p.Lines {
			for _, pt := range l.Points {
				rows = append(rows, []string{p.Title, p.Unit.String(), l.Name, number(pt.X), number(pt.Y), number(pt.Low), number(pt.High), strconv.Itoa(pt.Rounds)})
			}
		}
	}
	return c.WriteAll(rows)
}
