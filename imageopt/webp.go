package imageopt

import (
	"context"
	"errors"
	"io"

	"github.com/perfblocks/perfblocks/imageopt/internal/vp8l"
)

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
