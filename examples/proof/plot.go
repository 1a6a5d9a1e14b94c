package main

import (
	"fmt"
	"html"
	"math"
	"os"
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
		l.values = append(l.values, figure(load.Summarize(r.samples, at, at+time.Second, nil)))
	}
	return l
}

// plots writes latency and good answers over time of the first three modes and returns
// the paths.
func plots(dir string, results []result, p plan) ([]string, error) {
	shown := results[:min(len(results), 2)]
	for _, r := range results {
		if r.Mode == "all" {
			shown = append(shown[:len(shown):len(shown)], r)
		}
	}
	var faults []fault
	if p.faults {
		faults = script(p.limit)
	}
	var paths []string
	for _, plot := range []struct {
		file, title, unit string
		figure            func(load.Summary) float64
	}{
		{"latency.svg", "p99 of the latency, by second in which the answer was wanted", "ms", func(s load.Summary) float64 { return ms(s.P99) }},
		{"good.svg", "share of good answers, by second", "%", func(s load.Summary) float64 { return 100 * s.GoodShare() }},
	} {
		var lines []line
		for _, r := range shown {
			lines = append(lines, overTime(r, p.measure, plot.figure))
		}
		path := dir + "/" + plot.file
		if err := os.WriteFile(path, []byte(plotSVG(plot.title, plot.unit, lines, faults)), 0o644); err != nil {
			return paths, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
