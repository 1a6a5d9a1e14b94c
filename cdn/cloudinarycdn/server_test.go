package cloudinarycdn_test

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn/cloudinarycdn"
)

const (
	testKey    = "874837483274837"
	testSecret = "a676b67565c6767a6767d6767f676fe1"
	testCloud  = "demo"
	testPreset = "open_preset"
)

type asset struct {
	id, kind, typ, format string
	version               int64
	data                  []byte
	fields                map[string]string
}

// server is a small Cloudinary: it refuses wrong signatures, old timestamps, public
// IDs that cannot be, chunks out of order, and parameters of unsigned uploads.
type server struct {
	mu      sync.Mutex
	fault   faultFunc         // guarded by mu, as all below
	assets  map[string]*asset // by kind/type/id
	chunks  map[string][]byte
	version int64
	seen    []string
	purged  []string // by explicit: kind/type/id
	tamper  func(reply map[string]any)
	chunked bool // bodies without length are taken, which the official client sends and we do not
}

// faultFunc answers a request in place of the server; false leaves it to serve.
type faultFunc func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) bool

func (s *server) setFault(f faultFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func newServer(t *testing.T) (*server, *httptest.Server) {
	s := &server{assets: map[string]*asset{}, chunks: map[string][]byte{}, version: 1700000000}
	ts := httptest.NewServer(s)
	t.Cleanup(ts.Close)
	return s, ts
}

func newProvider(t *testing.T, ts *httptest.Server, change ...func(*cloudinarycdn.Options)) *cloudinarycdn.Provider {
	t.Helper()
	o := cloudinarycdn.Options{
		CloudName: testCloud, APIKey: testKey, APISecret: testSecret,
		APIURL: ts.URL, DeliveryURL: ts.URL + "/" + testCloud, HTTPClient: ts.Client(),
	}
	for _, f := range change {
		f(&o)
	}
	p, err := cloudinarycdn.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	serve := func(w http.ResponseWriter) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client gave up
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.serve(w, r)
	}
	if fault != nil && fault(w, r, serve) {
		return
	}
	serve(w)
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Cld-Error", message)
	w.Header().Set("X-Request-Id", "req-1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"message": message}})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.seen = append(s.seen, r.Method+" "+r.URL.Path)
	el := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if len(el) == 4 && el[0] == "v1_1" && el[1] == testCloud {
		switch r.Method + " " + el[3] {
		case "POST upload":
			s.upload(w, r, el[2])
			return
		case "POST destroy":
			s.destroy(w, r, el[2])
			return
		case "POST explicit":
			s.explicit(w, r, el[2])
			return
		case "GET download":
			s.download(w, r, el[2])
			return
		}
	}
	if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/"+testCloud+"/"); ok && (r.Method == "GET" || r.Method == "HEAD") {
		s.deliver(w, r, rest)
		return
	}
	refuse(w, 404, "Unknown route")
}

func sha(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// signed checks api_key, timestamp and signature of a request's parameters.
func signed(m map[string]string) (status int, message string) {
	if m["api_key"] != testKey {
		return 401, "unknown api_key " + m["api_key"]
	}
	at, err := strconv.ParseInt(m["timestamp"], 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)) > time.Hour+time.Second {
		return 400, "Stale request - reported time is " + m["timestamp"] + " which is more than 1 hour ago"
	}
	var all []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains([]string{"file", "api_key", "signature", "resource_type", "cloud_name"}, k) && m[k] != "" {
			all = append(all, k+"="+strings.ReplaceAll(m[k], "&", "%26"))
		}
	}
	text := strings.Join(all, "&")
	if m["signature"] != sha(text+testSecret) {
		return 401, fmt.Sprintf("Invalid Signature %s. String to sign - '%s'.", m["signature"], text)
	}
	return 0, ""
}

