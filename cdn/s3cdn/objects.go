package s3cdn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// maxKey is S3's limit of a key's length in bytes, maxPut that of one PUT or copy.
const (
	maxKey = 1024
	maxPut = 5 << 30
)

// Put stores body with one PutObject request, and a second one only when the
// server refuses checksum headers for the first time. Info.Verified is set when the
// reply repeats the CRC32C of the body. CreateOnly is the header If-None-Match: *,
// which weak servers ignore. Over 5 GiB it fails with [cdn.ErrTooLarge]: use parts.
// The body is not read any more when Put has returned.
func (p *Provider) Put(ctx context.Context, obj cdn.Object, r io.ReaderAt) (cdn.Info, error) {
	const op = "put"
	if err := p.check(op, obj, obj.Size); err != nil {
		return cdn.Info{}, err
	}
	sum, err := obj.CRC32C, error(nil)
	if !obj.HasCRC32C && !p.plain.Load() {
		if sum, err = httpcall.Checksum(r, obj.Size); err != nil {
			return cdn.Info{}, p.fail(ctx, op, obj.Key, err)
		}
	}
	meta, err := encodeMeta(obj.Metadata)
	if err != nil {
		return cdn.Info{}, p.refuse(op, obj.Key, cdn.ErrInvalid, err)
	}
	in := &s3.PutObjectInput{
		Bucket:             &p.opts.Bucket,
		Key:                p.name(obj.Key),
		ContentLength:      aws.Int64(obj.Size),
		ContentType:        optional(obj.ContentType),
		CacheControl:       optional(obj.CacheControl),
		ContentDisposition: optional(obj.Disposition),
		Metadata:           meta,
	}
	if obj.CreateOnly {
		in.IfNoneMatch = aws.String("*")
	}
	var out *s3.PutObjectOutput
	err = p.withChecksum(sum, &in.ChecksumCRC32C, func() error {
		var want *uint32 // checked here, when no server does
		if obj.HasCRC32C && in.ChecksumCRC32C == nil {
			want = &sum
		}
		b := httpcall.NewBody(r, obj.Size, nil, want)
		var err error
		out, err = p.putObject(ctx, in, b, obj.SHA256)
		return errors.Join(err, b.Release())
	})
	if err != nil {
		return cdn.Info{}, p.fail(ctx, op, obj.Key, err)
	}
	info := infoOf(obj)
	if info.ETag = aws.ToString(out.ETag); info.ETag == "" {
		return cdn.Info{}, p.refuse(op, obj.Key, cdn.ErrUnavailable, errors.New("the reply confirms no object"))
	}
	if got := aws.ToString(out.ChecksumCRC32C); got != "" && in.ChecksumCRC32C != nil {
		if got != *in.ChecksumCRC32C {
			return cdn.Info{}, p.refuse(op, obj.Key, cdn.ErrChecksum, errors.New("the reply names another checksum"))
		}
		info.Verified = true
	}
	return info, nil
}

// check refuses what S3 would refuse, before a byte is sent.
func (p *Provider) check(op string, obj cdn.Object, size int64) error {
	switch n := len(p.opts.Prefix) + len(obj.Key); {
	case obj.Key == "":
		return p.refuse(op, obj.Key, cdn.ErrKey, errors.New("the key is empty"))
	case n > maxKey:
		return p.refuse(op, obj.Key, cdn.ErrKey, fmt.Errorf("prefix and key have %d bytes, over %d", n, maxKey))
	case size < 0:
		return p.refuse(op, obj.Key, cdn.ErrInvalid, errors.New("the size is negative"))
	case size > maxPut:
		return p.refuse(op, obj.Key, cdn.ErrTooLarge, errors.New("over 5 GiB in one request"))
	case !obj.Transform.IsZero():
		return p.refuse(op, obj.Key, cdn.ErrInvalid, errors.New("transforming images is not supported"))
	case !headerValue(obj.ContentType) || !headerValue(obj.CacheControl) || !headerValue(obj.Disposition):
		return p.refuse(op, obj.Key, cdn.ErrInvalid, errors.New("a control character in a header"))
	}
	return nil
}

// withChecksum runs send with the checksum header set, unless this server is known
// to refuse it. When the server refuses a request in the way of one that does not
// know the header, it is sent once more without; success is remembered.
func (p *Provider) withChecksum(sum uint32, header **string, send func() error) error {
	if p.plain.Load() {
		return send()
	}
	*header = aws.String(encodeCRC(sum))
	err := send()
	if !refusesChecksum(err) {
		return err
	}
	*header = nil
	if send() != nil {
		return err
	}
	p.plain.Store(true)
	return nil
}

