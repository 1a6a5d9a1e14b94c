package vercelcdn_test

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn/vercelcdn"
)

const (
	testStore  = "AbC123storeID"
	testSecret = "s3cr3tPartOfTheToken"
	testToken  = "vercel_blob_rw_" + testStore + "_" + testSecret
)

type stored struct {
	data        []byte
	contentType string
	maxAge      string
	at          time.Time
}

// server is a small Vercel Blob, API and delivery in one. It refuses calls without
// the headers that the official client sends.
type server struct {
	base    string
	private bool
	noETag  bool

	mu      sync.Mutex
	fault   faultFunc         // guarded by mu, as all below
	blobs   map[string]stored // by pathname
	uploads map[string]map[int][]byte
	headers http.Header // of the last call
	page    int
}

// faultFunc answers a request in place of the server; false leaves it to serve.
type faultFunc func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) bool

func (s *server) setFault(f faultFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func newServer(t *testing.T) (*server, *httptest.Server) {
	s := &server{blobs: map[string]stored{}, uploads: map[string]map[int][]byte{}, page: 3}
	ts := httptest.NewServer(s)
	s.base = ts.URL
	t.Cleanup(ts.Close)
	return s, ts
}

func newProvider(t *testing.T, ts *httptest.Server, change ...func(*vercelcdn.Options)) *vercelcdn.Provider {
	t.Helper()
	o := vercelcdn.Options{Token: testToken, APIURL: ts.URL + "/api/blob", PublicURL: ts.URL + "/store", HTTPClient: ts.Client()}
	for _, f := range change {
		f(&o)
	}
	p, err := vercelcdn.New(o)
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
		s.mu.Lock()
		defer s.mu.Unlock()
		s.serve(w, r, body)
	}
	if fault != nil && fault(w, r, serve) {
		return
	}
	serve(w)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Vercel-Id", "iad1::req1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": code, "message": message}})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/store/"); ok {
		s.deliver(w, r, rest)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/api/blob")
	if !ok {
		http.NotFound(w, r)
		return
	}
	g, ok := s.authorize(w, r)
	if !ok {
		return
	}
	s.headers = r.Header.Clone()
	q := r.URL.Query()
	switch call := r.Method + " " + strings.TrimSuffix(path, "/"); {
	case call == "PUT " && q.Has("fromUrl"):
		s.copy(w, r, q)
	case call == "PUT ":
		if g != nil && !g.permits(w, q.Get("pathname"), r, len(body)) {
			return
		}
		if r.ContentLength < 0 || s.taken(w, r, q.Get("pathname"), g) {
			return
		}
		s.put(w, r, q.Get("pathname"), body)
	case call == "GET " && q.Has("url"):
		s.head(w, q.Get("url"))
	case call == "GET ":
		s.list(w, q)
	case call == "POST /delete":
		s.remove(w, r, body)
	case call == "POST /mpu":
		s.mpu(w, r, q.Get("pathname"), body)
	default:
		refuse(w, 404, "not_found", "no such route "+call)
	}
}

// authorize checks token and version headers. A client token comes back decoded.
func (s *server) authorize(w http.ResponseWriter, r *http.Request) (*grant, bool) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if r.Header.Get("X-Api-Version") != "12" {
		refuse(w, 400, "bad_request", "unknown API version")
		return nil, false
	}
	if rest, ok := strings.CutPrefix(token, "vercel_blob_client_"+testStore+"_"); ok {
		g, err := open(rest)
		if err != nil {
			refuse(w, 403, "forbidden", err.Error())
		}
		return g, err == nil
	}
	id := r.Header.Get("X-Api-Blob-Request-Id")
	if token != testToken {
		refuse(w, 403, "forbidden", "the token "+token+" is not valid")
		return nil, false
	}
	if r.Header.Get("X-Vercel-Blob-Store-Id") != testStore || !strings.HasPrefix(id, testStore+":") || r.Header.Get("X-Api-Blob-Request-Attempt") != "0" {
		refuse(w, 400, "bad_request", "missing headers")
		return nil, false
	}
	return nil, true
}

type grant struct {
	Pathname            string
	ValidUntil          int64
	AllowedContentTypes []string
	MaximumSizeInBytes  int
	AddRandomSuffix     bool
	AllowOverwrite      bool
}

