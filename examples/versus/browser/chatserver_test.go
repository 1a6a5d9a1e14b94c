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
	for _, table := range []string{"routes", "strategies", "breakers", "indexes"} {
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
	total := `document.querySelectorAll('[data-t="routes"] tr')[1].cells[1].textContent`
	was := evaluate[int](t, p, "+"+total)
	evaluate[bool](t, p, `(document.getElementById("reset").click(), true)`)
	p.until(t, fmt.Sprintf("+%s < %d", total, max(was, 1)))
	if found := p.consoleErrors(t); len(found) > 0 {
		t.Errorf("console: %q", found)
	}
}

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
