package imageopt_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"image"
	"image/color"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/perfblocks/perfblocks/imageopt"
)

func TestVariants(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	src := toJPEG(t, photo(400, 300), 90)
	specs := []imageopt.Spec{{Width: 100}, {Width: 300, Format: imageopt.FormatPNG}, {Crop: image.Rect(0, 0, 900, 10)}, {Width: 200}}
	var order []int
	for v, err := range o.Variants(t.Context(), src, specs) {
		order = append(order, v.Index)
		if v.Index == 2 {
			if !errors.Is(err, imageopt.ErrOptions) {
				t.Errorf("variant 2: %v; want ErrOptions", err)
			}
			continue
		}
		if err != nil || v.Result.Width != specs[v.Index].Width || decode(t, v.Data).Bounds().Dx() != v.Result.Width || v.Spec.Width != v.Result.Width {
			t.Errorf("variant %d = %+v, %v", v.Index, v.Result, err)
		}
		// Process may decode to less, as it knows of one result only.
		want, _ := process(t, o, src, specs[v.Index])
		if mean, _ := diff(t, decode(t, v.Data), decode(t, want)); mean > 1.5 || v.Index == 1 && mean != 0 {
			t.Errorf("variant %d is %.2f off Process", v.Index, mean)
		}
		if o.Stats().Running == 0 || o.Stats().Memory == 0 {
			t.Error("the decoded source is not booked while iterating")
		}
	}
	if len(order) != 4 || order[0] != 1 || order[1] != 3 || order[2] != 0 {
		t.Errorf("order = %v; want largest first", order)
	}
	for range o.Variants(t.Context(), src, specs[:2]) {
		break
	}
	if s := o.Stats(); s.Memory != 0 || s.Running != 0 {
		t.Errorf("after an early break: %+v; want nothing booked", s)
	}
}

func TestVariantsDecodeOnce(t *testing.T) {
	var ev imageopt.Event
	o := newOptimizer(t, imageopt.Options{Hooks: imageopt.Hooks{Done: func(e imageopt.Event) { ev = e }}})
	src := toPNG(t, photo(600, 500))
	one := allocated(func() { process(t, o, src, imageopt.Spec{Width: 10, Format: imageopt.FormatPNG}) })
	six := allocated(func() {
		for _, err := range o.Variants(t.Context(), src, []imageopt.Spec{{Width: 10}, {Width: 11}, {Width: 12}, {Width: 13}, {Width: 14}, {Width: 15}}) {
			if err != nil {
				t.Error(err)
			}
		}
	})
	if ev.Op != "variants" || ev.Results != 6 || six > one+6*(600*4*8+1<<21) || six > 4*one {
		t.Errorf("six variants allocate %d bytes, one %d (%+v); want one decode", six, one, ev)
	}
}

