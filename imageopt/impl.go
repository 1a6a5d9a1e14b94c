package imageopt

import (
	"context"
	"html/template"
	"io"
	"io/fs"
	"iter"
	"net/http"
)

func (o *Optimizer) process(ctx context.Context, w io.Writer, r io.Reader, spec Spec) (Result, error) {
	return Result{}, ErrUnsupported
}
func (o *Optimizer) inspect(r io.Reader) (Info, error) { return Info{}, ErrUnsupported }
func (o *Optimizer) placeholder(ctx context.Context, src []byte, kind PlaceholderKind) (Placeholder, error) {
	return Placeholder{}, ErrUnsupported
}
func (o *Optimizer) variants(ctx context.Context, src []byte, specs []Spec, yield func(Variant, error) bool) {
	yield(Variant{Index: -1}, ErrUnsupported)
}

type fsSource struct{ fsys fs.FS }

func (s fsSource) Open(ctx context.Context, name string) (io.ReadCloser, SourceInfo, error) {
	return nil, SourceInfo{}, fs.ErrNotExist
}

type flightGroup struct{}
type handlerCounters struct{}

func newHandler(o *Optimizer, src Source, opts HandlerOptions) (*Handler, error) {
	return &Handler{o: o, src: src, opts: opts}, nil
}
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) { w.WriteHeader(501) }
func (h *Handler) url(src string, width, quality int) string    { return "" }
func (h *Handler) html(p Picture) (template.HTML, error)        { return "", ErrUnsupported }
func (h *Handler) close() error                                 { return nil }
func (h *Handler) snapshot() HandlerStats                       { return HandlerStats{} }
func (h *Handler) metrics() iter.Seq2[string, float64]          { return func(func(string, float64) bool) {} }