func refusesChecksum(err error) bool {
	if re, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok && re.HTTPStatusCode() == http.StatusNotImplemented { // maybe without a code
		return true
	}
	ae, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch ae.ErrorCode() {
	case "NotImplemented", "InvalidRequest", "InvalidArgument", "UnsupportedHeader", "MissingContentLength", "UnsupportedOperation":
		return true
	}
	return false
}

// Head describes the object by one HeadObject request. S3 tells no SHA-256, but the
// CRC32C of what was stored by one Put.
func (p *Provider) Head(ctx context.Context, ref cdn.Ref) (cdn.Info, error) {
	in := &s3.HeadObjectInput{Bucket: &p.opts.Bucket, Key: p.name(ref.Key)}
	if !p.plain.Load() {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := p.client.HeadObject(ctx, in)
	if err != nil {
		return cdn.Info{}, p.fail(ctx, "head", ref.Key, err)
	}
	info := cdn.Info{
		Ref:          cdn.Ref{Key: ref.Key},
		Size:         aws.ToInt64(out.ContentLength),
		ContentType:  aws.ToString(out.ContentType),
		CacheControl: aws.ToString(out.CacheControl),
		Disposition:  aws.ToString(out.ContentDisposition),
		Metadata:     decodeMeta(out.Metadata),
		ETag:         aws.ToString(out.ETag),
		ModTime:      aws.ToTime(out.LastModified),
	}
	// The checksum over parts, which ends in their number, is of another kind.
	info.CRC32C, info.HasCRC32C = decodeCRC(aws.ToString(out.ChecksumCRC32C))
	return info, nil
}

// Open reads a range of the object by one GetObject request. Info.Size is the size
// of the whole object. Where the server ignores ranges the bytes before offset are
// read and dropped. A reply that breaks off is an error of the reader that matches
// [cdn.ErrUnavailable].
func (p *Provider) Open(ctx context.Context, ref cdn.Ref, offset, length int64) (io.ReadCloser, cdn.Info, error) {
	const op = "open"
	if offset < 0 {
		return nil, cdn.Info{}, p.refuse(op, ref.Key, cdn.ErrInvalid, errors.New("the offset is negative"))
	}
	if length == 0 {
		info, err := p.Head(ctx, ref)
		return http.NoBody, info, err
	}
	in := &s3.GetObjectInput{Bucket: &p.opts.Bucket, Key: p.name(ref.Key), Range: optional(httpcall.ByteRange(offset, length))}
	out, err := p.client.GetObject(ctx, in)
	if err != nil {
		err = p.fail(ctx, op, ref.Key, err)
		if oe, ok := errors.AsType[*cdn.OpError](err); ok && oe.Status == http.StatusRequestedRangeNotSatisfiable {
			return p.openPastEnd(ctx, ref, offset, err)
		}
		return nil, cdn.Info{}, err
	}
	info := cdn.Info{
		Ref:          cdn.Ref{Key: ref.Key},
		Size:         aws.ToInt64(out.ContentLength),
		ContentType:  aws.ToString(out.ContentType),
		CacheControl: aws.ToString(out.CacheControl),
		Disposition:  aws.ToString(out.ContentDisposition),
		Metadata:     decodeMeta(out.Metadata),
		ETag:         aws.ToString(out.ETag),
		ModTime:      aws.ToTime(out.LastModified),
	}
	rc := &reader{p: p, ctx: ctx, key: ref.Key, body: out.Body}
	if in.Range == nil {
		return rc, info, nil
	}
	if got := aws.ToString(out.ContentRange); got != "" {
		n, total, ok := httpcall.RangeOf(got, offset, length)
		if !ok || out.ContentLength != nil && *out.ContentLength != n {
			_ = rc.Close()
			return nil, cdn.Info{}, p.refuse(op, ref.Key, cdn.ErrUnavailable, errors.New("the reply is another range"))
		}
		info.Size = total
		return rc, info, nil
	}
	if offset > info.Size {
		_ = rc.Close()
		return nil, cdn.Info{}, p.refuse(op, ref.Key, cdn.ErrInvalid, errors.New("the offset is past the end"))
	}
	if _, err := io.CopyN(io.Discard, rc, offset); err != nil {
		_ = rc.Close()
		return nil, cdn.Info{}, p.fail(ctx, op, ref.Key, err)
	}
	if length < 0 {
		return rc, info, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(rc, length), rc}, info, nil
}

// openPastEnd turns the refusal of a range that starts at the very end of the
// object into an empty reader, as a file would read.
func (p *Provider) openPastEnd(ctx context.Context, ref cdn.Ref, offset int64, refusal error) (io.ReadCloser, cdn.Info, error) {
	info, err := p.Head(ctx, ref)
	if err != nil {
		return nil, cdn.Info{}, err
	}
	if offset > info.Size {
		return nil, cdn.Info{}, refusal
	}
	return http.NoBody, info, nil
}

// Delete removes the object by one DeleteObject request. A missing object is no
// error; a missing bucket is.
func (p *Provider) Delete(ctx context.Context, ref cdn.Ref) error {
	_, err := p.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.opts.Bucket, Key: p.name(ref.Key)})
	err = p.fail(ctx, "delete", ref.Key, err)
	if errors.Is(err, cdn.ErrNotFound) {
		return nil
	}
	return err
}

