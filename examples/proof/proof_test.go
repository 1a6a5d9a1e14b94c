package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
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
	if got := mainModes(); len(got) != 3 || got[2].args() != nil || got[1].args()[0] != "-baseline" {
		t.Errorf("main modes = %+v", got)
	}
	names := map[string]string{}
	for _, m := range slices.Concat(mainModes(), sideModes(), adverseModes()) {
		names[m.name] = strings.Join(m.args(), " ")
	}
	for name, want := range map[string]string{
		"only-cdn": "-off cache,resilience,memory,imageopt,dbindex", "no-cdn": "-off cdn", "off": "-off " + strings.Join(blocks(), ","),
	} {
		if names[name] != want {
			t.Errorf("mode %s = %q; want %q", name, names[name], want)
		}
	}
	if len(names) != 3+2+2*len(blocks())+3 {
		t.Errorf("%d modes: %v", len(names), names)
	}
}

func verdicts(r report) map[string]string {
	r.judge()
	v := map[string]string{}
	for _, g := range r.Goals {
		v[g.Text] = g.verdict()
	}
	return v
}

func someResults(answers int) []result {
	sum := load.Summary{N: answers, Good: answers}
	return []result{
		{Mode: "off", All: sum, Answered: answers, Image: 1000, DBSeconds: 100, Memory: memoryUse{Mean: 100}},
		{Mode: "fk", All: sum, Answered: answers, Image: 1000, DBSeconds: 10, Memory: memoryUse{Mean: 100}},
		{Mode: "all", All: sum, Answered: answers, Image: 100, DBSeconds: 9, Memory: memoryUse{Mean: 50}, HitRate: 0.9},
	}
}

// TestJudge: a full run judges, a short one says why it does not, and few answers judge
// no share of good ones.
func TestJudge(t *testing.T) {
	short := verdicts(report{Results: someResults(500), Faults: true})
	if got := short["hit rate"]; got != "not judged, n=500" {
		t.Errorf("a short run says %q", got)
	}
	full := verdicts(report{Results: someResults(30_000), Full: true, Faults: true})
	for text, want := range map[string]string{
		"hit rate": "met", "database time an answer, against fk": "MISSED", "database time an answer, against off": "met", "good answers": "met",
		"page load time against fk": "not measured: the page was not loaded in Chromium", "users sustained": "not measured: not part of this run",
		"services of all blocks that ended before they were told to": "met",
	} {
		if full[text] != want {
			t.Errorf("%s: %q; want %q", text, full[text], want)
		}
	}
	if few := verdicts(report{Results: someResults(500), Full: true, Faults: true}); few["good answers"] != "not judged, n=500" {
		t.Errorf("of 500 answers: %q", few["good answers"])
	}
	sustains := verdicts(report{Full: true, Sustained: map[string]sustained{"fk": {}, "all": {2400, 800}}})
	if sustains["users sustained"] != "met" || sustains["users sustained against fk"] != "met" || sustains["answers per second at most"] != "MISSED" {
		t.Errorf("2400 users against none: %v", sustains)
	}
}

// TestJudgeWithout: whatever is missing, every goal is there and says so; a service that
// ended is a goal that was missed, and what it did before counts where it can.
func TestJudgeWithout(t *testing.T) {
	n := len(verdicts(report{}))
	for text, v := range verdicts(report{Full: true, Interrupted: true}) {
		if v != "not measured: the run was interrupted" {
			t.Errorf("%s of nothing: %q", text, v)
		}
	}
	dead := someResults(30_000)
	dead[0].Died, dead[2].Died = true, true
	v := verdicts(report{Results: dead, Full: true, Faults: true})
	for text, want := range map[string]string{
		"services of all blocks that ended before they were told to": "MISSED",
		"mean memory against fk":                                     "not measured: all was gone before the end",
		"database time an answer, against off":                       "met",
	} {
		if v[text] != want {
			t.Errorf("%s: %q; want %q", text, v[text], want)
		}
	}
	if len(v) != n {
		t.Errorf("%d goals, %d of an empty run", len(v), n)
	}
	if v := verdicts(report{Results: someResults(30_000), Full: true}); v["good answers"] != "not measured: no faults were played" {
		t.Errorf("good answers without faults: %q", v["good answers"])
	}
}

// TestMost: the search finds the edge to an eighth, also below where it begins, and one
// failure by chance does not end it.
func TestMost(t *testing.T) {
	var tried []int
	hiccup := func(users int) (bool, error) {
		tried = append(tried, users)
		return users <= 1200 && len(tried) > 1, nil
	}
	if err := most(1200, hiccup); err != nil || len(tried) < 3 || tried[1] != 1200 || tried[2] != 2400 {
		t.Errorf("after a hiccup %d were tried, %v", tried, err)
	}
	for _, edge := range []int{0, 100, 700, 1200, 2500, 9000, 1 << 20} {
		best, tries := 0, 0
		err := most(1200, func(users int) (bool, error) {
			tries++
			if users <= edge {
				best = max(best, users)
			}
			return users <= edge, nil
		})
		if want := min(edge, 64*1200); err != nil || best > want || want-best > max(best/8, leastUsers) || tries > 10 {
			t.Errorf("edge %d: found %d in %d tries, %v", edge, best, tries, err)
		}
	}
}

