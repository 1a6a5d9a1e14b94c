package browser_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/perfblocks/perfblocks/internal/realtest"
)

// page is a web page in a browser of its own.
type page struct {
	ctx     context.Context
	next    func() (chromedp.ConsoleMessage, error, bool)
	markers int
	errors  []string
}

// open starts a browser, which ends with the test, and loads the page.
func open(t *testing.T, url string) *page {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(realtest.Chromium(t)))
	if os.Geteuid() == 0 {
		opts = append(opts, chromedp.NoSandbox) // Chromium refuses root otherwise.
	}
	ctx, stop := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("close the browser: %v", err)
		}
	})
	p := &page{ctx: ctx}
	next, end := iter.Pull2(chromedp.Console(ctx)) // before the page can write
	t.Cleanup(end)
	p.next = next
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	return p
}

// evaluate runs an expression in the page and returns its value.
func evaluate[T any](t *testing.T, p *page, js string) T {
	t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js))
	if err != nil {
		t.Fatalf("evaluate %.80s: %v", js, err)
	}
	return v
}

// until waits for an expression to become true.
func (p *page) until(t *testing.T, js string) {
	t.Helper()
	if _, err := chromedp.Run(p.ctx, chromedp.Poll[bool](js)); err != nil {
		t.Fatalf("wait for %.80s: %v", js, err)
	}
}

// consoleErrors returns what the page has complained of so far: errors and
// warnings that scripts or the browser wrote, and exceptions nobody caught.
func (p *page) consoleErrors(t *testing.T) []string {
	t.Helper()
	p.markers++
	marker := fmt.Sprintf("browser_test: read up to %d", p.markers)
	evaluate[bool](t, p, fmt.Sprintf("(console.debug(%q), true)", marker))
	for {
		m, err, ok := p.next()
		if err != nil || !ok {
			t.Fatalf("read the console: %v", err)
		}
		switch m.Type {
		case chromedp.ConsoleDebug:
			if m.Text == marker {
				return p.errors
			}
		case chromedp.ConsoleError, chromedp.ConsoleWarning, chromedp.ConsoleException:
			p.errors = append(p.errors, m.String()+" "+m.URL)
		}
	}
}

// resize gives the page a viewport of this width, in CSS pixels.
func (p *page) resize(t *testing.T, width int64) {
	t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(width, 800)); err != nil {
		t.Fatalf("resize to %d: %v", width, err)
	}
}

// scheme makes the page dark or light, as a visitor prefers.
func (p *page) scheme(t *testing.T, name string) {
	t.Helper()
	err := chromedp.Do(p.ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return err
	}))
	if err != nil {
		t.Fatalf("scheme %s: %v", name, err)
	}
}

// overflow returns the elements that stick out at the right when the viewport
// has this width; none if the page cannot be scrolled sideways.
func (p *page) overflow(t *testing.T, width int64) []string {
	t.Helper()
	p.resize(t, width)
	return evaluate[[]string](t, p, `(() => {
		const root = document.documentElement, limit = root.clientWidth;
		if (root.scrollWidth <= limit) return [];
		const out = [...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > limit + 0.5)
			.slice(0, 10).map(e => e.tagName.toLowerCase() + (e.id && '#' + e.id) + ' ' + e.getBoundingClientRect().right);
		return out.length ? out : ['page is ' + root.scrollWidth + ' wide'];
	})()`)
}

// screenshot writes the whole page as name.png to the test's artifacts.
func (p *page) screenshot(t *testing.T, name string) (path string) {
	t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("screenshot: %v", err)
	}
	path = filepath.Join(t.ArtifactDir(), name+".png")
	if err := os.WriteFile(path, png, 0o644); err != nil {
		t.Fatalf("screenshot: %v", err)
	}
	return path
}
