package s3cdn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// direct sends content by requests that are made here and signed by the SDK's signer,
// with its credentials and its endpoint: the SDK's own way costs a small upload half as
// much again. It is nil where the SDK must do it.
type direct struct {
	client *http.Client
	bucket *url.URL
	creds  aws.CredentialsProvider
	region string
	signer *v4.Signer
}

// newDirect returns nil where requests are more than path, headers and a signature of
// version 4: directory buckets, access points, no credentials, or middleware of the
// caller's.
func newDirect(o *Options, cfg aws.Config, client *http.Client, bucket *url.URL) *direct {
	if strings.HasPrefix(o.Bucket, "arn:") || strings.HasSuffix(o.Bucket, "--x-s3") || strings.HasSuffix(o.Bucket, "-s3alias") ||
		len(cfg.APIOptions) > 0 || aws.IsCredentialsProvider(cfg.Credentials, (*aws.AnonymousCredentials)(nil)) {
		return nil
	}
	signer := v4.NewSigner(func(so *v4.SignerOptions) { so.DisableURIPathEscaping = true })
	return &direct{client: client, bucket: bucket, creds: aws.NewCredentialsCache(cfg.Credentials), region: cfg.Region, signer: signer}
}

// replyError is a reply of S3 that is not 2xx. It is a smithy.APIError as the SDK's are.
type replyError struct {
	status                   int
	code, message, requestID string
	wait                     time.Duration
}

func (e *replyError) HTTPStatusCode() int           { return e.status }
func (e *replyError) Error() string                 { return e.code + ": " + e.message }
func (e *replyError) ErrorCode() string             { return e.code }
func (e *replyError) ErrorMessage() string          { return e.message }
func (e *replyError) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }

// sendError is a request without a reply.
type sendError struct{ err error }

func (e *sendError) Error() string { return e.err.Error() }
func (e *sendError) Unwrap() error { return e.err }

// putObject is the SDK's PutObject, as far as Put fills the input in.
func (p *Provider) putObject(ctx context.Context, in *s3.PutObjectInput, b *httpcall.Body, sum [32]byte) (*s3.PutObjectOutput, error) {
	if p.direct == nil {
		in.Body = b
		return p.client.PutObject(ctx, in, p.payloadHash(sum))
	}
	h := make(http.Header, 12)
	set := func(name string, v *string) {
		if v != nil {
			h.Set(name, *v)
		}
	}
	set("Content-Type", in.ContentType)
	set("Cache-Control", in.CacheControl)
	set("Content-Disposition", in.ContentDisposition)
	set("If-None-Match", in.IfNoneMatch)
	set(crcHeader, in.ChecksumCRC32C)
	for k, v := range in.Metadata {
		h.Set("X-Amz-Meta-"+k, v)
	}
	got, err := p.put(ctx, *in.Key, "", h, b, sum)
	if err != nil {
		return nil, err
	}
	return &s3.PutObjectOutput{ETag: optional(got.Get("Etag")), ChecksumCRC32C: optional(got.Get(crcHeader))}, nil
}

// uploadPart is the SDK's UploadPart.
func (p *Provider) uploadPart(ctx context.Context, in *s3.UploadPartInput, b *httpcall.Body) (*s3.UploadPartOutput, error) {
	if p.direct == nil {
		in.Body = b
		return p.client.UploadPart(ctx, in)
	}
	h := make(http.Header, 8)
	if in.ChecksumCRC32C != nil {
		h.Set(crcHeader, *in.ChecksumCRC32C)
	}
	query := "partNumber=" + strconv.Itoa(int(*in.PartNumber)) + "&uploadId=" + url.QueryEscape(*in.UploadId)
	got, err := p.put(ctx, *in.Key, query, h, b, [32]byte{})
	if err != nil {
		return nil, err
	}
	return &s3.UploadPartOutput{ETag: optional(got.Get("Etag")), ChecksumCRC32C: optional(got.Get(crcHeader))}, nil
}

const crcHeader = "X-Amz-Checksum-Crc32c"

// put sends one request with content and returns the header of its reply.
func (p *Provider) put(ctx context.Context, name, query string, h http.Header, b *httpcall.Body, sum [32]byte) (http.Header, error) {
	d := p.direct
	payload := "UNSIGNED-PAYLOAD"
	if !p.https {
		var err error
		if payload, err = payloadSum(b, sum); err != nil {
			return nil, err
		}
	}
	h.Set("X-Amz-Content-Sha256", payload)
	u := *d.bucket
	u.Path = strings.TrimRight(u.Path, "/") + "/" + name
	u.RawPath, u.RawQuery = httpcall.EscapePath(u.Path), query
	req := (&http.Request{
		Method: http.MethodPut, URL: &u, Host: u.Host, Header: h, ContentLength: b.Size(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(b),
	}).WithContext(ctx)
	if b.Size() == 0 {
		req.Body = http.NoBody
	}
	creds, err := d.creds.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now().Add(time.Duration(p.skew.Load()))
	if err := d.signer.SignHTTP(ctx, creds, req, payload, "s3", d.region, now.UTC()); err != nil {
		return nil, err
	}
	h.Set("Accept-Encoding", "identity")
	h.Set("User-Agent", "perfblocks-cdn")
	if b.Size() >= 2<<20 {
		h.Set("Expect", "100-continue") // a refusal is then told before the content is sent
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, &sendError{err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // empty, unless it is an error
	if resp.StatusCode/100 != 2 || len(text) > 0 {             // a 200 that says something is an error too
		return nil, p.refusal(resp, text)
	}
	if err != nil {
		return nil, &sendError{err}
	}
	return resp.Header, nil
}

// payloadSum is the SHA-256 of the content in hex, by reading it if it is not known.
func payloadSum(b *httpcall.Body, sum [32]byte) (string, error) {
	if sum == ([32]byte{}) {
		h := sha256.New()
		if _, err := io.Copy(h, b); err != nil {
			return "", err
		}
		if _, err := b.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
		h.Sum(sum[:0])
	}
	return hex.EncodeToString(sum[:]), nil
}

// refusal reads an error of S3. When it is about the time, the server's is used from
// then on.
func (p *Provider) refusal(resp *http.Response, text []byte) error {
	var said struct {
		Code      string `xml:"Code"`
		Message   string `xml:"Message"`
		RequestID string `xml:"RequestId"`
	}
	e := &replyError{status: resp.StatusCode, wait: httpcall.RetryAfter(resp.Header.Get("Retry-After"))}
	if xml.Unmarshal(text, &said) == nil {
		e.code, e.message, e.requestID = said.Code, said.Message, said.RequestID
	}
	if id := resp.Header.Get("X-Amz-Request-Id"); id != "" {
		e.requestID = id
	}
	if e.code == "RequestTimeTooSkewed" {
		if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			p.skew.Store(int64(time.Until(date)))
		}
	}
	return e
}
