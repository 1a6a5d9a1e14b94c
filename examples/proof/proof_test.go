package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/examples/internal/load"
)

// TestLedgerSeesStale: an answer that lacks an acknowledged write is found, and one that
// was asked for before the acknowledgement is not held against it.
func TestLedgerSeesStale(t *testing.T) {
	l := newLedger()
	before := time.Now()
	created := before.Add(-time.Second)
	time.Sleep(time.Millisecond)
	l.wrote("c", message{"m2", created})
	time.Sleep(time.Millisecond)
	asked := time.Now()
	old := page{Messages: []message{{"m1", created.Add(-time.Hour)}}}
	fresh := page{Messages: []message{{"m2", created}, {"m1", created.Add(-time.Hour)}}}
	newer := page{Messages: []message{{"m4", created.Add(2)}, {"m3", created.Add(1)}}}
	for name, c := range map[string]struct {
		got  bool
		want bool
	}{
		"page without the write":           {l.sawPage("c", asked, old), false},
		"page with the write":              {l.sawPage("c", asked, fresh), true},
		"page of newer ones only":          {l.sawPage("c", asked, newer), true},
		"page asked for before the answer": {l.sawPage("c", before, old), true},
		"page of another conversation":     {l.sawPage("d", asked, old), true},
		"list of before":                   {l.sawList(asked, []conversation{{"c", created.Add(-1)}}), false},
		"list of now":                      {l.sawList(asked, []conversation{{"c", created}, {"x", created.Add(-time.Hour)}}), true},
	} {
		if c.got != c.want {
			t.Errorf("%s is right: %t; want %t", name, c.got, c.want)
		}
	}
	if len(l.stale) != 2 || l.reads != 5 {
		t.Errorf("%d stale of %d compared; want 2 of 5", len(l.stale), l.reads)
	}
}

// TestLinkIsSlow: bytes come at the link's pace, and the time is that of the last one.
func TestLinkIsSlow(t *testing.T) {
	const size = 100_000
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, size)) }))
	defer srv.Close()
	l, err := newLink(strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	res, err := client.Get("http://" + l.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	res.Body.Close()
	client.CloseIdleConnections()
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	took := time.Duration(l.last.Load() - l.start.Load())
	if least := size * time.Second / linkRate; err != nil || n != size || l.bytes.Load() < size || took < least {
		t.Errorf("%d bytes, %d of them over the link, in %v, %v; want %d in %v at least", n, l.bytes.Load(), took, err, size, least)
	}
}

func TestModes(t *testing.T) {
	if got := modes(false); len(got) != 3 || got[2].args() != nil || got[1].args()[0] != "-baseline" {
		t.Errorf("modes = %+v", got)
	}
	names := map[string]string{}
	for _, m := range modes(true) {
		names[m.name] = strings.Join(m.args(), " ")
	}
	for name, want := range map[string]string{
		"only-cdn": "-off cache,resilience,memory,imageopt,dbindex", "no-cdn": "-off cdn", "off": "-off " + strings.Join(blocks(), ","),
	} {
		if names[name] != want {
			t.Errorf("mode %s = %q; want %q", name, names[name], want)
		}
	}
	if len(names) != 3+2*len(blocks())+2 {
		t.Errorf("%d modes: %v", len(names), names)
	}
}

// TestJudge: a full run judges, a short one says why it does not, and few answers judge
// no share of good ones.
func TestJudge(t *testing.T) {
	results := func(answers int) []result {
		sum := load.Summary{N: answers, Good: answers}
		return []result{
			{Mode: "off", All: sum, Image: 1000, DBSeconds: 100, Memory: memoryUse{Mean: 100}},
			{Mode: "fk", All: sum, Image: 1000, DBSeconds: 10, Memory: memoryUse{Mean: 100}},
			{Mode: "all", All: sum, Image: 100, DBSeconds: 9, Memory: memoryUse{Mean: 50}, HitRate: 0.9},
		}
	}
	verdicts := func(r report) map[string]string {
		r.judge()
		v := map[string]string{}
		for _, g := range r.Goals {
			v[g.Text] = g.verdict()
		}
		return v
	}
	short := verdicts(report{Results: results(500)})
	if got := short["hit rate"]; got != "not judged, n=500" {
		t.Errorf("a short run says %q", got)
	}
	full := verdicts(report{Results: results(30_000), Full: true})
	for text, want := range map[string]string{"hit rate": "met", "database time against fk": "MISSED", "database time against off": "met", "good answers": "met"} {
		if full[text] != want {
			t.Errorf("%s: %q; want %q", text, full[text], want)
		}
	}
	if few := verdicts(report{Results: results(500), Full: true}); few["good answers"] != "not judged, n=500" {
		t.Errorf("of 500 answers: %q", few["good answers"])
	}
}

func TestPlotIsXML(t *testing.T) {
	svg := plotSVG("p99 <of> all", "ms", []line{{"a", []float64{1, 0, 5000}}, {"b", nil}}, script(1<<20))
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
	}
	if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Errorf("not a number in %s", svg)
	}
}

func TestBadFlags(t *testing.T) {
	for _, args := range [][]string{{"-users", "0"}, {"-limit", "1"}, {"x"}, {"-mode", "none", "-nosuch"}} {
		var out bytes.Buffer
		if code := run(t.Context(), args, &out, &out); code != 2 {
			t.Errorf("%q ended with %d: %s", args, code, &out)
		}
	}
}

// TestProgram runs the service for a few seconds with all blocks, faults included.
func TestProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode: it builds and runs the service")
	}
	dir := t.TempDir()
	var out, progress bytes.Buffer
	file := filepath.Join(dir, "figures.json")
	if code := run(t.Context(), []string{"-mode", "all", "-users", "20", "-warmup", "1s", "-measure", "6s", "-out", dir, "-json", file}, &out, &progress); code != 0 {
		t.Fatalf("code %d: %s%s", code, &out, &progress)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 1 {
		t.Fatalf("%d results", len(r.Results))
	}
	x := r.Results[0]
	if x.All.N < 10 || x.Queries == 0 || x.Stale != 0 || x.LostFiles != 0 || x.Image == 0 || x.Died {
		t.Errorf("result %s", fmt.Sprintf("%+v", x))
	}
	if !strings.Contains(out.String(), "| all |") || !strings.Contains(out.String(), "latency.svg") {
		t.Errorf("output %s", &out)
	}
}
