package browser_test

import (
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

const good = `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>good</title>
<style>body{margin:0} table{display:block;overflow-x:auto;width:100%}</style>
<h1 id="n">0</h1>
<table><tr><td><div style="width:900px;height:20px;background:#469">scrolls in its own box</div></table>
<script>
console.log("a remark");
setInterval(() => document.getElementById("n").textContent++, 5);
</script>`

const bad = `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>bad</title>
<div id="wide" style="width:800px">wide</div>
<script src="/missing.js"></script>
<script>console.error("said", 42)</script>
<script>console.warn("careful")</script>
<script>throw new TypeError("thrown")</script>`

// serve answers / with the page and all else with 404.
func serve(t *testing.T, page string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, page)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestGoodPage(t *testing.T) {
	p := open(t, serve(t, good))
	p.until(t, `+document.getElementById("n").textContent > 3`)
	for _, width := range []int64{375, 1280} {
		if out := p.overflow(t, width); len(out) > 0 {
			t.Errorf("at %d px: overflow of %q", width, out)
		}
		path := p.screenshot(t, fmt.Sprintf("good-%d", width))
		if got := pngWidth(t, path); got != int(width) {
			t.Errorf("screenshot at %d px is %d wide", width, got)
		}
	}
	if found := p.consoleErrors(t); len(found) > 0 {
		t.Errorf("console: %q", found)
	}
}

func TestBadPage(t *testing.T) {
	p := open(t, serve(t, bad))
	found := strings.Join(p.consoleErrors(t), "\n")
	for _, want := range []string{"missing.js", "said 42", "careful", "TypeError: thrown"} {
		if !strings.Contains(found, want) {
			t.Errorf("console: %q; want %q in it", found, want)
		}
	}
	if again := p.consoleErrors(t); strings.Join(again, "\n") != found {
		t.Errorf("console read twice: %q; want the same, %q", again, found)
	}
	if out := p.overflow(t, 375); len(out) != 1 || !strings.HasPrefix(out[0], "div#wide") {
		t.Errorf("at 375 px: overflow of %q; want div#wide", out)
	}
	if out := p.overflow(t, 1280); len(out) > 0 {
		t.Errorf("at 1280 px: overflow of %q; want none", out)
	}
}

func pngWidth(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := png.DecodeConfig(f)
	if err != nil {
		t.Fatal(err)
	}
	return c.Width
}