func (s *server) upload(w http.ResponseWriter, r *http.Request, kind string) {
	m := map[string]string{}
	if err := r.ParseMultipartForm(64 << 20); err != nil || len(r.MultipartForm.File["file"]) != 1 || r.ContentLength < 0 && !s.chunked {
		refuse(w, 400, "Missing required parameter - file")
		return
	}
	for k, v := range r.MultipartForm.Value {
		m[k] = v[0]
	}
	if m["signature"] == "" {
		if m["upload_preset"] != testPreset {
			refuse(w, 400, "Upload preset must be specified when using unsigned upload")
			return
		}
		for k := range m {
			if !slices.Contains([]string{"upload_preset", "public_id", "context"}, k) {
				refuse(w, 400, k+" parameter is not allowed when using unsigned upload")
				return
			}
		}
		m["overwrite"] = "false"
	} else if status, msg := signed(m); status != 0 {
		refuse(w, status, msg)
		return
	}
	id := m["public_id"]
	if id == "" || strings.ContainsAny(id, `?&#\%<>`) || strings.Trim(id, " /") != id {
		refuse(w, 400, "public_id ("+id+") is invalid")
		return
	}
	f, _ := r.MultipartForm.File["file"][0].Open()
	data, _ := io.ReadAll(f)
	if cr := r.Header.Get("Content-Range"); cr != "" {
		var done bool
		if data, done = s.chunk(w, r.Header.Get("X-Unique-Upload-Id"), cr, data); !done {
			return
		}
	}
	s.store(w, kind, id, m, data)
}

func (s *server) chunk(w http.ResponseWriter, id, header string, data []byte) (all []byte, done bool) {
	var from, to, total int64
	if _, err := fmt.Sscanf(header, "bytes %d-%d/%d", &from, &to, &total); err != nil || id == "" || to-from+1 != int64(len(data)) {
		refuse(w, 400, "Invalid Content-Range")
		return nil, false
	}
	have := s.chunks[id]
	if int64(len(have)) != from {
		refuse(w, 400, "Chunks out of order")
		return nil, false
	}
	last := total >= 0 && to+1 == total
	if !last && len(data) < 5_000_000 {
		refuse(w, 400, "All parts except EOF-chunk must be larger than 5mb")
		return nil, false
	}
	s.chunks[id] = append(have, data...)
	if !last {
		answer(w, map[string]any{"done": false, "bytes": len(s.chunks[id])})
		return nil, false
	}
	all = s.chunks[id]
	delete(s.chunks, id)
	return all, true
}

func (s *server) store(w http.ResponseWriter, kind, id string, m map[string]string, data []byte) {
	typ := m["type"]
	if typ == "" {
		typ = "upload"
	}
	name := kind + "/" + typ + "/" + id
	a, taken := s.assets[name]
	existing := taken && m["overwrite"] == "false"
	if !existing {
		s.version++
		a = &asset{id: id, kind: kind, typ: typ, version: s.version, data: data, fields: m}
		if kind != "raw" {
			switch http.DetectContentType(data) {
			case "image/png":
				a.format = "png"
			case "image/jpeg":
				a.format = "jpg"
			default:
				refuse(w, 400, "Invalid image file")
				return
			}
			if m["format"] != "" {
				a.format = m["format"]
			}
		}
		s.assets[name] = a
	}
	sum := md5.Sum(a.data)
	rep := map[string]any{
		"public_id": a.id, "version": a.version, "resource_type": a.kind, "type": a.typ, "bytes": len(a.data),
		"etag": hex.EncodeToString(sum[:]), "created_at": "2026-01-02T03:04:05Z",
		"signature": sha(fmt.Sprintf("public_id=%s&version=%d%s", a.id, a.version, testSecret)),
	}
	if a.format != "" {
		rep["format"] = a.format
	}
	if existing {
		rep["existing"] = true
	}
	if s.tamper != nil {
		s.tamper(rep)
	}
	answer(w, rep)
}