func open(token string) (*grant, error) {
	text, err := base64.StdEncoding.DecodeString(token)
	sig, payload, ok := strings.Cut(string(text), ".")
	mac := hmac.New(sha256.New, []byte(testToken))
	mac.Write([]byte(payload))
	if err != nil || !ok || hex.EncodeToString(mac.Sum(nil)) != sig {
		return nil, fmt.Errorf("invalid client token")
	}
	text, err = base64.StdEncoding.DecodeString(payload)
	if err != nil {
		return nil, err
	}
	var g grant
	return &g, json.Unmarshal(text, &g)
}

func (g *grant) permits(w http.ResponseWriter, pathname string, r *http.Request, size int) bool {
	switch {
	case time.Now().UnixMilli() > g.ValidUntil:
		refuse(w, 403, "client_token_expired", "Token expired")
	case pathname != g.Pathname:
		refuse(w, 400, "bad_request", `"pathname" does not match the token payload`)
	case g.MaximumSizeInBytes > 0 && size > g.MaximumSizeInBytes:
		refuse(w, 400, "bad_request", "the file length cannot be greater than "+strconv.Itoa(g.MaximumSizeInBytes))
	case len(g.AllowedContentTypes) > 0 && !slices.Contains(g.AllowedContentTypes, r.Header.Get("X-Content-Type")):
		refuse(w, 400, "bad_request", `"contentType" is not allowed`)
	default:
		return true
	}
	return false
}

// taken checks the headers of a call that makes an object.
func (s *server) taken(w http.ResponseWriter, r *http.Request, pathname string, g *grant) bool {
	access := "public"
	if s.private {
		access = "private"
	}
	overwrite := r.Header.Get("X-Allow-Overwrite") == "1" || g != nil && g.AllowOverwrite
	_, exists := s.blobs[pathname]
	switch {
	case r.Header.Get("X-Vercel-Blob-Access") != access:
		refuse(w, 400, "bad_request", "wrong access")
	case g == nil && (r.Header.Get("X-Add-Random-Suffix") != "0" || r.Header.Get("X-Allow-Overwrite") == ""):
		refuse(w, 400, "bad_request", "test server: suffix and overwriting must be told")
	case pathname == "" || len(pathname) > 950 || strings.Contains(pathname, "//"):
		refuse(w, 400, "bad_request", "bad pathname")
	case exists && !overwrite:
		refuse(w, 400, "bad_request", "This blob already exists, use `allowOverwrite: true` if you want to overwrite it.")
	default:
		return false
	}
	return true
}

func (s *server) url(pathname string) string {
	el := strings.Split(pathname, "/")
	for i := range el {
		el[i] = strings.ReplaceAll(url.PathEscape(el[i]), "+", "%2B")
	}
	return s.base + "/store/" + strings.Join(el, "/")
}

func (s *server) find(address string) (string, stored, bool) {
	rest, ok := strings.CutPrefix(address, s.base+"/store/")
	path, err := url.PathUnescape(rest)
	b, found := s.blobs[path]
	return path, b, ok && err == nil && found
}

func (s *server) describe(pathname string, b stored) map[string]any {
	age := b.maxAge
	if age == "" {
		age = "2592000"
	}
	sum := md5.Sum(b.data)
	m := map[string]any{
		"url": s.url(pathname), "downloadUrl": s.url(pathname) + "?download=1", "pathname": pathname, "contentType": b.contentType,
		"contentDisposition": `inline; filename="x"`, "cacheControl": "public, max-age=" + age, "etag": `"` + hex.EncodeToString(sum[:]) + `"`,
		"size": len(b.data), "uploadedAt": b.at.UTC().Format(time.RFC3339Nano),
	}
	if s.noETag {
		delete(m, "etag")
	}
	return m
}

func (s *server) put(w http.ResponseWriter, r *http.Request, pathname string, data []byte) {
	b := stored{data, r.Header.Get("X-Content-Type"), r.Header.Get("X-Cache-Control-Max-Age"), time.Now()}
	s.blobs[pathname] = b
	m := s.describe(pathname, b)
	delete(m, "size") // only head and list tell it
	answer(w, m)
}

func (s *server) copy(w http.ResponseWriter, r *http.Request, q url.Values) {
	_, b, ok := s.find(q.Get("fromUrl"))
	if !ok {
		refuse(w, 404, "not_found", "The requested blob does not exist")
		return
	}
	if !s.taken(w, r, q.Get("pathname"), nil) {
		s.put(w, r, q.Get("pathname"), b.data)
	}
}

