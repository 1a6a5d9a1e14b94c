package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing/fstest"
	"time"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/imageopt"
	"github.com/perfblocks/perfblocks/memory"
)

// imageoptLoad sends 64 requests at once for pictures of 12 to 24 million pixels to a
// server of its own, and measures replies out of the cache.
func imageoptLoad(r *bench.Report) error {
	if err := hitLatency(r); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "imageload")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "imageload")
	const source = "github.com/perfblocks/perfblocks/examples/versus/internal/imageload"
	if out, err := exec.Command("go", "build", "-o", program, source).CombinedOutput(); err != nil {
		return fmt.Errorf("building imageload: %w: %s", err, out)
	}
	pictures := filepath.Join(dir, "pictures")
	if err := os.Mkdir(pictures, 0o700); err != nil {
		return err
	}
	for i, size := range []image.Point{{4000, 3000}, {4608, 3456}, {5184, 3456}, {6000, 4000}} {
		b, err := largeJPEG(size)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(pictures, strconv.Itoa(i)+".jpg"), b, 0o600); err != nil {
			return err
		}
	}
	ours, err := crowd(program, pictures, "ours", 64)
	if err != nil {
		return err
	}
	const title = "64 requests at once, 12–24 MP, budget 256 MiB: "
	theirs, err := crowd(program, pictures, "imaging", 8) // 64 would need 6 GB
	if err != nil {
		return err
	}
	r.AtMost(title+"peak RSS", "MB", float64(ours.peak)/1e6, 300, bench.Value{Name: "imaging, 8 at once", Value: float64(theirs.peak) / 1e6})
	r.AtMost(title+"replies other than 200 and 503", "replies", float64(64-ours.codes[200]-ours.codes[503]), 0,
		bench.Value{Name: "200", Value: float64(ours.codes[200])}, bench.Value{Name: "503", Value: float64(ours.codes[503])})
	return nil
}

// largeJPEG is a picture with the grain of a photo.
func largeJPEG(size image.Point) ([]byte, error) {
	m := image.NewYCbCr(image.Rectangle{Max: size}, image.YCbCrSubsampleRatio420)
	rng := rand.New(rand.NewPCG(uint64(size.X), 1))
	for i := range m.Y {
		m.Y[i] = byte(i/size.X*200/size.Y) + byte(rng.Uint32()%16)
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = byte(i/size.X), byte(i%size.X)
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 85})
	return b.Bytes(), err
}

type crowded struct {
	peak  int64
	codes map[int]int
}

// crowd starts the program and sends it n requests at once, all different.
func crowd(program, dir, mode string, n int) (c crowded, err error) {
	cmd := exec.Command(program, "-mode", mode, "-dir", dir)
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=256MiB")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return c, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return c, err
	}
	if err := cmd.Start(); err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, cmd.Wait()) }()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		return c, errors.Join(errors.New("imageload says nothing"), in.Close())
	}
	base := lines.Text()
	codes := make([]int, n)
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: n}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			width := []int{320, 400, 640, 960}[i/4%4]
			quality := []int{80, 50, 75, 90}[i/16%4]
			res, err := client.Get(fmt.Sprintf("%s/img/?url=%d.jpg&w=%d&q=%d", base, i%4, width, quality))
			if err != nil {
				return
			}
			defer res.Body.Close()
			if _, err := io.Copy(io.Discard, res.Body); err == nil {
				codes[i] = res.StatusCode
			}
		})
	}
	wg.Wait()
	c.codes = map[int]int{}
	for _, code := range codes {
		c.codes[code]++
	}
	if err := in.Close(); err != nil {
		return c, err
	}
	if lines.Scan() {
		c.peak, err = strconv.ParseInt(strings.TrimSpace(lines.Text()), 10, 64)
	}
	return c, err
}

// hitLatency measures requests whose reply is in the cache.
func hitLatency(r *bench.Report) error {
	src, err := largeJPEG(image.Pt(1200, 900))
	if err != nil {
		return err
	}
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		return err
	}
	cache, err := memory.NewCache(memory.CacheOptions[string, []byte]{})
	if err != nil {
		return err
	}
	h, err := imageopt.NewHandler(o, imageopt.SourceFS(fstest.MapFS{"a.jpg": {Data: src, ModTime: time.Unix(1, 0)}}), imageopt.HandlerOptions{Cache: cache})
	if err != nil {
		return err
	}
	defer h.Close()
	req := httptest.NewRequest(http.MethodGet, "/img/?url=a.jpg&w=640", nil)
	var took []time.Duration
	for i := range 5000 {
		w := httptest.NewRecorder()
		start := time.Now()
		h.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			return fmt.Errorf("handler: status %d", w.Code)
		}
		if i > 0 {
			took = append(took, time.Since(start))
		}
	}
	slices.Sort(took)
	r.AtMost("handler: a reply out of the cache, p95", "ms", float64(took[len(took)*95/100])/1e6, 1, bench.Value{Name: "median", Value: float64(took[len(took)/2]) / 1e6})
	return nil
}
