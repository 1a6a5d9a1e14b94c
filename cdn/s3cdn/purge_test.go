package s3cdn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
)

const testDistribution = "E1A2B3C4D5E6F7"

// edge is CloudFront's API for invalidations. It refuses wrong signatures, quantities,
// paths and references, and what is too much.
type edge struct {
	host, region string
	fault        func(w http.ResponseWriter, r *http.Request) bool

	mu    sync.Mutex
	purge []invalidation // guarded by mu
}

type invalidation struct {
	id, reference string
	paths         []string
	done          bool
}

// RoundTrip serves without a network.
func (e *edge) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	if r.URL.Scheme != "https" || r.URL.Host != e.host {
		return nil, errors.New("unknown host " + r.URL.Host)
	}
	if e.fault == nil || !e.fault(w, r) {
		e.serve(w, r)
	}
	return w.Result(), nil
}

func (e *edge) refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Amzn-Requestid", "CF-REQ-1")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0"?><ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Error>`+
		`<Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>CF-REQ-1</RequestId></ErrorResponse>`, code, message)
}

func (e *edge) serve(w http.ResponseWriter, r *http.Request) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	if !e.signed(r, body) {
		e.refuse(w, 403, "SignatureDoesNotMatch", "The request signature we calculated does not match. The Canonical String for this request should have been 'x-amz-security-token:tok'")
		return
	}
	if r.URL.Path != "/2020-05-31/distribution/"+testDistribution+"/invalidation" {
		e.refuse(w, 404, "NoSuchDistribution", "The specified distribution does not exist.")
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.Method == http.MethodGet {
		e.list(w, r)
		return
	}
	var in struct {
		XMLName   xml.Name `xml:"http://cloudfront.amazonaws.com/doc/2020-05-31/ InvalidationBatch"`
		Quantity  int      `xml:"Paths>Quantity"`
		Paths     []string `xml:"Paths>Items>Path"`
		Reference string   `xml:"CallerReference"`
	}
	if err := xml.Unmarshal(body, &in); err != nil || r.Header.Get("Content-Type") != "application/xml" {
		e.refuse(w, 400, "MalformedXML", fmt.Sprint(err))
		return
	}
	old := slices.ContainsFunc(e.purge, func(i invalidation) bool { return i.reference == in.Reference })
	files, folders := 0, 0
	for _, i := range append(slices.Clone(e.purge), invalidation{paths: in.Paths}) {
		for _, p := range i.paths {
			switch {
			case i.done:
			case strings.HasSuffix(p, "*"):
				folders++
			default:
				files++
			}
		}
	}
	switch {
	case in.Reference == "" || old:
		e.refuse(w, 400, "InvalidationBatchAlreadyExists", "the reference is not new")
	case in.Quantity != len(in.Paths) || len(in.Paths) == 0:
		e.refuse(w, 400, "InconsistentQuantities", "The value of Quantity and the size of Items don't match.")
	case len(in.Paths) > 3000:
		e.refuse(w, 413, "BatchTooLarge", "Invalidation batch specified is too large.")
	case slices.ContainsFunc(in.Paths, badPath):
		e.refuse(w, 400, "InvalidArgument", "Your request contains one or more invalid invalidation paths.")
	case files > 3000 || folders > 15:
		e.refuse(w, 400, "TooManyInvalidationsInProgress", "Processing your request will cause you to exceed the maximum number of in-progress invalidations.")
	default:
		id := "I" + strconv.Itoa(len(e.purge)+1)
		e.purge = append(e.purge, invalidation{id: id, reference: in.Reference, paths: in.Paths})
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `<?xml version="1.0"?><Invalidation xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Id>%s</Id><Status>InProgress</Status>`+
			`<CreateTime>2026-01-02T03:04:05Z</CreateTime>%s</Invalidation>`, id, body[len(xml.Header):])
	}
}

// badPath is one that CloudFront would refuse or not understand.
func badPath(p string) bool {
	return !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || len(p) > 4000 || strings.ContainsAny(p, "~ <>\"{}|\\^[]`?#") ||
		strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (e *edge) list(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.Atoi(r.URL.Query().Get("Marker"))
	most, _ := strconv.Atoi(r.URL.Query().Get("MaxItems"))
	io.WriteString(w, `<InvalidationList xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Items>`)
	for i := from; i < min(len(e.purge), from+most); i++ {
		status := "InProgress"
		if e.purge[len(e.purge)-1-i].done {
			status = "Completed"
		}
		fmt.Fprintf(w, `<InvalidationSummary><Id>x</Id><Status>%s</Status></InvalidationSummary>`, status)
	}
	io.WriteString(w, `</Items>`)
	if from+most < len(e.purge) {
		fmt.Fprintf(w, `<IsTruncated>true</IsTruncated><NextMarker>%d</NextMarker>`, from+most)
	}
	io.WriteString(w, `</InvalidationList>`)
}