func (s *server) destroy(w http.ResponseWriter, r *http.Request, kind string) {
	_ = r.ParseMultipartForm(1 << 20) // or urlencoded
	m := map[string]string{}
	for k, v := range r.PostForm {
		m[k] = v[0]
	}
	if status, msg := signed(m); status != 0 {
		refuse(w, status, msg)
		return
	}
	name := kind + "/" + cmp.Or(m["type"], "upload") + "/" + m["public_id"]
	result := "not found"
	if s.assets[name] != nil {
		delete(s.assets, name)
		result = "ok"
	}
	answer(w, map[string]string{"result": result})
}

func (s *server) explicit(w http.ResponseWriter, r *http.Request, kind string) {
	_ = r.ParseForm()
	m := map[string]string{}
	for k, v := range r.PostForm {
		m[k] = v[0]
	}
	if status, msg := signed(m); status != 0 {
		refuse(w, status, msg)
		return
	}
	name := kind + "/" + m["type"] + "/" + m["public_id"]
	a := s.assets[name]
	switch {
	case m["type"] == "" || m["public_id"] == "":
		refuse(w, 400, "Missing required parameter")
	case a == nil:
		refuse(w, 404, "Resource not found - "+m["public_id"])
	default:
		if m["invalidate"] == "true" {
			s.purged = append(s.purged, name)
		}
		answer(w, map[string]any{"public_id": a.id, "version": a.version, "resource_type": a.kind, "type": a.typ})
	}
}

func (s *server) download(w http.ResponseWriter, r *http.Request, kind string) {
	m := map[string]string{}
	for k, v := range r.URL.Query() {
		m[k] = v[0]
	}
	status, msg := signed(m)
	a := s.assets[kind+"/"+m["type"]+"/"+m["public_id"]]
	until, _ := strconv.ParseInt(m["expires_at"], 10, 64)
	switch {
	case status != 0:
		refuse(w, status, msg)
	case time.Now().Unix() > until:
		refuse(w, 401, "expired")
	case a == nil || a.format != m["format"]:
		refuse(w, 404, "Resource not found")
	default:
		_, _ = w.Write(a.data)
	}
}

var (
	versionElement   = regexp.MustCompile(`^v[0-9]+$`)
	transformElement = regexp.MustCompile(`^[a-z]{1,2}_[a-z0-9]+(,[a-z]{1,2}_[a-z0-9]+)*$`)
)

// deliver serves kind/type/[signature/][transformation/][version/]id[.format].
func (s *server) deliver(w http.ResponseWriter, r *http.Request, rest string) {
	el := strings.Split(rest, "/")
	kind, typ, el := el[0], el[1], el[2:]
	sig, transform := "", ""
	if strings.HasPrefix(el[0], "s--") {
		sig, el = el[0], el[1:]
	}
	if transformElement.MatchString(el[0]) && len(el) > 1 && versionElement.MatchString(el[1]) {
		transform, el = el[0]+"/", el[1:]
	}
	if versionElement.MatchString(el[0]) {
		el = el[1:]
	} else if len(el) > 1 {
		refuse(w, 400, "a folder without a version")
		return
	}
	source := strings.Join(el, "/")
	sum := sha1.Sum([]byte(transform + source + testSecret))
	if want := "s--" + base64.URLEncoding.EncodeToString(sum[:])[:8] + "--"; (sig != "" || typ == "authenticated") && sig != want {
		refuse(w, 401, "Invalid Signature "+sig)
		return
	}
	id, format, _ := source, "", 0
	if kind != "raw" {
		i := strings.LastIndex(source, ".")
		id, format = source[:max(i, 0)], source[i+1:]
	}
	id, err := url.PathUnescape(id)
	a := s.assets[kind+"/"+typ+"/"+id]
	if err != nil || a == nil || format != a.format && transform == "" {
		refuse(w, 404, "Resource not found - "+id)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(a.data)))
	w.Header().Set("X-Transform", transform)
	http.ServeContent(w, r, "x."+format, time.Unix(a.version, 0), bytes.NewReader(a.data))
}
