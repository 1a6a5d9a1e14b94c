package browser_test

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// chatserver builds the example service and runs it, with its demo visitors, until
// the test ends. It returns the address.
func chatserver(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "chatserver")
	build := exec.Command("go", "build", "-o", bin, "./examples/chatserver")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(bin, "-addr", "127.0.0.1:0", "-users", "200")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the service ended with %v", err)
		}
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "chat         "); ok {
			go io.Copy(io.Discard, stdout)
			return strings.TrimSuffix(url, "/")
		}
	}
	t.Fatal("the service did not say where it listens")
	return ""
}

func TestChatserverPages(t *testing.T) {
	url := chatserver(t)
	t.Run("performance", func(t *testing.T) { testPerformance(t, url) })
	t.Run("chat", func(t *testing.T) { testChat(t, url) })
}

func testPerformance(t *testing.T, url string) {
	p := open(t, url+"/debug/performance")
	if rps := evaluate[string](t, p, `document.querySelector('[data-v="rps"]').textContent`); rps == "" {
		t.Error("the first paint has no figures")
	}
	p.until(t, `+document.body.dataset.events > 6`)
	text := evaluate[string](t, p, `document.getElementById("live").textContent`)
	if !strings.Contains(text, "live") {
		t.Errorf("status = %q; want live", text)
	}
	before := evaluate[string](t, p, `document.querySelector('[data-v="queries"]').textContent`)
	p.until(t, fmt.Sprintf(`document.querySelector('[data-v="queries"]').textContent !== %q`, before))
	for _, table := range []string{"routes", "strategies", "breakers", "statements", "indexes"} {
		if rows := evaluate[int](t, p, fmt.Sprintf(`document.querySelectorAll('[data-t="%s"] tr').length`, table)); rows < 2 {
			t.Errorf("table %s has %d rows", table, rows)
		}
	}
	empty := evaluate[[]string](t, p, `[...document.querySelectorAll('[data-v],[data-s]')].filter(e => !e.textContent.trim()).map(e => e.dataset.v || e.dataset.s)`)
	if len(empty) > 0 {
		t.Errorf("figures without a text: %q", empty)
	}
	for _, width := range []int64{375, 1280} {
		if out := p.overflow(t, width); len(out) > 0 {
			t.Errorf("at %d px: overflow of %q", width, out)
		}
		t.Log(p.screenshot(t, fmt.Sprintf("performance-%d", width)))
	}
	testSwitches(t, p)
	grounds := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		p.scheme(t, scheme)
		grounds[scheme] = evaluate[string](t, p, `getComputedStyle(document.body).backgroundColor`)
		if pale := evaluate[[]string](t, p, contrast); len(pale) > 0 {
			t.Errorf("contrast below 4.5 when %s: %q", scheme, pale)
		}
		t.Log(p.screenshot(t, "performance-"+scheme))
	}
	if grounds["light"] == grounds["dark"] {
		t.Errorf("light and dark have the same ground, %s", grounds["dark"])
	}
	total := `document.querySelectorAll('[data-t="routes"] tr')[1].cells[1].textContent`
	was := evaluate[int](t, p, "+"+total)
	evaluate[bool](t, p, `(document.getElementById("reset").click(), true)`)
	p.until(t, fmt.Sprintf("+%s < %d", total, max(was, 1)))
	if found := p.consoleErrors(t); len(found) > 0 {
		t.Errorf("console: %q", found)
	}
}

// testSwitches breaks each thing, sees it on the page, and mends it.
func testSwitches(t *testing.T, p *page) {
	value := func(id string) string { return fmt.Sprintf(`document.querySelector('[data-v="%s"]').textContent`, id) }
	for id, effect := range map[string]string{
		"upstream": value("degraded") + " !== was",
		"cdn":      value("fallback") + " !== was",
		"memory":   value("memused") + " !== was",
		"database": value("dbmean") + " !== was",
		"index":    `document.querySelector('[data-t="indexes"] tr.warn') !== null`,
	} {
		of := map[string]string{"upstream": "degraded", "cdn": "fallback", "memory": "memused", "database": "dbmean", "index": "queries"}[id]
		was := evaluate[string](t, p, value(of))
		click := fmt.Sprintf(`(document.querySelector('[data-switch="%s"]').click(), true)`, id)
		pill := fmt.Sprintf(`document.querySelector('[data-s="switch-%s"] .pill').textContent`, id)
		evaluate[bool](t, p, click)
		p.until(t, pill+` === "broken"`)
		p.until(t, fmt.Sprintf("((was) => %s)(%q)", effect, was))
		evaluate[bool](t, p, click)
		p.until(t, pill+` === "well"`)
	}
}

// contrast lists texts whose contrast with what is behind them is below 4.5 (WCAG AA).
const contrast = `(() => {
  const rgb = (s) => (s.match(/[\d.]+/g) || []).map(Number);
  const lum = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
  const pale = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.tagName === 'SCRIPT') continue;
    const a = lum(rgb(getComputedStyle(e).color).slice(0, 3)), b = lum(behind(e).slice(0, 3));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) pale.push(e.tagName + ' ' + e.textContent.trim().slice(0, 20) + ' ' + ratio.toFixed(2));
  }
  return pale;
})()`

func testChat(t *testing.T, url string) {
	p := open(t, url+"/")
	p.until(t, `[...document.querySelectorAll("picture img")].length === 3`)
	evaluate[bool](t, p, `(document.querySelectorAll("picture img").forEach(i => i.loading = "eager"), true)`)
	p.until(t, `[...document.querySelectorAll("picture img")].every(i => i.complete && i.naturalWidth > 0)`)
	for _, width := range []int64{375, 1280} {
		if out := p.overflow(t, width); len(out) > 0 {
			t.Errorf("at %d px: overflow of %q", width, out)
		}
		t.Log(p.screenshot(t, fmt.Sprintf("chat-%d", width)))
	}
	mark := fmt.Sprintf("written at %d", time.Now().UnixNano())
	evaluate[bool](t, p, fmt.Sprintf(`(document.getElementById("content").value = %q, document.querySelector("form button").click(), true)`, mark))
	p.until(t, fmt.Sprintf(`document.querySelector("#messages li p").textContent === %q`, mark))
	if found := p.consoleErrors(t); len(found) > 0 {
		t.Errorf("console: %q", found)
	}
}
