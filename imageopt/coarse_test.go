package imageopt_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/perfblocks/perfblocks/imageopt"
)

// progressiveNoise has all the detail that a file can hold.
func progressiveNoise(t testing.TB, w, h int) []byte {
	b, _ := process(t, newOptimizer(t, imageopt.Options{}), toPNG(t, noise(w, h, true)), imageopt.Spec{Format: imageopt.FormatJPEG, Quality: 85})
	return b
}

// TestSmallResultsReadTheMeans: of a progressive JPEG that becomes a small picture no
// more is in memory than this picture needs, however its bytes come.
func TestSmallResultsReadTheMeans(t *testing.T) {
	src := append(progressiveNoise(t, 1600, 1200), make([]byte, 2<<20)...)
	o := newOptimizer(t, imageopt.Options{Limits: imageopt.Limits{Bytes: int64(len(src))}})
	for _, width := range []int{200, 201} {
		spec := imageopt.Spec{Width: width, Format: imageopt.FormatJPEG}
		var want []byte
		for v, err := range o.Variants(t.Context(), src, []imageopt.Spec{spec}) {
			if err != nil {
				t.Fatal(err)
			}
			want = v.Data
		}
		for name, r := range map[string]func() io.Reader{
			"memory": func() io.Reader { return bytes.NewReader(src) },
			"pipe":   func() io.Reader { return io.MultiReader(bytes.NewReader(src)) },
			"slow":   func() io.Reader { return iotest.HalfReader(iotest.DataErrReader(bytes.NewReader(src))) },
		} {
			var b bytes.Buffer
			var res imageopt.Result
			var err error
			n := allocated(func() { res, err = o.Process(t.Context(), &b, r(), spec) })
			if err != nil || !bytes.Equal(b.Bytes(), want) || res.SourceBytes != int64(len(src)) {
				t.Errorf("%d px, %s: %v, %d of %d bytes read, or another picture than from memory", width, name, err, res.SourceBytes, len(src))
			}
			if less := n < int64(len(src))/2; less != (width == 200) && !raceEnabled {
				t.Errorf("%d px, %s: %d bytes allocated, the source has %d", width, name, n, len(src))
			}
		}
	}
	_, err := newOptimizer(t, imageopt.Options{Limits: imageopt.Limits{Bytes: int64(len(src)) - 1}}).Process(
		t.Context(), io.Discard, io.MultiReader(bytes.NewReader(src)), imageopt.Spec{Width: 200})
	if le, ok := errors.AsType[*imageopt.LimitError](err); !ok || le.Limit != "bytes" || le.Got != int64(len(src)) {
		t.Errorf("%v; want the limit of bytes", err)
	}
	broken := errors.New("broken")
	_, err = o.Process(t.Context(), io.Discard, io.MultiReader(bytes.NewReader(src[:len(src)/3]), iotest.ErrReader(broken)), imageopt.Spec{Width: 200})
	if !errors.Is(err, broken) {
		t.Errorf("%v; want the reader's error", err)
	}
}

// TestSmallResultsOfDamagedFiles: they are what they are when all of the file is read.
func TestSmallResultsOfDamagedFiles(t *testing.T) {
	src := progressiveNoise(t, 320, 240)
	spec := imageopt.Spec{Width: 40, Format: imageopt.FormatJPEG}
	for _, tr := range []imageopt.Truncation{imageopt.TruncatedReject, imageopt.TruncatedPartial} {
		o := newOptimizer(t, imageopt.Options{Truncated: tr})
		for i := range 60 {
			b := bytes.Clone(src)
			if i < 30 {
				b = b[:17<<10+(len(b)-17<<10)*i/29]
			} else {
				b[len(b)*(i-30)/30] ^= 0x5a
			}
			var want bytes.Buffer
			var werr error
			for v, err := range o.Variants(t.Context(), b, []imageopt.Spec{spec}) {
				want.Write(v.Data)
				werr = err
			}
			var got bytes.Buffer
			_, err := o.Process(t.Context(), &got, bytes.NewReader(b), spec)
			if (err == nil) != (werr == nil) || err != nil && err.Error() != werr.Error() || !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Errorf("%v, case %d: %v and %d bytes; want %v and %d", tr, i, err, got.Len(), werr, want.Len())
			}
		}
	}
}
