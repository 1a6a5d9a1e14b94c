package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/imageopt"
)

// imageoptHostile feeds damaged, huge and endless things, and cancels in the middle.
func imageoptHostile(r *bench.Report) error {
	o, err := imageopt.New(imageopt.Options{Limits: imageopt.Limits{Bytes: 64 << 20}, MaxMemory: 1 << 30})
	if err != nil {
		return err
	}
	suite, err := pngSuite()
	if err != nil {
		return err
	}
	decoded, refused := 0, 0
	for name, src := range suite {
		_, err := o.Process(context.Background(), io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 16})
		switch bad := strings.HasPrefix(name, "x"); {
		case bad && err != nil:
			refused++
		case !bad && err == nil:
			decoded++
		}
	}
	if len(suite) > 0 {
		r.Add(bench.Row{Measure: "PngSuite: valid files that decode", Unit: "files", Ours: float64(decoded), Goal: "= 162", OK: decoded == 162})
		r.Add(bench.Row{Measure: "PngSuite: invalid files that are refused", Unit: "files", Ours: float64(refused), Goal: "= 14", OK: refused == 14})
	} else {
		without(r, "PngSuite", "PngSuite.zip")
	}
	files, _ := filepath.Glob(imageAsset("nasty", "*"))
	if len(files) == 0 {
		without(r, "nasty files", "the folder nasty")
	}
	most := 0.
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		n := allocatedBy(func() {
			_, err = o.Process(context.Background(), io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 64})
		})
		if errors.Is(err, imageopt.ErrTooLarge) {
			most = max(most, n)
		}
	}
	if len(files) > 0 {
		r.AtMost(fmt.Sprintf("nasty files (%d, no panic): allocated for one that is too large", len(files)), "bytes", most, 1<<20)
	}
	return cancelled(r, o)
}

func allocatedBy(f func()) float64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return float64(b.TotalAlloc - a.TotalAlloc)
}

// cancelled measures how long a job goes on after its context has ended: in each of
// many moments of a job, by processor time of one goroutine, so that others on the
// machine do not count.
func cancelled(r *bench.Report, o *imageopt.Optimizer) error {
	noisy := image.NewNRGBA(image.Rect(0, 0, 4000, 3000))
	smooth := image.NewNRGBA(noisy.Rect)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noisy.Pix {
		noisy.Pix[i], smooth.Pix[i] = byte(rng.Uint32()), byte(i/16000)
		if i%4 == 3 {
			noisy.Pix[i], smooth.Pix[i] = 255, 255
		}
	}
	sources := map[string][]byte{}
	for name, m := range map[string]*image.NRGBA{"PNG of noise": noisy, "smooth PNG": smooth} {
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, m); err != nil {
			return err
		}
		sources[name] = b.Bytes()
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, smooth, nil); err != nil {
		return err
	}
	sources["JPEG"] = b.Bytes()
	moments := 4
	if r.Full {
		moments = 12
	}
	for name, src := range sources {
		for _, spec := range []imageopt.Spec{{Width: 400}, {Width: 1600, Format: imageopt.FormatWebP}} {
			worst := time.Duration(0)
			start := time.Now()
			if _, err := o.Process(context.Background(), io.Discard, bytes.NewReader(src), spec); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			whole := time.Since(start)
			for i := range moments {
				// The least of two: what the job needs, and not what the machine does.
				least := time.Hour
				for range 2 {
					least = min(least, overrun(o, src, spec, whole*time.Duration(i+1)/time.Duration(moments+1)))
				}
				worst = max(worst, least)
			}
			r.AtMost(fmt.Sprintf("cancelled, 12 MP %s to %v, %d px: the job returns after", name, spec.Format, spec.Width), "ms", float64(worst)/1e6, 50)
		}
	}
	return nil
}

func overrun(o *imageopt.Optimizer, src []byte, spec imageopt.Spec, after time.Duration) time.Duration {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var at time.Time
	t := time.AfterFunc(after, func() { at = time.Now(); cancel() })
	_, err := o.Process(ctx, io.Discard, bytes.NewReader(src), spec)
	end := time.Now()
	if t.Stop() || err == nil {
		return 0 // it was faster this time
	}
	return end.Sub(at)
}
