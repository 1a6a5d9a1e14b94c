package perfpage

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"reflect"
	"sync"
	"time"
)

//go:embed assets
var assets embed.FS

//go:embed page.html
var pageHTML string

// View is one moment of the page. Texts are shown as they are.
type View struct {
	// Time is the Unix time of the view in seconds.
	Time int64 `json:"t"`
	// Values are the figures by id, such as "hit" → "87.1 %".
	Values map[string]string `json:"v"`
	// States are figures that are a state: the class ok, warn or bad colours
	// them, and the text says the same in words.
	States map[string]State `json:"s"`
	// Tables are the rows by id of the table.
	Tables map[string][]Row `json:"r"`
	// Points are the newest value of each chart's lines, by id of the chart.
	Points map[string][]float64 `json:"p"`
}

// Switch is a button that breaks something. Its state is States["switch-"+ID], whose
// text is "well" while it is off; a click posts to /debug/performance/switches/ID.
type Switch struct {
	ID    string
	Label string
}

// State is a text with a meaning.
type State struct {
	Text  string `json:"x"`
	Class string `json:"c"` // ok, warn or bad
}

// Row is a row of a table. A class of ok, warn or bad marks its first cell.
type Row struct {
	Cells []string `json:"d"`
	Class string   `json:"c,omitempty"`
}

// history is how many seconds of chart points the server keeps.
const history = 600

// Page serves the live page. Create it with [New]; it is safe for concurrent use.
type Page struct {
	view     func(ctx context.Context) View
	switches []Switch
	tmpl     *template.Template

	mu      sync.Mutex
	last    View                   // guarded by mu
	full    []byte                 // guarded by mu; last as an SSE event, nil before a viewer needs it
	points  map[string][][]float64 // guarded by mu; per chart the last history rows [t, line…]
	viewers map[chan []byte]struct{}
	closed  bool
}

// New returns a page that asks view for a [View] each second while [Page.Run] runs.
func New(view func(ctx context.Context) View, switches ...Switch) (*Page, error) {
	tmpl, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("perfpage: %w", err)
	}
	return &Page{view: view, switches: switches, tmpl: tmpl, points: map[string][][]float64{}, viewers: map[chan []byte]struct{}{}}, nil
}

// Run takes a view each second until ctx ends, then lets all viewers go.
func (p *Page) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		p.step(p.view(ctx))
		select {
		case <-ctx.Done():
			p.shut()
			return
		case <-tick.C:
		}
	}
}

// step publishes one view: whole to those who come, what changed to those who are
// there. A viewer that does not keep up is let go, and comes back for the whole.
func (p *Page) step(v View) {
	p.mu.Lock()
	defer p.mu.Unlock()
	event, err := sse(changed(p.last, v))
	if err != nil {
		return // a NaN in Points; the next second comes soon
	}
	p.last, p.full = v, nil
	for id, lines := range v.Points {
		rows := append(p.points[id], append([]float64{float64(v.Time)}, lines...))
		p.points[id] = rows[max(len(rows)-history, 0):]
	}
	for c := range p.viewers {
		select {
		case c <- event:
		default:
			close(c)
			delete(p.viewers, c)
		}
	}
}

func sse(v View) ([]byte, error) {
	j, err := json.Marshal(v)
	return fmt.Appendf(nil, "data: %s\n\n", j), err
}

// changed is v without the texts that stand in last already.
func changed(last, v View) View {
	v.Values = differing(last.Values, v.Values, func(a, b string) bool { return a == b })
	v.States = differing(last.States, v.States, func(a, b State) bool { return a == b })
	v.Tables = differing(last.Tables, v.Tables, func(a, b []Row) bool { return reflect.DeepEqual(a, b) })
	return v
}

func differing[V any](last, now map[string]V, equal func(a, b V) bool) map[string]V {
	d := map[string]V{}
	for id, v := range now {
		if old, ok := last[id]; !ok || !equal(old, v) {
			d[id] = v
		}
	}
	return d
}

func (p *Page) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for c := range p.viewers {
		close(c)
	}
	clear(p.viewers)
}

// Reset forgets the history of the charts.
func (p *Page) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.points)
}

const csp = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP renders the page with the newest view.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	data := struct {
		View
		Switches []Switch
		History  template.JS
	}{View: p.last, Switches: p.switches}
	j, err := json.Marshal(p.points)
	p.mu.Unlock()
	var b bytes.Buffer
	if err == nil {
		data.History = template.JS(j) // numbers and ids of our own, read by JSON.parse
		err = p.tmpl.Execute(&b, data)
	}
	if err != nil {
		http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.Write(b.Bytes())
}

// Events streams the views. It ends when the client goes away or Run ends.
func (p *Page) Events(w http.ResponseWriter, r *http.Request) {
	c := make(chan []byte, 2)
	p.mu.Lock()
	if p.closed || len(p.viewers) >= 200 {
		p.mu.Unlock()
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many viewers or shutting down", http.StatusServiceUnavailable)
		return
	}
	p.viewers[c] = struct{}{}
	if p.full == nil { // once for all who come in this second
		p.full, _ = sse(p.last) // which could be written when it was taken
	}
	first := p.full
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.viewers, c)
		p.mu.Unlock()
	}()

	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	for event := first; ; {
		// Each event gets its own time to be written: the server's timeout for
		// a whole response does not fit a stream, a dead client must not stay.
		rc.SetWriteDeadline(time.Now().Add(5 * time.Second))
		if _, err := w.Write(event); err != nil || rc.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case next, ok := <-c:
			if !ok {
				return
			}
			event = next
		}
	}
}

// Assets serves the page's files below prefix.
func Assets(prefix string) http.Handler {
	sub, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the embedded folder is there at build time
	}
	files := http.StripPrefix(prefix, http.FileServerFS(sub))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		files.ServeHTTP(w, r)
	})
}