// List yields the objects whose key starts with prefix, a thousand per request, in
// S3's order. Keys come without Options.Prefix. It ends after the first error.
func (p *Provider) List(ctx context.Context, prefix string) iter.Seq2[cdn.Info, error] {
	return func(yield func(cdn.Info, error) bool) {
		pages := s3.NewListObjectsV2Paginator(p.client, &s3.ListObjectsV2Input{
			Bucket: &p.opts.Bucket,
			Prefix: p.name(prefix),
		}, func(o *s3.ListObjectsV2PaginatorOptions) { o.StopOnDuplicateToken = true })
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(cdn.Info{}, p.fail(ctx, "list", prefix, err))
				return
			}
			for _, o := range page.Contents {
				key, ok := strings.CutPrefix(aws.ToString(o.Key), p.opts.Prefix)
				if !ok {
					continue
				}
				info := cdn.Info{
					Ref:     cdn.Ref{Key: key},
					Size:    aws.ToInt64(o.Size),
					ETag:    aws.ToString(o.ETag),
					ModTime: aws.ToTime(o.LastModified),
				}
				if !yield(info, nil) {
					return
				}
			}
		}
	}
}

// Copy makes one CopyObject request within the bucket, up to 5 GiB. A reply with
// status 200 that carries an error, or breaks off, is a failure.
func (p *Provider) Copy(ctx context.Context, from cdn.Ref, to cdn.Object) (cdn.Info, error) {
	const op = "copy"
	if err := p.check(op, to, 0); err != nil {
		return cdn.Info{}, err
	}
	meta, err := encodeMeta(to.Metadata)
	if err != nil {
		return cdn.Info{}, p.refuse(op, to.Key, cdn.ErrInvalid, err)
	}
	in := &s3.CopyObjectInput{
		Bucket:             &p.opts.Bucket,
		Key:                p.name(to.Key),
		CopySource:         aws.String(httpcall.EscapePath(p.opts.Bucket + "/" + p.opts.Prefix + from.Key)),
		MetadataDirective:  types.MetadataDirectiveReplace,
		ContentType:        optional(to.ContentType),
		CacheControl:       optional(to.CacheControl),
		ContentDisposition: optional(to.Disposition),
		Metadata:           meta,
	}
	if to.CreateOnly {
		in.IfNoneMatch = aws.String("*")
	}
	out, err := p.client.CopyObject(ctx, in)
	if err != nil {
		return cdn.Info{}, p.fail(ctx, op, to.Key, err)
	}
	if out.CopyObjectResult == nil || aws.ToString(out.CopyObjectResult.ETag) == "" {
		return cdn.Info{}, p.refuse(op, to.Key, cdn.ErrUnavailable, errors.New("the reply confirms no object"))
	}
	info := infoOf(to)
	info.ETag = aws.ToString(out.CopyObjectResult.ETag)
	info.ModTime = aws.ToTime(out.CopyObjectResult.LastModified)
	return info, nil
}

// reader is the body of a GetObject reply with this package's errors.
type reader struct {
	p    *Provider
	ctx  context.Context // of the call that opened it, which bounds its life
	key  string
	body io.ReadCloser
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	n, err := r.body.Read(b)
	if err == nil || err == io.EOF {
		return n, err
	}
	kind, cause := cdn.ErrUnavailable, stripURL(err)
	if r.ctx.Err() != nil {
		kind, cause = httpcall.Cancelled(r.ctx)
	}
	return n, r.p.refuse("open", r.key, kind, cause)
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.body.Close() }
