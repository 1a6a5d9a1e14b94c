package imageopt_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/perfblocks/perfblocks/imageopt"
)

// show plays a GIF by the book, with image/draw.
func show(t testing.TB, b []byte) (frames []*image.NRGBA, g *gif.GIF) {
	t.Helper()
	g, err := gif.DecodeAll(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	screen := image.NewNRGBA(image.Rect(0, 0, g.Config.Width, g.Config.Height))
	for i, m := range g.Image {
		before := imaging.Clone(screen)
		draw.Draw(screen, m.Rect, m, m.Rect.Min, draw.Over)
		frames = append(frames, imaging.Clone(screen))
		switch g.Disposal[i] {
		case gif.DisposalBackground:
			draw.Draw(screen, m.Rect, image.Transparent, image.Point{}, draw.Src)
		case gif.DisposalPrevious:
			screen = before
		}
	}
	return frames, g
}

// randomGIF has frames of all sizes, disposals and transparencies.
func randomGIF(t testing.TB, rng *rand.Rand, w, h int) []byte {
	t.Helper()
	g := &gif.GIF{LoopCount: rng.IntN(4) - 1, Config: image.Config{Width: w, Height: h}}
	pal := color.Palette{color.NRGBA{}, color.White, color.Black, color.NRGBA{200, 30, 30, 255}, color.NRGBA{20, 120, 220, 255}}
	for i := range 1 + rng.IntN(6) {
		r := image.Rect(0, 0, w, h)
		if i > 0 || rng.IntN(3) == 0 {
			r.Min = image.Pt(rng.IntN(w), rng.IntN(h))
			r.Max = r.Min.Add(image.Pt(1+rng.IntN(w-r.Min.X), 1+rng.IntN(h-r.Min.Y)))
		}
		m := image.NewPaletted(r, pal)
		for p := range m.Pix {
			m.Pix[p] = uint8(rng.IntN(len(pal)))
		}
		g.Image = append(g.Image, m)
		g.Delay = append(g.Delay, rng.IntN(20))
		g.Disposal = append(g.Disposal, byte(rng.IntN(4)))
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Model: an animation that keeps its size must look exactly like the source, frame by
// frame, whatever its disposals.
func TestAnimationModel(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	rng := rand.New(rand.NewPCG(3, 4))
	white := imageopt.Spec{Format: imageopt.FormatGIF, Background: color.White}
	for range 150 {
		src := randomGIF(t, rng, 2+rng.IntN(14), 2+rng.IntN(14))
		want, wg := show(t, src)
		for _, spec := range []imageopt.Spec{
			{Format: imageopt.FormatGIF, Crop: image.Rect(0, 0, wg.Config.Width, wg.Config.Height)}, {Format: imageopt.FormatGIF}, white, {},
		} {
			out, res := process(t, o, src, spec)
			if spec.Format == imageopt.FormatAuto && len(wg.Image) == 1 {
				continue // a still becomes a PNG
			}
			got, gg := show(t, out)
			if len(got) != len(want) || res.Frames != len(want) || gg.LoopCount != wg.LoopCount && len(want) > 1 || !slices.Equal(gg.Delay, wg.Delay) && len(want) > 1 {
				t.Fatalf("%d frames, loop %d, delays %v; want %d, %d, %v", len(got), gg.LoopCount, gg.Delay, len(want), wg.LoopCount, wg.Delay)
			}
			for i := range want {
				w := image.Image(want[i])
				if spec.Background != nil {
					on := imaging.New(wg.Config.Width, wg.Config.Height, color.White)
					draw.Draw(on, on.Rect, want[i], image.Point{}, draw.Over)
					w = on
				}
				if _, most := diff(t, got[i], w); most > 0 {
					t.Fatalf("frame %d of %d (disposals %v, original %t): differs by %d", i, len(want), wg.Disposal, res.Original, most)
				}
			}
		}
	}
}

func TestAnimationResized(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	g := &gif.GIF{Config: image.Config{Width: 64, Height: 48}}
	for i := range 5 {
		m := image.NewPaletted(image.Rect(0, 0, 64, 48), color.Palette{color.White, color.NRGBA{200, 30, 30, 255}, color.NRGBA{20, 120, 220, 255}})
		draw.Draw(m, image.Rect(8*i, 10, 8*i+20, 34), image.NewUniform(m.Palette[1]), image.Point{}, draw.Src)
		draw.Draw(m, image.Rect(0, 40, 64, 48), image.NewUniform(m.Palette[2]), image.Point{}, draw.Src)
		g.Image, g.Delay, g.Disposal = append(g.Image, m), append(g.Delay, 7), append(g.Disposal, gif.DisposalNone)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	out, res := process(t, o, b.Bytes(), imageopt.Spec{Width: 32, Format: imageopt.FormatGIF})
	if res.Format != imageopt.FormatGIF || res.Frames != 5 || res.Width != 32 || res.Height != 24 || !res.Source.Animated || res.Source.Frames != 5 {
		t.Fatalf("Result = %+v; want five frames of 32 × 24", res)
	}
	frames, played := show(t, out)
	for i, f := range frames {
		if mean, _ := diff(t, f, imaging.Resize(g.Image[i], 32, 24, imaging.Lanczos)); mean > 2 {
			t.Errorf("frame %d: mean %.2f off imaging", i, mean)
		}
	}
	if r := played.Image[2].Rect; r.Dy() > 20 {
		t.Errorf("frame 2 covers %v; want only what changes", r)
	}
	still, res := process(t, o, b.Bytes(), imageopt.Spec{Width: 32, Format: imageopt.FormatPNG})
	if mean, _ := diff(t, decode(t, still), frames[0]); res.Frames != 1 || mean > 2 {
		t.Errorf("GIF to PNG: %d frames, mean %.2f off the first frame", res.Frames, mean)
	}
	if _, res := process(t, o, b.Bytes(), imageopt.Spec{Width: 32, Accept: "image/png"}); res.Format != imageopt.FormatPNG || res.Frames != 1 {
		t.Errorf("animated GIF for a client without GIF: %+v; want a PNG", res)
	}
}

func TestAnimationFiles(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	for _, name := range []string{"dispose-background", "dispose-previous"} {
		src := readFile(t, asset(t, "anim", name+".gif"))
		frames, g := show(t, src)
		// libvips stacks the frames that it shows in one tall picture.
		stack := decode(t, readFile(t, asset(t, "anim", name+".png")))
		out, _ := process(t, o, src, imageopt.Spec{Crop: image.Rect(0, 0, g.Config.Width, g.Config.Height), Format: imageopt.FormatGIF})
		got, _ := show(t, out)
		for i := range frames {
			want := imaging.Crop(stack, image.Rect(0, i*g.Config.Height, g.Config.Width, (i+1)*g.Config.Height))
			if mean, _ := diff(t, got[i], want); mean > 0.5 {
				t.Errorf("%s frame %d: mean %.2f off libvips", name, i, mean)
			}
		}
	}
	src := readFile(t, asset(t, "anim", "rotating-squares.gif"))
	if out, res := process(t, o, src, imageopt.Spec{Width: 40}); res.Frames != 30 || len(out) >= len(src) {
		t.Errorf("rotating-squares at half size: %d frames, %d bytes of %d", res.Frames, len(out), len(src))
	}
	_, err := o.Inspect(bytes.NewReader(readFile(t, asset(t, "anim", "rotating-squares.webp"))))
	if !errors.Is(err, imageopt.ErrUnsupported) {
		t.Errorf("animated WebP: %v; want ErrUnsupported", err)
	}
}

func TestGIFIndexOutOfPalette(t *testing.T) {
	t.Parallel()
	// A palette index out of range has killed programs that resize on goroutines.
	o := newOptimizer(t, imageopt.Options{})
	src := randomGIF(t, rand.New(rand.NewPCG(1, 1)), 9, 9)
	for i := 13; i < len(src); i++ {
		for _, v := range []byte{0, 0x40, 0xff} {
			bad := bytes.Clone(src)
			bad[i] = v
			var b bytes.Buffer
			if _, err := o.Process(t.Context(), &b, bytes.NewReader(bad), imageopt.Spec{Width: 5}); err == nil {
				decode(t, b.Bytes())
			}
		}
	}
}
