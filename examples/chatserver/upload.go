package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/imageopt"
)

const (
	maxUpload   = 12 << 20 // bytes of an image
	maxOverhead = 64 << 10 // bytes of the form around it
)

// uploadWidths are the stored sizes in pixels, where the image is as wide; the first
// is the largest that is kept of any image.
var uploadWidths = []int{2560, 1280, 640, 320}

// uploaded is the reply of POST /api/upload.
type uploaded struct {
	Key          string    `json:"key"`
	URL          string    `json:"url"`
	Width        int       `json:"width"`
	Height       int       `json:"height"`
	Bytes        int64     `json:"bytes"`
	Type         string    `json:"type"`
	SrcSet       string    `json:"srcset"`
	Variants     []variant `json:"variants"`
	Placeholder  string    `json:"placeholder"`
	Fallback     bool      `json:"fallback"` // some of it is stored here until the CDN is back
	Cause        string    `json:"cause,omitempty"`
	SavedPercent int       `json:"savedPercent"` // of the bytes sent, by the variant for a page
}

// variant is one stored size of an image.
type variant struct {
	Key      string `json:"key"`
	URL      string `json:"url"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
	Bytes    int64  `json:"bytes"`
	Fallback bool   `json:"fallback"`
}

// postUpload takes one image, makes its variants, and stores them at the CDN, or
// locally while the CDN is down.
func (a *app) postUpload(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	// The whole image is held in memory: a fair place in line for that much.
	need := int64(maxUpload)
	if r.ContentLength > maxUpload+maxOverhead {
		return fault(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("an image may have %d bytes", maxUpload), nil)
	} else if r.ContentLength >= 0 {
		need = max(r.ContentLength, 1)
	}
	release, err := a.uploads.Acquire(ctx, need)
	if err != nil {
		return err
	}
	defer release()
	name, src, err := readImage(w, r)
	if err != nil {
		return err
	}
	up, err := a.storeImage(ctx, name, src)
	return reply(w, up, err)
}

// readImage reads the form's one file, which must be called "file".
func readImage(w http.ResponseWriter, r *http.Request) (name string, src []byte, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload+maxOverhead)
	form, err := r.MultipartReader()
	if err != nil {
		return "", nil, fault(http.StatusUnsupportedMediaType, "unsupported_type", "send multipart/form-data with the image in the field file", err)
	}
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			return "", nil, invalid("the form has no field file")
		}
		if err != nil {
			return "", nil, badBody(err)
		}
		if part.FormName() != "file" {
			continue
		}
		src, err := io.ReadAll(io.LimitReader(part, maxUpload+1))
		if err != nil {
			return "", nil, badBody(err)
		}
		if len(src) > maxUpload {
			return "", nil, fault(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("an image may have %d bytes", maxUpload), nil)
		}
		return part.FileName(), src, nil
	}
}

// badBody is a body that broke off, is malformed or too long.
func badBody(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("an image may have %d bytes", maxUpload), err)
	}
	return fault(http.StatusBadRequest, "bad_body", "the body ended early or is not multipart/form-data", err)
}

func (a *app) storeImage(ctx context.Context, name string, src []byte) (uploaded, error) {
	items, err := a.makeVariants(ctx, name, src)
	if err != nil {
		return uploaded{}, err
	}
	holder, err := a.images.Placeholder(ctx, src, imageopt.PlaceholderThumbHash)
	if err != nil {
		return uploaded{}, err
	}
	up := uploaded{Placeholder: holder.Value, Variants: make([]variant, len(items))}
	batch := make([]cdn.Item, len(items))
	for i, it := range items {
		batch[i] = cdn.Item{Name: it.name, Body: bytes.NewReader(it.data), Options: cdn.UploadOptions{Folder: "uploads"}}
	}
	var errs []error
	for b, err := range a.uploader.UploadBatch(ctx, slices.Values(batch), cdn.BatchOptions{}) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		res, it := b.Result, items[b.Index]
		up.Variants[b.Index] = variant{Key: res.Key, URL: res.URL, Width: it.width, Height: it.height, Bytes: res.Size, Fallback: res.Fallback != nil}
		if res.Fallback != nil {
			up.Fallback, up.Cause = true, "the CDN is not available; stored here and moved there later"
		}
		if b.Index == 0 {
			up.Key, up.URL, up.Width, up.Height, up.Bytes, up.Type = res.Key, res.URL, it.width, it.height, res.Size, res.ContentType
		}
	}
	if err := errors.Join(errs...); err != nil {
		return uploaded{}, err
	}
	up.SrcSet = srcset(up.Variants)
	small := up.Variants[len(up.Variants)-1]
	for _, v := range up.Variants {
		if v.Width <= 640 && v.Width > small.Width || small.Width > 640 {
			small = v
		}
	}
	up.SavedPercent = int(100 - 100*small.Bytes/max(int64(len(src)), 1))
	return up, nil
}

// made is a variant on its way to the CDN.
type made struct {
	name          string
	data          []byte
	width, height int
}

// makeVariants decodes src once and makes the sizes, upright and without metadata,
// the largest first.
func (a *app) makeVariants(ctx context.Context, name string, src []byte) ([]made, error) {
	info, err := a.images.Inspect(bytes.NewReader(src))
	if err != nil {
		return nil, err
	}
	specs := []imageopt.Spec{{Width: min(info.Width, uploadWidths[0]), Quality: 85}}
	for _, w := range uploadWidths[1:] {
		if w < info.Width && !a.cfg.off["imageopt"] {
			specs = append(specs, imageopt.Spec{Width: w})
		}
	}
	out := make([]made, len(specs))
	base := strings.TrimSuffix(name, name[strings.LastIndexByte("."+name, '.'):])
	for v, err := range a.images.Variants(ctx, src, specs) {
		if err != nil {
			return nil, err
		}
		res := v.Result
		out[v.Index] = made{fmt.Sprintf("%s-%d%s", base, res.Width, res.Format.Ext()), v.Data, res.Width, res.Height}
	}
	return out, nil
}

func srcset(vs []variant) string {
	vs = slices.Clone(vs)
	slices.SortFunc(vs, func(a, b variant) int { return a.Width - b.Width })
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = fmt.Sprintf("%s %dw", v.URL, v.Width)
	}
	return strings.Join(parts, ", ")
}
