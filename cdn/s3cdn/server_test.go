package s3cdn_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
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

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/perfblocks/perfblocks/cdn/s3cdn"
)

const (
	testID     = "AKIDEXAMPLE000000001"
	testSecret = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLESEC"
	testRegion = "eu-test-1"
	testBucket = "pictures"
)

type object struct {
	data   []byte
	header http.Header // content type, cache control, disposition, x-amz-meta-*
	etag   string
	crc    string // as the reply tells it; "" if none was sent
	at     time.Time
}

type upload struct {
	key   string
	crc   bool
	meta  http.Header
	parts map[int]object
	at    time.Time
}

// server is a small S3 that refuses what the real one refuses: wrong signatures and
// checksums, chunked encodings, small parts, unsigned payloads without TLS.
type server struct {
	tls bool

	refuseCRC   bool // answers 501 to checksum headers, as old servers do
	beginTakes  bool // except in CreateMultipartUpload, which overlooks them
	ignoreCRC   bool // does not look at checksum headers nor repeats them
	ignoreRange bool
	public      bool          // unsigned GETs are served
	clock       time.Duration // how far its clock is ahead
	noListParts bool
	pageSize    int
	minPart     int
	fault       func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) bool
	mu          sync.Mutex
	objects     map[string]object // guarded by mu, as all below
	uploads     map[string]*upload
	seen        []string // method and action of each verified request
	lastPut     http.Header
}

// faultFunc answers a request in place of the server; false leaves it to serve.
type faultFunc func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) bool

func (s *server) setFault(f faultFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// requests returns the method and action of each verified request so far.
func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// stored returns a copy of the objects that the server holds.
func (s *server) stored() map[string]object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.objects)
}

func newServer(t *testing.T, useTLS bool) (*server, *httptest.Server) {
	s := &server{tls: useTLS, pageSize: 3, minPart: 5 << 20, objects: map[string]object{}, uploads: map[string]*upload{}}
	ts := httptest.NewUnstartedServer(s)
	if useTLS {
		ts.StartTLS()
	} else {
		ts.Start()
	}
	t.Cleanup(ts.Close)
	return s, ts
}

// options for a Provider that talks to ts and takes nothing from the machine.
func options(ts *httptest.Server) s3cdn.Options {
	return s3cdn.Options{
		Bucket: testBucket, Region: testRegion, Endpoint: ts.URL, PathStyle: true,
		AccessKeyID: testID, SecretAccessKey: testSecret,
		Config:     &aws.Config{},
		HTTPClient: ts.Client(),
	}
}

func newProvider(t *testing.T, ts *httptest.Server, change ...func(*s3cdn.Options)) *s3cdn.Provider {
	t.Helper()
	o := options(ts)
	for _, f := range change {
		f(&o)
	}
	p, err := s3cdn.New(o)
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
		s.serve(w, r, body)
	}
	if fault != nil && fault(w, r, serve) {
		return
	}
	serve(w)
}

type s3Error struct {
	status  int
	code    string
	message string
}

