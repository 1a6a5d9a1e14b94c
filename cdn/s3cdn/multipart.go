package s3cdn

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// An upload ID is S3's own after one of these marks. They tell, even to a later
// process, whether the parts of the upload carry checksums: S3 wants all or none.
const (
	markCRC   = "c."
	markPlain = "p."
)

// PartLimits returns S3's limits: parts of 5 MiB to 5 GiB, at most 10,000, in any
// order. R2 wants equal parts besides, which the uploader sends.
func (p *Provider) PartLimits() cdn.PartLimits {
	return cdn.PartLimits{MinSize: 5 << 20, MaxSize: 5 << 30, MaxParts: 10_000}
}

// Begin opens a multipart upload, which costs money until it is completed or
// aborted; see Sweep. The ID is valid for every Provider of the same bucket.
func (p *Provider) Begin(ctx context.Context, obj cdn.Object) (string, error) {
	const op = "begin"
	if err := p.check(op, obj, 0); err != nil {
		return "", err
	}
	meta, err := encodeMeta(obj.Metadata)
	if err != nil {
		return "", p.refuse(op, obj.Key, cdn.ErrInvalid, err)
	}
	in := &s3.CreateMultipartUploadInput{
		Bucket:             &p.opts.Bucket,
		Key:                p.name(obj.Key),
		ContentType:        optional(obj.ContentType),
		CacheControl:       optional(obj.CacheControl),
		ContentDisposition: optional(obj.Disposition),
		Metadata:           meta,
	}
	mark := markPlain
	if !p.plain.Load() {
		mark = markCRC
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
	}
	out, err := p.client.CreateMultipartUpload(ctx, in)
	if refusesChecksum(err) && mark == markCRC {
		mark, in.ChecksumAlgorithm = markPlain, ""
		second, err2 := p.client.CreateMultipartUpload(ctx, in)
		if err2 == nil {
			p.plain.Store(true)
			out, err = second, nil
		}
	}
	if err != nil {
		return "", p.fail(ctx, op, obj.Key, err)
	}
	if aws.ToString(out.UploadId) == "" {
		return "", p.refuse(op, obj.Key, cdn.ErrUnavailable, errors.New("the reply names no upload"))
	}
	return mark + *out.UploadId, nil
}

// upload splits an upload ID.
func (p *Provider) upload(op, key, id string) (raw string, crc bool, err error) {
	if raw, ok := strings.CutPrefix(id, markCRC); ok && raw != "" {
		return raw, true, nil
	}
	if raw, ok := strings.CutPrefix(id, markPlain); ok && raw != "" {
		return raw, false, nil
	}
	return "", false, p.refuse(op, key, cdn.ErrInvalid, errors.New("not an upload of this provider"))
}

// PutPart stores one part by one UploadPart request. PartInfo.CRC32C is the part's
// checksum, which S3 has compared with what it received. When part.CRC32C is 0 it
// is computed by reading the body once more. The body is not read any more when
// PutPart has returned.
func (p *Provider) PutPart(ctx context.Context, obj cdn.Object, uploadID string, part cdn.Part, r io.ReaderAt) (cdn.PartInfo, error) {
	const op = "part"
	raw, crc, err := p.upload(op, obj.Key, uploadID)
	if err != nil {
		return cdn.PartInfo{}, err
	}
	if part.Number < 1 || part.Number > 10_000 {
		return cdn.PartInfo{}, p.refuse(op, obj.Key, cdn.ErrTooLarge, fmt.Errorf("part number %d is not in 1 to 10000", part.Number))
	}
	in := &s3.UploadPartInput{
		Bucket:        &p.opts.Bucket,
		Key:           p.name(obj.Key),
		UploadId:      &raw,
		PartNumber:    aws.Int32(int32(part.Number)),
		ContentLength: aws.Int64(part.Size),
	}
	info := cdn.PartInfo{Number: part.Number, Size: part.Size}
	if crc {
		info.CRC32C = part.CRC32C
		if info.CRC32C == 0 {
			if info.CRC32C, err = httpcall.Checksum(r, part.Size); err != nil {
				return cdn.PartInfo{}, p.fail(ctx, op, obj.Key, err)
			}
		}
		in.ChecksumCRC32C = aws.String(encodeCRC(info.CRC32C))
	}
	out, err := p.sendPart(ctx, in, part, r)
	if crc && refusesChecksum(err) { // taken by Begin, refused here
		sent := in.ChecksumCRC32C
		in.ChecksumCRC32C = nil
		second, err2 := p.sendPart(ctx, in, part, r)
		if err2 == nil {
			p.plain.Store(true)
			out, err, info.CRC32C = second, nil, 0
		} else {
			in.ChecksumCRC32C = sent
		}
	}
	if err != nil {
		return cdn.PartInfo{}, p.fail(ctx, op, obj.Key, err)
	}
	if info.ETag = aws.ToString(out.ETag); info.ETag == "" {
		return cdn.PartInfo{}, p.refuse(op, obj.Key, cdn.ErrUnavailable, errors.New("the reply confirms no part"))
	}
	if got := aws.ToString(out.ChecksumCRC32C); got != "" && in.ChecksumCRC32C != nil && got != *in.ChecksumCRC32C {
		return cdn.PartInfo{}, p.refuse(op, obj.Key, cdn.ErrChecksum, errors.New("the reply names another checksum"))
	}
	return info, nil
}

