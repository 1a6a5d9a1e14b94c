package perfpage_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/perfpage"
)

func view(context.Context) perfpage.View {
	return perfpage.View{
		Time:   time.Now().Unix(),
		Values: map[string]string{"hit": "87.1 %", "rps": "<b>12</b>"},
		States: map[string]perfpage.State{"cache": {Text: "on", Class: "ok"}},
		Tables: map[string][]perfpage.Row{"routes": {{Cells: []string{"GET /</script>", "3"}}}},
		Points: map[string][]float64{"hit": {87.1}},
	}
}

func TestPageAndEvents(t *testing.T) {
	p, err := perfpage.New(view)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	mux := http.NewServeMux()
	mux.Handle("/", p)
	mux.HandleFunc("/events", p.Events)
	srv := httptest.NewServer(mux)
	defer srv.Close()

	res, err := http.Get(srv.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for i := range 2 { // two different seconds: the whole, then what changed
		lines.Scan()
		if !strings.HasPrefix(lines.Text(), `data: {"t":`) || strings.Contains(lines.Text(), "87.1 %") != (i == 0) {
			t.Fatalf("event %d = %q", i, lines.Text())
		}
		lines.Scan() // the empty line
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	body := w.Body.String()
	for _, want := range []string{`data-v="hit">87.1 %<`, "&lt;b&gt;12", `<span class="pill ok">on</span>`, "GET /&lt;/script&gt;", `{"hit":[[`} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if w.Header().Get("Content-Security-Policy") == "" {
		t.Error("page without a content security policy")
	}
	cancel()
	<-done
	for lines.Scan() { // the stream ends by itself
	}
	w = httptest.NewRecorder()
	p.Events(w, httptest.NewRequest("GET", "/events", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("Events after Run ended = %d; want 503", w.Code)
	}
}

func TestAssets(t *testing.T) {
	h := perfpage.Assets("/a/")
	total := 0
	for _, name := range []string{"page.css", "page.js"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/a/"+name, nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s = %d", name, w.Code)
		}
		total += w.Body.Len()
	}
	if total > 100<<10 {
		t.Errorf("assets weigh %d bytes; want at most 100 KiB", total)
	}
}