// signed signs the request again.
func (e *edge) signed(r *http.Request, body []byte) bool {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	again, _ := http.NewRequest(r.Method, r.URL.String(), bytes.NewReader(body))
	if ct := r.Header.Get("Content-Type"); ct != "" {
		again.Header.Set("Content-Type", ct)
	}
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: testID, SecretAccessKey: testSecret}
	serr := v4.NewSigner().SignHTTP(context.Background(), creds, again, hex.EncodeToString(sum[:]), "cloudfront", e.region, at)
	return err == nil && serr == nil && time.Since(at).Abs() < 5*time.Minute && again.Header.Get("Authorization") == r.Header.Get("Authorization")
}

// paths returns those of all invalidations so far.
func (e *edge) paths() (all []string) {
	for _, i := range e.purge {
		all = append(all, i.paths...)
	}
	return all
}

func (e *edge) finish() {
	for i := range e.purge {
		e.purge[i].done = true
	}
}

// newEdge returns a Provider whose requests all go to the edge.
func newEdge(t *testing.T, change ...func(*s3cdn.Options)) (*edge, *s3cdn.Provider) {
	t.Helper()
	e := &edge{host: "cloudfront.amazonaws.com", region: "us-east-1"}
	o := s3cdn.Options{
		Bucket: testBucket, Region: testRegion, AccessKeyID: testID, SecretAccessKey: testSecret,
		PublicURL: "https://cdn.example.com", CloudFrontDistribution: testDistribution, HTTPClient: &http.Client{Transport: e},
	}
	for _, f := range change {
		f(&o)
	}
	p, err := s3cdn.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e, p
}

func refsOf(keys ...string) (refs []cdn.Ref) {
	for _, k := range keys {
		refs = append(refs, cdn.Ref{Key: k})
	}
	return refs
}

func TestPurgePaths(t *testing.T) {
	for _, c := range []struct {
		url, prefix string
		keys, want  []string
	}{
		{"", "", []string{"a.png", "b/c d.png", "b/ü.png"}, []string{"/a.png", "/b/c%20d.png", "/b/%C3%BC.png"}},
		{"", "", []string{"a.png", "a.png"}, []string{"/a.png"}},
		{"", "", []string{"b/", "b/c/"}, []string{"/b/*", "/b/c/*"}},
		{"", "", []string{"/"}, []string{"/*"}},
		{"", "up/", []string{"/", "x/", "x"}, []string{"/up/*", "/up/x/*", "/up/x"}},
		{"/as sets/", "up/", []string{"x"}, []string{"/as%20sets/up/x"}},
		{"", "", []string{"a?b#c%d.png"}, []string{"/a%3Fb%23c%25d.png"}},
		{"", "", []string{"R&D (1).png"}, []string{"/R%26D%20%281%29.png", "/R&D%20(1).png"}},
		{"", "", []string{"a&b/"}, []string{"/a%26b/*", "/a&b/*"}},
		{"", "", []string{"a*"}, []string{"/a%2A"}}, // a star that is no wildcard
		{"", "", []string{"a*b"}, []string{"/a%2Ab", "/a*b"}},
	} {
		e, p := newEdge(t, func(o *s3cdn.Options) {
			o.PublicURL += strings.ReplaceAll(c.url, " ", "%20")
			o.Prefix = c.prefix
		})
		if err := p.Purge(t.Context(), refsOf(c.keys...)...); err != nil || !slices.Equal(e.paths(), c.want) {
			t.Errorf("Purge(%q) = %v, paths %q; want %q", c.keys, err, e.paths(), c.want)
		}
	}
	e, p := newEdge(t)
	for key, kind := range map[string]error{
		"": cdn.ErrKey, "a~b.png": cdn.ErrInvalid, "a~/": cdn.ErrInvalid, strings.Repeat("ü", 800): cdn.ErrKey,
	} {
		if err := p.Purge(t.Context(), refsOf("good", key)...); !errors.Is(err, kind) {
			t.Errorf("Purge(%.20q) = %v; want %v", key, err, kind)
		}
	}
	if got := e.paths(); got != nil {
		t.Errorf("refused calls have purged %q", got)
	}
}

func TestPurgeBatches(t *testing.T) {
	e, p := newEdge(t)
	var keys []string
	for i := range 3001 {
		keys = append(keys, fmt.Sprintf("k%d", i))
	}
	// The first 3000 are taken and in progress, so that the last has to wait.
	err := p.Purge(t.Context(), refsOf(keys...)...)
	if !errors.Is(err, cdn.ErrRateLimited) || len(e.purge) != 1 || len(e.purge[0].paths) != 3000 {
		t.Fatalf("Purge of 3001 = %v after %d requests; want one of 3000 and ErrRateLimited", err, len(e.purge))
	}
	if n, err := p.Purging(t.Context()); n != 1 || err != nil {
		t.Errorf("Purging = %d, %v; want 1", n, err)
	}
	e.finish()
	if n, err := p.Purging(t.Context()); n != 0 || err != nil {
		t.Errorf("Purging = %d, %v; want 0", n, err)
	}
	// Again, as the Uploader would: the same paths must not be taken for the old request.
	if err := p.Purge(t.Context(), refsOf(keys[:3000]...)...); err != nil || len(e.purge) != 2 {
		t.Errorf("the same Purge again = %v, %d invalidations; want another one", err, len(e.purge))
	}
	e.finish()
	var folders []string
	for i := range 16 {
		folders = append(folders, fmt.Sprintf("f%d/", i))
	}
	if err := p.Purge(t.Context(), refsOf(folders...)...); !errors.Is(err, cdn.ErrRateLimited) {
		t.Errorf("Purge of 16 folders = %v; want ErrRateLimited", err)
	}
	for range 250 {
		e.purge = append(e.purge, invalidation{})
	}
	if n, err := p.Purging(t.Context()); n != 250 || err != nil {
		t.Errorf("Purging over pages = %d, %v; want 250", n, err)
	}
}