func TestVariantsErrors(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	good := toPNG(t, photo(40, 30))
	for name, tc := range map[string]struct {
		src   []byte
		specs []imageopt.Spec
		want  error
	}{
		"bad spec":   {good, []imageopt.Spec{{}, {Width: -1}}, imageopt.ErrOptions},
		"no encoder": {good, []imageopt.Spec{{}, {Format: imageopt.FormatAVIF}}, imageopt.ErrUnsupported},
		"half":       {good[:len(good)/2], make([]imageopt.Spec, 3), imageopt.ErrTruncated},
		"text":       {[]byte("no picture at all"), make([]imageopt.Spec, 3), imageopt.ErrUnsupported},
	} {
		n := 0
		for v, err := range o.Variants(t.Context(), tc.src, tc.specs) {
			if n++; v.Index != -1 || !errors.Is(err, tc.want) {
				t.Errorf("%s: variant %d, %v; want -1, %v", name, v.Index, err, tc.want)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d items; want one", name, n)
		}
	}
	for range o.Variants(t.Context(), good, nil) {
		t.Error("no specs yield a variant")
	}
}

func TestConcurrencyUnderSmallMemory(t *testing.T) {
	t.Parallel()
	var most, running atomic.Int64
	var o *imageopt.Optimizer
	enc := imageopt.EncoderFunc(func(_ context.Context, w io.Writer, _ image.Image, _ imageopt.EncodeOptions) error {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if s := o.Stats(); s.Memory > s.MaxMemory {
			t.Errorf("%d bytes booked of %d", s.Memory, s.MaxMemory)
		}
		_, err := io.WriteString(w, "\x00\x00\x00\x1cftypavif")
		return err
	})
	src := toPNG(t, photo(400, 300))
	o = newOptimizer(t, imageopt.Options{
		MaxMemory: 6 << 20, MaxQueue: 100, MaxWait: -1,
		Encoders: map[imageopt.Format]imageopt.Encoder{imageopt.FormatAVIF: enc},
	})
	var wg sync.WaitGroup
	for i := range 48 {
		wg.Go(func() {
			switch i % 4 {
			case 0:
				for _, err := range o.Variants(t.Context(), src, []imageopt.Spec{{Width: 50}, {Width: 60}}) {
					if err != nil {
						t.Errorf("Variants: %v", err)
					}
				}
			case 1:
				if _, err := o.Placeholder(t.Context(), src, imageopt.PlaceholderThumbHash); err != nil {
					t.Errorf("Placeholder: %v", err)
				}
			default:
				if _, err := o.Process(t.Context(), io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 40, Format: imageopt.FormatAVIF}); err != nil {
					t.Errorf("Process: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if s := o.Stats(); s.Jobs != 48 || s.Memory != 0 || s.Waiting != 0 || most.Load() > 6 {
		t.Errorf("after 48 jobs: %+v, at most %d at once", s, most.Load())
	}
	full := newOptimizer(t, imageopt.Options{MaxMemory: 3 << 20, MaxQueue: -1})
	for range full.Variants(t.Context(), src, []imageopt.Spec{{Width: 50}}) {
		_, err := full.Process(t.Context(), io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 50})
		be, ok := errors.AsType[*imageopt.BusyError](err)
		if !errors.Is(err, imageopt.ErrBusy) || !ok || be.RetryAfter() <= 0 {
			t.Errorf("a job without room or queue: %v; want ErrBusy", err)
		}
	}
}

func TestPlaceholder(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	red := image.NewNRGBA(image.Rect(0, 0, 60, 40))
	for i := range 2400 {
		c := color.NRGBA{200, 40, 30, 255}
		if i%60 < 10 {
			c = color.NRGBA{20, 20, 220, 255}
		}
		red.SetNRGBA(i%60, i/60, c)
	}
	src := withEXIF(toJPEG(t, red, 98), 6) // 40 × 60 upright
	for k, check := range map[imageopt.PlaceholderKind]func(v string) bool{
		imageopt.PlaceholderColor: func(v string) bool { return len(v) == 7 && v[0] == '#' },
		imageopt.PlaceholderLQIP: func(v string) bool {
			data, ok := strings.CutPrefix(v, "data:image/jpeg;base64,")
			b, err := base64.StdEncoding.DecodeString(data)
			return ok && err == nil && decode(t, b).Bounds() == image.Rect(0, 0, 16, 24) && len(v) < 1200
		},
		imageopt.PlaceholderBlurHash: func(v string) bool { return len(v) == 4+2*12 && v[0] == "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[2+3*9] },
		imageopt.PlaceholderThumbHash: func(v string) bool {
			b, err := base64.StdEncoding.DecodeString(v)
			return err == nil && len(b) > 10 && len(b) < 30 && b[4]>>7 == 0 // portrait
		},
	} {
		p, err := o.Placeholder(t.Context(), src, k)
		if err != nil || !check(p.Value) || p.Width != 40 || p.Height != 60 || p.Kind != k {
			t.Errorf("Placeholder(%v) = %+v, %v", k, p, err)
		}
		if d, _ := diff(t, imaging.New(1, 1, p.Color), imaging.New(1, 1, color.NRGBA{200, 40, 30, 255})); d > 4 {
			t.Errorf("Placeholder(%v).Color = %v; want the red", k, p.Color)
		}
	}
	p, err := o.Placeholder(t.Context(), toPNG(t, veil(50, 50)), imageopt.PlaceholderLQIP)
	if err != nil || !strings.HasPrefix(p.Value, "data:image/png;base64,") {
		t.Errorf("LQIP with alpha = %.40q, %v; want a PNG", p.Value, err)
	}
	if p, err := o.Placeholder(t.Context(), toPNG(t, image.NewNRGBA(image.Rect(0, 0, 1, 1))), imageopt.PlaceholderThumbHash); err != nil {
		t.Errorf("ThumbHash of nothing = %+v, %v", p, err)
	}
	if _, err := o.Placeholder(t.Context(), src, 99); !errors.Is(err, imageopt.ErrOptions) {
		t.Errorf("Placeholder(99) = %v; want ErrOptions", err)
	}
}

// ctx ends the sequence with one error, of no spec.
func TestVariantsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := newOptimizer(t, imageopt.Options{Encoders: map[imageopt.Format]imageopt.Encoder{imageopt.FormatAVIF: imageopt.EncoderFunc(
		func(ctx context.Context, _ io.Writer, _ image.Image, _ imageopt.EncodeOptions) error {
			cancel()
			return ctx.Err()
		})}})
	var got []int
	for v, err := range o.Variants(ctx, toPNG(t, photo(64, 64)), []imageopt.Spec{{Width: 20, Format: imageopt.FormatAVIF}, {Width: 10}}) {
		got = append(got, v.Index)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%d: %v", v.Index, err)
		}
	}
	if !slices.Equal(got, []int{-1}) {
		t.Errorf("errors with the indices %v; want one with -1", got)
	}
}