// TestDatabaseSeconds: a queue in front of the database is no work of it.
func TestDatabaseSeconds(t *testing.T) {
	for text, want := range map[string]float64{
		`{"database":{"seconds":26,"waitSeconds":24}}`: 2,
		`{"database":{"seconds":1,"waitSeconds":1.5}}`: 0, // queries that were not ended yet
	} {
		var f figures
		if err := json.Unmarshal([]byte(text), &f); err != nil || f.databaseSeconds() != want {
			t.Errorf("database time of %s = %v, %v; want %v", text, f.databaseSeconds(), err, want)
		}
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
	for _, args := range [][]string{{"-users", "0"}, {"-limit", "1"}, {"x"}, {"-mode", "none"}, {"-mode", "no-cdn"}, {"-nosuch"}, {"-zipf", "NaN"}, {"-measure", "-5s"}, {"-limit", "9999999999999"}, {"-json", "/nosuch/file"}} {
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

// TestInterrupted: whoever interrupts gets what was measured, and neither the program
// nor data of the service stay behind.
func TestInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode: it builds and runs the service")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	progress := &watcher{text: "fk\n"}
	progress.found = func() {
		progress.at = time.Now().Add(4 * time.Second)
		time.AfterFunc(4*time.Second, cancel)
	}
	code := run(ctx, []string{"-users", "10", "-warmup", "1s", "-measure", "3s", "-out", dir, "-full", "-json", "-"}, &out, progress)
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	// What follows SIGTERM is often SIGKILL, after five seconds; a busy machine may take longer.
	if took := time.Since(progress.at); took > time.Minute {
		t.Errorf("it took %v to end", took)
	} else {
		t.Logf("it took %v to end", took)
	}
	if code != 2 || !r.Interrupted || len(r.Results) != 1 || r.Results[0].Mode != "off" || !strings.Contains(progress.all.String(), "INTERRUPTED") {
		t.Errorf("code %d, %d results: %s", code, len(r.Results), &progress.all)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if !d.IsDir() && d.Name() != "log" && filepath.Ext(path) != ".svg" {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// watcher calls found once it has been told text.
type watcher struct {
	all   bytes.Buffer
	text  string
	found func()
	at    time.Time
}

func (w *watcher) Write(p []byte) (int, error) {
	w.all.Write(p)
	if w.found != nil && strings.Contains(w.all.String(), w.text) {
		w.found()
		w.found = nil
	}
	return len(p), nil
}

// TestBrokenService: a service that stands still for two seconds has them in its p99,
// and one that is killed keeps the figures of its life.
func TestBrokenService(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode: it builds and runs the service")
	}
	dir := t.TempDir()
	bin, err := build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	p := plan{bin: bin, out: dir, users: 60, zipf: 0.99, warmup: 2 * time.Second, measure: 9 * time.Second, limit: 384 << 20, seed: 1}
	m := mode{name: "all"}
	load := func(t *testing.T, after time.Duration, act func(*os.Process)) (r result, died bool) {
		s, err := startServer(t.Context(), bin, t.TempDir(), p.limit, m.args()...)
		if err != nil {
			t.Fatal(err)
		}
		defer s.stop(t.Context()) // which fails when it was killed
		timer := time.AfterFunc(p.warmup+after, func() { act(s.cmd.Process) })
		defer timer.Stop()
		us := newUsers(s, m, seededUsers, p.zipf, p.measure, p.seed)
		defer us.client.CloseIdleConnections()
		p.load(t.Context(), s, us, &r)
		return r, s.died()
	}
	t.Run("stopped", func(t *testing.T) {
		r, died := load(t, 3*time.Second, func(p *os.Process) {
			p.Signal(syscall.SIGSTOP)
			time.AfterFunc(2*time.Second, func() { p.Signal(syscall.SIGCONT) })
		})
		if r.All.P99 < 1200*time.Millisecond || r.All.P50 > 200*time.Millisecond || r.All.N < 60 {
			t.Errorf("p50 %v, p99 %v of %d answers; want the pause in p99 only", r.All.P50, r.All.P99, r.All.N)
		}
		if died || r.Answered < r.All.N || len(r.hits) < 5 {
			t.Errorf("%d of %d answered, hit rate of %d seconds, died %t", r.Answered, r.All.N, len(r.hits), died)
		}
	})
	t.Run("killed", func(t *testing.T) {
		r, died := load(t, 5*time.Second, func(p *os.Process) { p.Kill() })
		if !died || r.HitRate == 0 || r.Queries == 0 || r.Answered == 0 || r.Answered > r.All.N*3/4 || !strings.Contains(strings.Join(r.Notes, " "), "those of the first") {
			t.Errorf("died %t, %d of %d answered, hit rate %v, %d queries, notes %q", died, r.Answered, r.All.N, r.HitRate, r.Queries, r.Notes)
		}
	})
}

// TestMeterWithoutGroup: where no control group can be made, the process tells what it
// holds, and no limit is claimed.
func TestMeterWithoutGroup(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory of processes is read on Linux only")
	}
	m := &meter{}
	if err := m.add(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if u := m.watch(ctx); u.Mean < 1<<20 || u.Peak < 1<<20 || u.Limit != 0 || m.close() != nil {
		t.Errorf("use of this process = %+v", u)
	}
}

func TestUnmeasuredFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{msText(0), "–"}, {msText(85500 * time.Microsecond), "85.5 ms"}, {msText(62 * time.Second), "62 s"},
		{mib(0), "–"}, {mib(123 << 20), "123 MiB"}, {kib(0), "–"}, {kib(224 << 10), "224 KiB"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
