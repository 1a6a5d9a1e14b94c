package s3cdn

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

const (
	maxPurge     = 3000 // paths of one invalidation
	maxPurgePath = 4000 // bytes of one path
)

// Purge makes the distribution of Options.CloudFrontDistribution forget the objects, by
// one CreateInvalidation request for each 3000 paths; without a distribution it fails
// with an error matching [cdn.ErrInvalid] and errors.ErrUnsupported. CloudFront takes
// single paths for 3000 objects at once, and 15 folders, and refuses more with
// [cdn.ErrRateLimited] until those are done, see [Provider.Purging]. When a request
// fails, those before it were accepted.
//
// A path stands for the object without a query string. CloudFront knows no ~ in paths:
// such keys are [cdn.ErrInvalid], and only a folder above can be purged. Keys with one of
// !*'():;@&=+$, make two paths, since it is not defined how those are to be written.
func (p *Provider) Purge(ctx context.Context, refs ...cdn.Ref) error {
	const op = "purge"
	if p.cloudFront == nil {
		key := ""
		if len(refs) > 0 {
			key = refs[0].Key
		}
		return p.refuse(op, key, cdn.ErrInvalid, fmt.Errorf("no CloudFrontDistribution is set: %w", errors.ErrUnsupported))
	}
	paths, err := p.purgePaths(refs)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(paths, maxPurge) {
		if err := p.invalidate(ctx, op, refs[0].Key, batch); err != nil {
			return err
		}
	}
	return nil
}

// purgePaths is the paths of all refs, each once.
func (p *Provider) purgePaths(refs []cdn.Ref) ([]string, error) {
	var paths []string
	seen := make(map[string]bool, len(refs))
	for _, ref := range refs {
		key, folder := strings.CutSuffix(ref.Key, "/")
		name := p.opts.Prefix + ref.Key
		if folder && key == "" { // "/": all there are
			name = p.opts.Prefix
		}
		switch {
		case key == "" && !folder:
			return nil, p.refuse("purge", ref.Key, cdn.ErrKey, errors.New("the key is empty"))
		case strings.Contains(p.cloudFront.base+name, "~"):
			return nil, p.refuse("purge", ref.Key, cdn.ErrInvalid, errors.New("CloudFront knows no ~ in paths to purge"))
		}
		for _, path := range spellings(name, folder) {
			path = p.cloudFront.base + "/" + path
			if len(path) > maxPurgePath {
				return nil, p.refuse("purge", ref.Key, cdn.ErrKey, fmt.Errorf("a path of %d bytes, over %d", len(path), maxPurgePath))
			}
			if !seen[path] {
				seen[path] = true
				paths = append(paths, path)
			}
		}
	}
	return paths, nil
}

// spellings is how a name may stand in a path: as URL writes it, by which browsers
// fetch it, and as CloudFront's manual wants it, with fewer characters escaped. A star
// at the end is a wildcard there, so that it stays escaped.
func spellings(name string, folder bool) []string {
	escaped, manual := httpcall.EscapePath(name), httpcall.Escape(name, "-_./!*'():;@&=+$,")
	switch {
	case folder && escaped == manual:
		return []string{escaped + "*"}
	case folder:
		return []string{escaped + "*", manual + "*"}
	case escaped == manual, strings.HasSuffix(manual, "*"):
		return []string{escaped}
	}
	return []string{escaped, manual}
}

// cloudFront sends requests to the API of CloudFront.
type cloudFront struct {
	api    httpcall.API
	url    string // of the distribution's invalidations
	region string // that signs them
	base   string // path of the public URL, escaped, without trailing slash
	creds  aws.CredentialsProvider
	signer *v4.Signer
}

// newCloudFront returns nil without a distribution.
func newCloudFront(o *Options, set settings, cfg aws.Config, client *http.Client) *cloudFront {
	if o.CloudFrontDistribution == "" {
		return nil
	}
	host, region := "cloudfront.amazonaws.com", "us-east-1" // one for all regions of a partition
	if strings.HasPrefix(cfg.Region, "cn-") {
		host, region = "cloudfront.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"
	}
	base := ""
	if u, err := url.Parse(set.publicURL); err == nil {
		base = u.EscapedPath()
	}
	return &cloudFront{
		api: httpcall.API{
			Name: o.Name, Service: "CloudFront", RequestID: "X-Amzn-Requestid", Client: client,
			Refuse: cloudFrontRefusal, Redact: withoutCanonical,
		},
		url:    "https://" + host + "/2020-05-31/distribution/" + o.CloudFrontDistribution + "/invalidation",
		region: region, base: base, creds: aws.NewCredentialsCache(cfg.Credentials), signer: v4.NewSigner(),
	}
}

// invalidationBatch is the body of a CreateInvalidation, and a part of its reply.
type invalidationBatch struct {
	XMLName xml.Name `xml:"http://cloudfront.amazonaws.com/doc/2020-05-31/ InvalidationBatch"`
	Paths   struct {
		Quantity int
		Items    struct{ Path []string }
	}
	CallerReference string
}