// sendPart makes one UploadPart request. Without a checksum header the body is
// checked here.
func (p *Provider) sendPart(ctx context.Context, in *s3.UploadPartInput, part cdn.Part, r io.ReaderAt) (*s3.UploadPartOutput, error) {
	var want *uint32
	if in.ChecksumCRC32C == nil {
		want = httpcall.PartCRC(part)
	}
	b := httpcall.NewBody(r, part.Size, nil, want)
	out, err := p.uploadPart(ctx, in, b)
	return out, errors.Join(err, b.Release())
}

// Parts lists the parts that S3 holds of an upload. Some servers cannot; the error
// then matches [cdn.ErrInvalid] and errors.ErrUnsupported. An unknown upload matches [cdn.ErrNotFound].
func (p *Provider) Parts(ctx context.Context, obj cdn.Object, uploadID string) ([]cdn.PartInfo, error) {
	const op = "parts"
	raw, crc, err := p.upload(op, obj.Key, uploadID)
	if err != nil {
		return nil, err
	}
	pages := s3.NewListPartsPaginator(p.client, &s3.ListPartsInput{
		Bucket: &p.opts.Bucket, Key: p.name(obj.Key), UploadId: &raw,
	}, func(o *s3.ListPartsPaginatorOptions) { o.StopOnDuplicateToken = true })
	var parts []cdn.PartInfo
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, p.unsupported(p.fail(ctx, op, obj.Key, err))
		}
		for _, v := range page.Parts {
			info := cdn.PartInfo{Number: int(aws.ToInt32(v.PartNumber)), Size: aws.ToInt64(v.Size), ETag: aws.ToString(v.ETag)}
			if crc {
				// A part whose checksum is not told must be sent again.
				var ok bool
				if info.CRC32C, ok = decodeCRC(aws.ToString(v.ChecksumCRC32C)); !ok {
					continue
				}
			}
			parts = append(parts, info)
		}
	}
	return parts, nil
}

// unsupported marks the refusal of a server that does not have the call at all.
func (p *Provider) unsupported(err error) error {
	oe, ok := errors.AsType[*cdn.OpError](err)
	if ok && (oe.Status == http.StatusMethodNotAllowed || oe.Status == http.StatusNotImplemented) {
		oe.Kind, oe.Err = cdn.ErrInvalid, errors.ErrUnsupported
	}
	return err
}

