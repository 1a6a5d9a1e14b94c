package imageencoders

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/imageopt"
)

// Installed returns the encoders whose programs are in PATH, for
// [imageopt.Options].Encoders. What is not there is negotiated away. At most at
// programs run at once.
func Installed(at int) map[imageopt.Format]imageopt.Encoder {
	slots := make(chan struct{}, max(at, 1))
	out := map[imageopt.Format]imageopt.Encoder{}
	if path, err := exec.LookPath("cwebp"); err == nil {
		out[imageopt.FormatWebP] = limited(slots, cwebp(path))
	}
	if path, err := exec.LookPath("avifenc"); err == nil {
		out[imageopt.FormatAVIF] = limited(slots, avifenc(path))
	}
	return out
}

// limited bounds the programs that run at once: their memory is not in the
// Optimizer's budget.
func limited(slots chan struct{}, f imageopt.EncoderFunc) imageopt.EncoderFunc {
	return func(ctx context.Context, w io.Writer, img image.Image, o imageopt.EncodeOptions) error {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { <-slots }()
		return f(ctx, w, img, o)
	}
}

// cwebp pipes a PNG through the program.
func cwebp(path string) imageopt.EncoderFunc {
	return func(ctx context.Context, w io.Writer, img image.Image, o imageopt.EncodeOptions) error {
		var in bytes.Buffer
		if err := writePNG(&in, img); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, path, "-quiet", "-q", strconv.Itoa(o.Quality), "-m", "4", "-o", "-", "--", "-")
		cmd.Stdin, cmd.Stdout = &in, w
		return run(cmd)
	}
}

// avifenc wants files. Of all its releases the scale is that of the quantizer, 63 to
// 0; the quality of JPEG looks alike at about 0.6 times the way from 0.
func avifenc(path string) imageopt.EncoderFunc {
	return func(ctx context.Context, w io.Writer, img image.Image, o imageopt.EncodeOptions) (err error) {
		dir, err := os.MkdirTemp("", "avifenc")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		in, out := filepath.Join(dir, "in.png"), filepath.Join(dir, "out.avif")
		var b bytes.Buffer
		if err := writePNG(&b, img); err != nil {
			return err
		}
		if err := os.WriteFile(in, b.Bytes(), 0o600); err != nil {
			return err
		}
		quantizer := strconv.Itoa((100 - o.Quality) * 6 / 10)
		if err := run(exec.CommandContext(ctx, path, "-s", "8", "-j", "1", "-y", "420", "--min", quantizer, "--max", quantizer, in, out)); err != nil {
			return err
		}
		data, err := os.ReadFile(out)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
}

// writePNG spends no time on compression that the next program undoes.
func writePNG(w io.Writer, img image.Image) error {
	return (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(w, img)
}

// run runs a program that is killed when its context ends.
func run(cmd *exec.Cmd) error {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %.200s", filepath.Base(cmd.Path), err, strings.TrimSpace(complaint.String()))
	}
	return nil
}