// invalidate asks for one invalidation. Its reference is new each time: under an old one
// CloudFront would do nothing, though the content may have changed once more.
func (p *Provider) invalidate(ctx context.Context, op, key string, paths []string) error {
	var in invalidationBatch
	in.Paths.Quantity, in.Paths.Items.Path, in.CallerReference = len(paths), paths, rand.Text()
	text, err := xml.Marshal(in)
	if err != nil {
		return p.refuse(op, key, cdn.ErrInvalid, err)
	}
	var out struct {
		XMLName   xml.Name `xml:"Invalidation"`
		ID        string   `xml:"Id"`
		Reference string   `xml:"InvalidationBatch>CallerReference"`
	}
	c := httpcall.Call{API: &p.cloudFront.api, Ctx: ctx, Op: op, Key: key}
	if err := p.cloudFrontCall(c, http.MethodPost, "", append([]byte(xml.Header), text...), &out); err != nil {
		return err
	}
	if out.ID == "" || out.Reference != in.CallerReference {
		return c.Fail(cdn.ErrUnavailable, errors.New("the reply is about another invalidation"))
	}
	return nil
}

// Purging is how many purges of the distribution, by anybody, CloudFront has accepted and
// not carried out yet, by a ListInvalidations request or a few; 0 means that all edges
// have forgotten. Its errors are those of Purge.
func (p *Provider) Purging(ctx context.Context) (int, error) {
	const op = "purging"
	if p.cloudFront == nil {
		return 0, p.refuse(op, "", cdn.ErrInvalid, fmt.Errorf("no CloudFrontDistribution is set: %w", errors.ErrUnsupported))
	}
	n := 0
	c := httpcall.Call{API: &p.cloudFront.api, Ctx: ctx, Op: op}
	for marker := ""; ; {
		var out struct {
			XMLName xml.Name `xml:"InvalidationList"`
			Next    string   `xml:"NextMarker"`
			Status  []string `xml:"Items>InvalidationSummary>Status"`
		}
		query := url.Values{"MaxItems": {"100"}}
		if marker != "" {
			query.Set("Marker", marker)
		}
		if err := p.cloudFrontCall(c, http.MethodGet, query.Encode(), nil, &out); err != nil {
			return 0, err
		}
		busy := 0
		for _, s := range out.Status {
			if s != "Completed" {
				busy++
			}
		}
		// The list begins with the latest: behind a page that is done all are.
		if n += busy; busy == 0 || out.Next == "" || out.Next == marker {
			return n, nil
		}
		marker = out.Next
	}
}

// cloudFrontCall signs and sends one request and decodes its reply into v.
func (p *Provider) cloudFrontCall(c httpcall.Call, method, query string, body []byte, v any) error {
	cf := p.cloudFront
	req, err := http.NewRequestWithContext(c.Ctx, method, cf.url, bytes.NewReader(body))
	if err != nil {
		return c.Fail(cdn.ErrInvalid, errors.New("the API's URL is malformed"))
	}
	req.URL.RawQuery = query
	if body != nil {
		req.Header.Set("Content-Type", "application/xml")
	}
	creds, err := cf.creds.Retrieve(c.Ctx)
	if err != nil {
		return p.fail(c.Ctx, c.Op, c.Key, err)
	}
	sum := sha256.Sum256(body)
	now := time.Now().Add(time.Duration(p.skew.Load()))
	if err := cf.signer.SignHTTP(c.Ctx, creds, req, hex.EncodeToString(sum[:]), "cloudfront", cf.region, now.UTC()); err != nil {
		return p.fail(c.Ctx, c.Op, c.Key, err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20)) // it repeats the paths
	if err != nil {
		return c.Lost(err)
	}
	if err := xml.Unmarshal(text, v); err != nil {
		e := c.Fail(cdn.ErrUnavailable, errors.New("the reply is not CloudFront's"))
		e.Status, e.RequestID = resp.StatusCode, httpcall.Clip(resp.Header.Get(c.RequestID), 128)
		return e
	}
	return nil
}

// cloudFrontRefusal reads a reply that is not 2xx.
func cloudFrontRefusal(h http.Header, status int, text []byte) httpcall.Refusal {
	var said struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Code    string   `xml:"Error>Code"`
		Message string   `xml:"Error>Message"`
	}
	r := httpcall.Refusal{Kind: httpcall.KindOfStatus(status), Wait: httpcall.RetryAfter(h.Get("Retry-After"))}
	if xml.Unmarshal(text, &said) != nil {
		return r
	}
	r.Code, r.Message = said.Code, said.Message
	switch said.Code {
	case "TooManyInvalidationsInProgress", "Throttling", "ThrottlingException", "RequestLimitExceeded":
		r.Kind = cdn.ErrRateLimited
	case "NoSuchDistribution", "BatchTooLarge", "InvalidationBatchAlreadyExists":
		r.Kind = cdn.ErrInvalid // and not about an object
	}
	return r
}

// withoutCanonical drops what a refused signature's message repeats of the request, the
// session token among it.
func withoutCanonical(msg string) string {
	msg, _, _ = strings.Cut(msg, "The Canonical String")
	return strings.TrimSpace(msg)
}