func TestPurgeErrors(t *testing.T) {
	say := func(status int, text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("X-Amzn-Requestid", "CF-REQ-1")
			w.WriteHeader(status)
			io.WriteString(w, text)
			return true
		}
	}
	for _, c := range []struct {
		name   string
		change func(*s3cdn.Options)
		fault  func(http.ResponseWriter, *http.Request) bool
		kind   error
		status int
	}{
		{"no such distribution", func(o *s3cdn.Options) { o.CloudFrontDistribution = "E0" }, nil, cdn.ErrInvalid, 404},
		{"wrong secret", func(o *s3cdn.Options) { o.SecretAccessKey = "x" }, nil, cdn.ErrAuth, 403},
		{"html", nil, say(502, "<html>bad gateway"), cdn.ErrUnavailable, 502},
		{"throttled", nil, say(400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"), cdn.ErrRateLimited, 400},
		{"200 that says nothing", nil, say(200, ""), cdn.ErrUnavailable, 200},
		{"201 about something else", nil, say(201, "<Invalidation><Id>I1</Id></Invalidation>"), cdn.ErrUnavailable, 0},
		{"201 broken off", nil, say(201, "<Invalidation><Id>I1</Id><Invalid"), cdn.ErrUnavailable, 201},
		{"a redirect", nil, func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusTemporaryRedirect)
			return true
		}, cdn.ErrInvalid, 307},
	} {
		change := c.change
		if change == nil {
			change = func(*s3cdn.Options) {}
		}
		e, p := newEdge(t, change)
		e.fault = c.fault
		err := p.Purge(t.Context(), cdn.Ref{Key: "k"})
		oe, ok := errors.AsType[*cdn.OpError](err)
		if !ok || !errors.Is(err, c.kind) || oe.Status != c.status || oe.Op != "purge" || oe.Key != "k" {
			t.Errorf("%s: Purge = %v; want %v with status %d", c.name, err, c.kind, c.status)
			continue
		}
		if strings.Contains(err.Error(), "Canonical") || strings.Contains(err.Error(), "tok") {
			t.Errorf("%s: the error repeats the request: %v", c.name, err)
		}
	}
	_, p := newEdge(t, func(o *s3cdn.Options) { o.CloudFrontDistribution = "" })
	for _, err := range []error{p.Purge(t.Context()), p.Purge(t.Context(), cdn.Ref{Key: "k"})} {
		if !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, cdn.ErrInvalid) {
			t.Errorf("Purge without a distribution = %v; want ErrInvalid and errors.ErrUnsupported", err)
		}
	}
	if _, err := p.Purging(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Purging without a distribution = %v", err)
	}
	if _, err := cdn.New(p, cdn.Options{Purge: true}); !errors.Is(err, cdn.ErrOptions) {
		t.Errorf("cdn.New with Purge without a distribution = %v; want ErrOptions", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e, p := newEdge(t)
	if err := p.Purge(ctx, cdn.Ref{Key: "k"}); !errors.Is(err, context.Canceled) || e.paths() != nil {
		t.Errorf("Purge with a cancelled context = %v; want context.Canceled", err)
	}
	for _, o := range []s3cdn.Options{
		{CloudFrontDistribution: testDistribution}, // no PublicURL
		{CloudFrontDistribution: "../E1", PublicURL: "https://cdn.example.com"},
	} {
		o.Bucket, o.Region, o.AccessKeyID, o.SecretAccessKey = "b", "r", "i", "s"
		if _, err := s3cdn.New(o); !errors.Is(err, cdn.ErrOptions) || !strings.Contains(err.Error(), "CloudFrontDistribution") {
			t.Errorf("New(%q, %q) = %v; want ErrOptions", o.CloudFrontDistribution, o.PublicURL, err)
		}
	}
}

// TestPurgeChina: the partition has an API of its own.
func TestPurgeChina(t *testing.T) {
	e, p := newEdge(t, func(o *s3cdn.Options) { o.Region = "cn-north-1" })
	e.host, e.region = "cloudfront.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"
	if err := p.Purge(t.Context(), cdn.Ref{Key: "k"}); err != nil || len(e.paths()) != 1 {
		t.Errorf("Purge = %v, paths %q", err, e.paths())
	}
}