// Complete joins the parts. A reply with status 200 that carries an error, breaks
// off or names no ETag is a failure. When S3 does not know the upload any more, as
// after a Complete whose reply was lost, it succeeds if the object is there with
// the ETag that these very parts make. Info.Verified is set when the reply repeats
// the checksum over all parts.
func (p *Provider) Complete(ctx context.Context, obj cdn.Object, uploadID string, parts []cdn.PartInfo) (cdn.Info, error) {
	const op = "complete"
	raw, crc, err := p.upload(op, obj.Key, uploadID)
	if err != nil {
		return cdn.Info{}, err
	}
	// Parts of which none has a checksum were sent to a server that refused them.
	summed := crc && (!p.plain.Load() || slices.ContainsFunc(parts, func(v cdn.PartInfo) bool { return v.CRC32C != 0 }))
	done := make([]types.CompletedPart, len(parts))
	info := infoOf(obj)
	info.Size = 0
	for i, part := range parts {
		done[i] = types.CompletedPart{PartNumber: aws.Int32(int32(part.Number)), ETag: aws.String(part.ETag)}
		if summed {
			done[i].ChecksumCRC32C = aws.String(encodeCRC(part.CRC32C))
		}
		info.Size += part.Size
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &p.opts.Bucket, Key: p.name(obj.Key), UploadId: &raw,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
	}
	if obj.CreateOnly {
		in.IfNoneMatch = aws.String("*")
	}
	out, err := p.client.CompleteMultipartUpload(ctx, in)
	if err != nil {
		err = p.fail(ctx, op, obj.Key, err)
		if errors.Is(err, cdn.ErrNotFound) {
			return p.completed(ctx, obj, info, parts, err)
		}
		return cdn.Info{}, err
	}
	if info.ETag = aws.ToString(out.ETag); info.ETag == "" {
		return cdn.Info{}, p.refuse(op, obj.Key, cdn.ErrUnavailable, errors.New("the reply confirms no object"))
	}
	info.Verified = summed && aws.ToString(out.ChecksumCRC32C) == compositeCRC(parts)
	return info, nil
}

// completed looks whether an unknown upload was completed before.
func (p *Provider) completed(ctx context.Context, obj cdn.Object, info cdn.Info, parts []cdn.PartInfo, unknown error) (cdn.Info, error) {
	want, ok := compositeETag(parts)
	if !ok {
		return cdn.Info{}, unknown
	}
	have, err := p.Head(ctx, cdn.Ref{Key: obj.Key})
	if err != nil || have.Size != info.Size || strings.Trim(have.ETag, `"`) != want {
		return cdn.Info{}, unknown
	}
	info.ETag, info.ModTime, info.Verified = have.ETag, have.ModTime, true
	return info, nil
}

// compositeETag is the ETag of a multipart object whose parts have MD5 as theirs.
func compositeETag(parts []cdn.PartInfo) (string, bool) {
	h := md5.New()
	for _, part := range parts {
		b, err := hex.DecodeString(strings.Trim(part.ETag, `"`))
		if err != nil || len(b) != md5.Size {
			return "", false
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts)), true
}

// Abort forgets the upload and frees its parts.
func (p *Provider) Abort(ctx context.Context, obj cdn.Object, uploadID string) error {
	raw, _, err := p.upload("abort", obj.Key, uploadID)
	if err != nil {
		return err
	}
	return p.abort(ctx, obj.Key, raw)
}

func (p *Provider) abort(ctx context.Context, key, raw string) error {
	_, err := p.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &p.opts.Bucket, Key: p.name(key), UploadId: &raw,
	})
	err = p.fail(ctx, "abort", key, err)
	if errors.Is(err, cdn.ErrNotFound) {
		return nil
	}
	return err
}

// Sweep aborts the multipart uploads under Options.Prefix that were begun more
// than age ago, and returns how many. Uploads that are still wanted, by any process
// that shares the prefix, must be younger. It goes on after a failed abort and
// returns all errors joined.
func (p *Provider) Sweep(ctx context.Context, age time.Duration) (int, error) {
	limit := time.Now().Add(-age)
	pages := s3.NewListMultipartUploadsPaginator(p.client, &s3.ListMultipartUploadsInput{
		Bucket: &p.opts.Bucket, Prefix: optional(p.opts.Prefix),
	})
	n := 0
	var errs []error
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return n, errors.Join(append(errs, p.fail(ctx, "sweep", "", err))...)
		}
		for _, u := range page.Uploads {
			key, ok := strings.CutPrefix(aws.ToString(u.Key), p.opts.Prefix)
			if !ok || u.Initiated == nil || !u.Initiated.Before(limit) {
				continue
			}
			if err := p.abort(ctx, key, aws.ToString(u.UploadId)); err != nil {
				errs = append(errs, err)
				continue
			}
			n++
		}
	}
	return n, errors.Join(errs...)
}
