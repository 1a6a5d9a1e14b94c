package main

import (
	"errors"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/examples/internal/load"
)

// line is a named sequence of values, one for each step of the measured time.
type line struct {
	name   string
	values []float64
}

// plotSVG draws lines over the measured time, with the faults behind them; a logarithmic
// axis if the values span more than two decades.
func plotSVG(title, unit string, lines []line, faults []fault) string {
	colours := []string{"#1d4ed8", "#a8180f", "#0b6b4b", "#8a4b00"}
	const w, h, left, top, bottom = 760, 260, 56, 30, 40
	most, least := 0.0, math.Inf(1)
	for _, l := range lines {
		for _, v := range l.values {
			most = max(most, v)
			if v > 0 {
				least = min(least, v)
			}
		}
	}
	most = max(most, 1e-9)
	logarithmic := most/least > 100
	y := func(v float64) float64 {
		f := v / most
		if logarithmic {
			f = math.Log(max(v, least)/least) / math.Log(most/least)
		}
		return h - bottom - f*(h-top-bottom)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11"><rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="16" font-size="13">%s</text>`, w, h, left, html.EscapeString(title))
	for i, f := range faults {
		x := left + f.from*(w-left-10)
		fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="#eef0f3"/><text x="%.1f" y="%d" fill="#566072">%s</text>`,
			x, top, (f.to-f.from)*(w-left-10), h-top-bottom, x, h-bottom+12+12*(i%2), html.EscapeString(f.name))
	}
	for _, f := range []float64{1, 0.5, 0} {
		v := most * f
		if logarithmic {
			v = least * math.Pow(most/least, f)
		}
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#dfe3e9"/><text x="%d" y="%.1f" text-anchor="end">%.3g %s</text>`, left, w-10, y(v), y(v), left-4, y(v)+4, v, unit)
	}
	for i, l := range lines {
		var points strings.Builder
		for j, v := range l.values {
			fmt.Fprintf(&points, "%.1f,%.1f ", left+(float64(j)+0.5)/float64(len(l.values))*(w-left-10), y(v))
		}
		c := colours[i%len(colours)]
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/><text x="%d" y="%d" fill="%s">%s</text>`, points.String(), c, w-150, top+12+14*i, c, html.EscapeString(l.name))
	}
	return b.String() + "</svg>\n"
}

// overTime is a figure of each second of the measured time.
func overTime(r result, measure time.Duration, figure func(load.Summary) float64) line {
	l := line{name: r.Mode}
	for at := time.Duration(0); at+time.Second <= measure; at += time.Second {
		l.values = append(l.values, figure(load.Summarize(r.samples, at, at+time.Second, notUpload)))
	}
	return l
}

// plots writes latency, good answers and hit rate over time of the main modes, or of
// the only one, and returns the paths.
func plots(dir string, results []result, p plan) ([]string, error) {
	var shown []result
	for _, r := range results {
		if len(results) == 1 || slices.ContainsFunc(mainModes(), func(m mode) bool { return m.name == r.Mode }) {
			shown = append(shown, r)
		}
	}
	var faults []fault
	if p.faults {
		faults = script(p.limit)
	}
	var paths []string
	write := func(file, title, unit string, of func(result) line) error {
		var lines []line
		for _, r := range shown {
			lines = append(lines, of(r))
		}
		path := filepath.Join(dir, file)
		paths = append(paths, path)
		return os.WriteFile(path, []byte(plotSVG(title, unit, lines, faults)), 0o644)
	}
	return paths, errors.Join(
		write("latency.svg", "p99 of the latency, uploads apart, by second in which the answer was wanted", "ms", func(r result) line {
			return overTime(r, p.measure, func(s load.Summary) float64 { return ms(s.P99) })
		}),
		write("good.svg", "share of good answers, by second", "%", func(r result) line {
			return overTime(r, p.measure, func(s load.Summary) float64 { return 100 * s.GoodShare() })
		}),
		write("hits.svg", "hit rate, by second", "%", func(r result) line { return line{name: r.Mode, values: r.hits} }))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
