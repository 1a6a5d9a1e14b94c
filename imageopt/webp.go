package imageopt

import (
	"bytes"
	"context"
	"errors"
	"image"
	"io"

	"github.com/perfblocks/perfblocks/imageopt/internal/vp8l"
	"golang.org/x/image/webp"
)

// decodeWebP decodes on a goroutine of its own, because the decoder reads everything
// before it computes and so cannot be stopped by its reader. When ctx ends it is left
// behind, with a copy of the file and with the memory still booked.
func (s *source) decodeWebP(ctx context.Context) (image.Image, error) {
	type result struct {
		img image.Image
		err error
	}
	done := make(chan result, 1)
	data := bytes.Clone(s.data) // the caller of Variants may change its own after it returns
	s.left.Go(func() {
		var r result
		r.err = guard(FormatWebP, func() (err error) {
			r.img, err = webp.Decode(ctxReader{ctx, bytes.NewReader(data)})
			return err
		})
		done <- r
	})
	select {
	case r := <-done:
		s.left.Wait()
		return r.img, r.err
	case <-ctx.Done():
		s.abandoned = true
		return nil, ctx.Err()
	}
}

// release gives memory back once nobody uses it.
func (s *source) release(give func()) {
	if !s.abandoned {
		give()
		return
	}
	go func() {
		s.left.Wait()
		give()
	}()
}

// encodeWebP writes lossless WebP.
func encodeWebP(ctx context.Context, w io.Writer, p picture) error {
	m := p.nrgba()
	if max(m.Rect.Dx(), m.Rect.Dy()) > vp8l.MaxSide {
		return errors.New("too large for WebP")
	}
	data, err := vp8l.Encode(ctx, m.Pix, m.Rect.Dx(), m.Rect.Dy())
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}