func (e *s3Error) write(w http.ResponseWriter) {
	w.Header().Set("X-Amz-Request-Id", "REQ123")
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(e.status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message><RequestId>REQ123</RequestId></Error>`, e.code, e.message)
}

func refuse(status int, code, message string) *s3Error { return &s3Error{status, code, message} }

func (s *server) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		s.form(w, r, body)
		return
	}
	w.Header().Set("Date", time.Now().Add(s.clock).UTC().Format(http.TimeFormat))
	if public := s.public && r.Method == http.MethodGet && r.Header.Get("Authorization") == ""; !public {
		if e := s.verify(r, body); e != nil {
			e.write(w)
			return
		}
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/"+testBucket)
	if !ok {
		refuse(404, "NoSuchBucket", "The specified bucket does not exist").write(w)
		return
	}
	key = strings.TrimPrefix(key, "/")
	q := r.URL.Query()
	action := r.Method
	switch {
	case q.Has("uploads"):
		action += " uploads"
	case q.Has("uploadId"):
		action += " uploadId"
	case q.Has("list-type"):
		action += " list-type"
	}
	s.seen = append(s.seen, action)
	handlers := map[string]func(http.ResponseWriter, *http.Request, string, []byte) *s3Error{
		"PUT": s.put, "GET": s.get, "HEAD": s.get, "DELETE": s.remove, "GET list-type": s.list,
		"POST uploads": s.begin, "PUT uploadId": s.part, "GET uploadId": s.parts,
		"POST uploadId": s.complete, "DELETE uploadId": s.abort, "GET uploads": s.listUploads,
	}
	h := handlers[action]
	if h == nil {
		refuse(405, "MethodNotAllowed", action).write(w)
		return
	}
	if e := h(w, r, key, body); e != nil {
		e.write(w)
	}
}

// verify checks the signature by signing the request again with the SDK's signer.
func (s *server) verify(r *http.Request, body []byte) *s3Error {
	if r.Header.Get("X-Amz-Trailer") != "" || strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") || r.ContentLength < 0 {
		return refuse(501, "NotImplemented", "chunked encodings are not implemented")
	}
	if r.URL.Query().Has("X-Amz-Signature") {
		return s.verifyPresigned(r)
	}
	auth := r.Header.Get("Authorization")
	_, signed, ok1 := strings.Cut(auth, "SignedHeaders=")
	signed, _, ok2 := strings.Cut(signed, ",")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	hash := r.Header.Get("X-Amz-Content-Sha256")
	if !ok1 || !ok2 || err != nil || hash == "" {
		return refuse(403, "AccessDenied", "no signature")
	}
	if time.Now().Add(s.clock).Sub(at).Abs() > 15*time.Minute {
		return refuse(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
	}
	again := s.clone(r, strings.Split(signed, ";"))
	err = v4.NewSigner(noEscape).SignHTTP(context.Background(), creds(), again, hash, "s3", testRegion, at)
	if err != nil || again.Header.Get("Authorization") != auth {
		return refuse(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
	}
	sum := sha256.Sum256(body)
	switch {
	case hash == "UNSIGNED-PAYLOAD" && !s.tls:
		return refuse(403, "AccessDenied", "unsigned payload without TLS")
	case hash != "UNSIGNED-PAYLOAD" && hash != hex.EncodeToString(sum[:]):
		return refuse(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	return nil
}

func noEscape(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }

func creds() aws.Credentials {
	return aws.Credentials{AccessKeyID: testID, SecretAccessKey: testSecret}
}

// clone has the signed headers of r only.
func (s *server) clone(r *http.Request, signed []string) *http.Request {
	again := &http.Request{Method: r.Method, URL: new(*r.URL), Host: r.Host, Header: http.Header{}}
	again.URL.Host, again.URL.Scheme = r.Host, "http"
	for _, h := range signed {
		switch h {
		case "content-length":
			again.ContentLength = r.ContentLength
		case "host":
		default:
			again.Header[http.CanonicalHeaderKey(h)] = r.Header.Values(h)
		}
	}
	return again
}

func (s *server) verifyPresigned(r *http.Request) *s3Error {
	q := r.URL.Query()
	at, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
	life, err2 := strconv.Atoi(q.Get("X-Amz-Expires"))
	if err != nil || err2 != nil {
		return refuse(400, "AuthorizationQueryParametersError", "malformed")
	}
	if time.Since(at) > time.Duration(life)*time.Second {
		return refuse(403, "AccessDenied", "Request has expired")
	}
	want := q.Get("X-Amz-Signature")
	again := s.clone(r, strings.Split(q.Get("X-Amz-SignedHeaders"), ";"))
	for _, k := range []string{"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Algorithm", "X-Amz-Date", "X-Amz-SignedHeaders"} {
		q.Del(k)
	}
	again.URL.RawQuery = q.Encode()
	signed, _, err := v4.NewSigner(noEscape).PresignHTTP(context.Background(), creds(), again, "UNSIGNED-PAYLOAD", "s3", testRegion, at)
	if err != nil {
		return refuse(400, "AuthorizationQueryParametersError", err.Error())
	}
	u, err := url.Parse(signed)
	if err != nil || u.Query().Get("X-Amz-Signature") != want {
		return refuse(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
	}
	return nil
}

func crcOf(b []byte) string {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// content checks the checksum header and makes an object of a body.
func (s *server) content(r *http.Request, body []byte) (object, *s3Error) {
	sum := md5.Sum(body)
	o := object{data: body, header: kept(r.Header), etag: `"` + hex.EncodeToString(sum[:]) + `"`, at: time.Now().Truncate(time.Second)}
	sent := r.Header.Get("X-Amz-Checksum-Crc32c")
	switch {
	case sent != "" && s.refuseCRC:
		return o, refuse(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
	case sent != "" && !s.ignoreCRC && sent != crcOf(body):
		return o, refuse(400, "BadDigest", "The CRC32C you specified did not match the calculated checksum.")
	case !s.ignoreCRC:
		o.crc = sent
	}
	return o, nil
}

func kept(h http.Header) http.Header {
	out := http.Header{}
	for k, v := range h {
		if strings.HasPrefix(k, "X-Amz-Meta-") || slices.Contains([]string{"Content-Type", "Cache-Control", "Content-Disposition"}, k) {
			out[k] = v
		}
	}
	return out
}

func (s *server) put(w http.ResponseWriter, r *http.Request, key string, body []byte) *s3Error {
	if from := r.Header.Get("X-Amz-Copy-Source"); from != "" {
		return s.copy(w, r, key, from)
	}
	s.lastPut = r.Header.Clone()
	o, e := s.content(r, body)
	if e != nil {
		return e
	}
	if _, taken := s.objects[key]; taken && r.Header.Get("If-None-Match") == "*" {
		return refuse(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	}
	s.objects[key] = o
	w.Header().Set("ETag", o.etag)
	if o.crc != "" {
		w.Header().Set("X-Amz-Checksum-Crc32c", o.crc)
	}
	return nil
}

func (s *server) copy(w http.ResponseWriter, r *http.Request, key, from string) *s3Error {
	from, err := url.QueryUnescape(from) // a plus sign is a space here
	src, ok := s.objects[strings.TrimPrefix(from, testBucket+"/")]
	if err != nil || !ok {
		return refuse(404, "NoSuchKey", "The specified key does not exist.")
	}
	if r.Header.Get("X-Amz-Metadata-Directive") != "REPLACE" {
		return refuse(400, "InvalidRequest", "test server: the directive must be REPLACE")
	}
	src.header, src.at = kept(r.Header), time.Now()
	s.objects[key] = src
	return reply(w, struct {
		XMLName      xml.Name `xml:"CopyObjectResult"`
		ETag         string
		LastModified string
	}{ETag: src.etag, LastModified: src.at.UTC().Format(time.RFC3339)})
}

func reply(w http.ResponseWriter, v any) *s3Error {
	text, err := xml.Marshal(v)
	if err != nil {
		return refuse(500, "InternalError", err.Error())
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write(append([]byte(xml.Header), text...))
	return nil
}

func (s *server) get(w http.ResponseWriter, r *http.Request, key string, _ []byte) *s3Error {
	o, ok := s.objects[key]
	if !ok {
		return refuse(404, "NoSuchKey", "The specified key does not exist.")
	}
	maps.Copy(w.Header(), o.header)
	w.Header().Set("ETag", o.etag)
	if o.crc != "" && r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		w.Header().Set("X-Amz-Checksum-Crc32c", o.crc)
	}
	if s.ignoreRange {
		r.Header.Del("Range")
	}
	http.ServeContent(w, r, "", o.at, bytes.NewReader(o.data))
	return nil
}

func (s *server) remove(w http.ResponseWriter, _ *http.Request, key string, _ []byte) *s3Error {
	delete(s.objects, key)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

type listEntry struct {
	Key          string
	Size         int
	ETag         string
	LastModified string
}

func (s *server) list(w http.ResponseWriter, r *http.Request, _ string, _ []byte) *s3Error {
	q := r.URL.Query()
	var out struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []listEntry
	}
	for _, k := range slices.Sorted(maps.Keys(s.objects)) {
		if !strings.HasPrefix(k, q.Get("prefix")) || k <= q.Get("continuation-token") {
			continue
		}
		if len(out.Contents) == s.pageSize {
			out.IsTruncated, out.NextContinuationToken = true, out.Contents[s.pageSize-1].Key
			break
		}
		o := s.objects[k]
		out.Contents = append(out.Contents, listEntry{k, len(o.data), o.etag, o.at.UTC().Format(time.RFC3339)})
	}
	return reply(w, out)
}
