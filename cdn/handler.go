package cdn

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// ServeHTTP serves objects by key below the path of LocalOptions.URL: GET and HEAD,
// with ranges and validators, never listing and never running as part of the site
// (nosniff, a sandbox policy, and attachment for active types). With
// LocalOptions.SignKey it takes the direct uploads of PresignPut and PresignForm. Promoted keys are
// redirected (302) to the provider, with LocalOptions.Private to an address of its own
// PresignGet if it has one; deleted and unknown ones are 404.
func (l *Local) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if l.cors(w, r) {
		return
	}
	signs := len(l.opts.SignKey) > 0
	if signs && r.Method == http.MethodPost && r.URL.Path == l.base.Path {
		l.receiveForm(w, r)
		return
	}
	direct := signs && r.Method == http.MethodPut
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !direct {
		h.Set("Allow", "GET, HEAD")
		l.refuse(w, http.StatusMethodNotAllowed)
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, l.base.Path)
	if !ok || CheckKey(key) != nil {
		l.refuse(w, http.StatusNotFound)
		return
	}
	if direct {
		l.receivePut(w, r, key)
		return
	}
	var left time.Duration // of the permission
	if l.opts.Private {
		s, ok := l.permitted(r, key)
		if !ok {
			l.refuse(w, http.StatusForbidden)
			return
		}
		left = max(time.Until(time.Unix(s.expires, 0)), time.Second)
	}
	if to := l.redirect(r.Context(), key, left); to != "" {
		h.Set("Cache-Control", "no-cache") // the key may be replaced and be local again
		http.Redirect(w, r, to, http.StatusFound)
		return
	}
	f, e, err := l.openKey(key)
	switch {
	case errors.Is(err, ErrNotFound):
		l.refuse(w, http.StatusNotFound)
		return
	case err != nil:
		l.refuse(w, http.StatusServiceUnavailable)
		return
	}
	defer f.Close()
	h.Set("Content-Type", e.Type)
	h.Set("Etag", e.etag())
	h.Set("Cache-Control", e.Cache)
	if l.opts.Private {
		h.Set("Cache-Control", "private, no-cache") // the permission ends
	} else if e.Cache == "" {
		h.Set("Cache-Control", "no-cache")
	}
	if d := disposition(e); d != "" {
		h.Set("Content-Disposition", d)
	}
	http.ServeContent(w, r, "", e.Time, io.NewSectionReader(f, 0, e.Size))
}

// refuse answers with a status and nothing that could be cached or run.
func (l *Local) refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, http.StatusText(status), status)
}

// redirect is where a promoted key is to be read, or "". The provider's present
// address is preferred to the one at the time of promotion. What may be read for some
// time only is to be read there by such an address too, where the provider has them.
func (l *Local) redirect(ctx context.Context, key string, left time.Duration) string {
	l.mu.Lock()
	it, p := l.items[key], l.primary
	l.mu.Unlock()
	if it == nil || it.state != stateDone {
		return ""
	}
	e := it.entry()
	ref := Ref{Key: key, Handle: e.Handle}
	if signer, ok := p.(Presigner); ok && left > 0 {
		if u, err := signer.PresignGet(ctx, ref, left); err == nil {
			return u
		}
	}
	if p != nil {
		if u, err := p.URL(ref); err == nil {
			return u
		}
	}
	return e.URL
}

// disposition is the header that makes a browser save active content instead of
// showing it, whatever the uploader asked for.
func disposition(e *entry) string {
	if !isActive(e.Type) {
		return e.Disposition
	}
	if d, _, err := mime.ParseMediaType(e.Disposition); err == nil && d == "attachment" {
		return e.Disposition
	}
	return mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(e.Key)})
}

// isActive reports a type that browsers run or that may hold scripts. What is not
// known to be passive is active.
func isActive(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return true
	}
	switch typ, _, _ := strings.Cut(t, "/"); typ {
	case "image":
		return strings.Contains(t, "svg") || strings.Contains(t, "xml")
	case "audio", "video", "font":
		return false
	}
	switch t {
	case "text/plain", "text/csv", "application/json", "application/octet-stream", "application/zip":
		return false
	}
	return true
}