func (s *server) head(w http.ResponseWriter, address string) {
	path, b, ok := s.find(address)
	if !ok {
		refuse(w, 404, "not_found", "The requested blob does not exist")
		return
	}
	answer(w, s.describe(path, b))
}

func (s *server) list(w http.ResponseWriter, q url.Values) {
	blobs := []map[string]any{}
	more, cursor := false, ""
	for _, path := range slices.Sorted(maps.Keys(s.blobs)) {
		if !strings.HasPrefix(path, q.Get("prefix")) || path <= q.Get("cursor") {
			continue
		}
		if len(blobs) == s.page {
			more = true
			break
		}
		m := s.describe(path, s.blobs[path])
		delete(m, "contentType")
		blobs, cursor = append(blobs, m), path
	}
	rep := map[string]any{"blobs": blobs, "hasMore": more}
	if more {
		rep["cursor"] = cursor
	}
	answer(w, rep)
}

func (s *server) remove(w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct{ URLs []string }
	if json.Unmarshal(body, &in) != nil || len(in.URLs) == 0 || r.Header.Get("Content-Type") != "application/json" {
		refuse(w, 400, "bad_request", "no urls")
		return
	}
	for _, u := range in.URLs {
		path, _, _ := s.find(u)
		delete(s.blobs, path)
	}
	answer(w, nil)
}

func (s *server) mpu(w http.ResponseWriter, r *http.Request, pathname string, body []byte) {
	h := r.Header
	action, id := h.Get("X-Mpu-Action"), h.Get("X-Mpu-Upload-Id")
	if action == "create" {
		if s.taken(w, r, pathname, nil) {
			return
		}
		id = fmt.Sprintf("mpu-%d", len(s.uploads)+1)
		s.uploads[id] = map[int][]byte{}
		answer(w, map[string]string{"uploadId": id, "key": testStore + "/" + pathname})
		return
	}
	parts := s.uploads[id]
	key, err := url.PathUnescape(h.Get("X-Mpu-Key"))
	if parts == nil || err != nil || key != testStore+"/"+pathname || strings.Contains(h.Get("X-Mpu-Key"), "/") {
		refuse(w, 404, "not_found", "unknown upload")
		return
	}
	switch action {
	case "upload":
		n, err := strconv.Atoi(h.Get("X-Mpu-Part-Number"))
		if err != nil || n < 1 || r.ContentLength < 0 {
			refuse(w, 400, "bad_request", "bad part number")
			return
		}
		parts[n] = body
		answer(w, map[string]string{"etag": etag(body)})
	case "complete":
		s.complete(w, r, pathname, id, body)
	default:
		refuse(w, 400, "bad_request", "unknown action")
	}
}

func etag(b []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(b)) }

func (s *server) complete(w http.ResponseWriter, r *http.Request, pathname, id string, body []byte) {
	type part struct {
		PartNumber int
		ETag       string
	}
	var list []part
	if json.Unmarshal(body, &list) != nil || len(list) == 0 {
		refuse(w, 400, "bad_request", "no parts")
		return
	}
	slices.SortFunc(list, func(a, b part) int { return cmp.Compare(a.PartNumber, b.PartNumber) }) // the official client does not
	var all bytes.Buffer
	for i, p := range list {
		data, ok := s.uploads[id][p.PartNumber]
		if !ok || etag(data) != p.ETag || p.PartNumber != i+1 || i < len(list)-1 && len(data) < 5<<20 {
			refuse(w, 400, "bad_request", "invalid part")
			return
		}
		all.Write(data)
	}
	delete(s.uploads, id)
	if !s.taken(w, r, pathname, nil) {
		s.put(w, r, pathname, all.Bytes())
	}
}

func (s *server) deliver(w http.ResponseWriter, r *http.Request, pathname string) {
	b, ok := s.blobs[pathname]
	switch auth := r.Header.Get("Authorization"); {
	case s.private && auth != "Bearer "+testToken:
		http.Error(w, "Forbidden", http.StatusForbidden)
	case !s.private && auth != "":
		http.Error(w, "test server: the token does not belong here", http.StatusBadRequest)
	case !ok:
		http.Error(w, "Blob not found", http.StatusNotFound)
	default:
		w.Header().Set("Content-Type", b.contentType)
		http.ServeContent(w, r, "", b.at, bytes.NewReader(b.data))
	}
}
