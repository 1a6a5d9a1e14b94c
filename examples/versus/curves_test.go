package main

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// TestMain is the program that a curve starts for each side.
func TestMain(m *testing.M) {
	if code, ok := runAsSide(); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// TestCurves measures all curves at small sizes. Each SVG is XML and names all lines,
// and each panel has a point of each line at each size.
func TestCurves(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("peaks of memory are read from /proc")
	}
	r, dir := bench.NewReport(false), t.TempDir()
	if err := runCurves(r, &curves{dir: dir, small: true}, ""); err != nil {
		t.Fatal(err)
	}
	for name, lines := range map[string][]string{
		"cache": cacheSides(), "cdn": {oursCDN, outboxCDN, filesCDN}, "dbindex": {oursIndexes, byHand}, "imageopt": {oursImages, "imaging"},
	} {
		texts := svgTexts(t, filepath.Join(dir, name+".svg"))
		points := csvPoints(t, filepath.Join(dir, name+".csv"))
		if len(points) != 4 {
			t.Errorf("%s: %d panels", name, len(points))
		}
		for panel, by := range points {
			if !texts[panel] {
				t.Errorf("%s: no text %q", name, panel)
			}
			for _, l := range lines {
				if by[l] != 2 || !texts[l] {
					t.Errorf("%s: panel %q has %d points of %q; want 2. In the legend: %v", name, panel, by[l], l, texts[l])
				}
			}
		}
	}
}

func svgTexts(t *testing.T, name string) map[string]bool {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	texts := map[string]bool{}
	for d := xml.NewDecoder(f); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s, ok := tok.(xml.CharData); ok {
			texts[string(s)] = true
		}
	}
}

// csvPoints counts the points by panel and line.
func csvPoints(t *testing.T, name string) map[string]map[string]int {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	points := map[string]map[string]int{}
	for _, row := range rows[1:] {
		if points[row[0]] == nil {
			points[row[0]] = map[string]int{}
		}
		points[row[0]][row[2]]++
	}
	return points
}

func TestUnknownCurve(t *testing.T) {
	if err := runCurves(bench.NewReport(false), &curves{dir: t.TempDir(), small: true}, "cache,nothing"); err == nil {
		t.Error("no error for a curve that there is not")
	}
}

// TestTurnsRefuse has sides that fail, and sides whose work differs, ended with an error.
func TestTurnsRefuse(t *testing.T) {
	small := sideSpec{Curve: "cache", Side: "golang-lru", N: 100, Ops: 10}
	other, bad, none := small, small, small
	other.N, bad.Side, none.Curve = 200, "nobody", "nothing"
	for _, specs := range [][]sideSpec{{small, other}, {small, bad}, {none}} {
		if _, err := takeTurns(specs, 1, equal); err == nil {
			t.Errorf("takeTurns(%+v) = nil", specs)
		}
	}
	sides, err := takeTurns([]sideSpec{small, small}, 3, equal)
	if err != nil || len(sides) != 2 || len(sides[1].values["1"]) != 3 {
		t.Errorf("takeTurns = %+v, %v", sides, err)
	}
}

// TestPlanByHand holds the peer of the planning to what it has to give.
func TestPlanByHand(t *testing.T) {
	for _, oneIn := range []int{0, 20} {
		c, err := planWork(oneIn)(declared(64))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := c.Sides[0].Check()
		if err != nil {
			t.Fatal(err)
		}
		theirs, _ := c.Sides[1].Check()
		want := map[int]int{0: 64, 20: 8}[oneIn] // 4 created and 4 dropped
		if n := len(strings.Split(ours.(string), "\n")); ours != theirs || n != want {
			t.Errorf("1 in %d changed: %d statements, want %d\n%s\n%s", oneIn, n, want, ours, theirs)
		}
	}
	c, err := lintWork(declared(64))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := c.Sides[0].Check(); len(strings.Split(got.(string), "\n")) != 4 {
		t.Errorf("the redundant indexes are %q; want 4", got)
	}
	if f := dbindex.Lint(dbindex.Postgres(15), dbindex.Schema{Indexes: declared(64)}, dbindex.LintOptions{}); len(f) != 4 {
		t.Errorf("%d findings; want 4: %v", len(f), f)
	}
}

func TestSamePicture(t *testing.T) {
	if err := samePicture("", ""); err == nil {
		t.Error("no pictures are the same picture")
	}
}
