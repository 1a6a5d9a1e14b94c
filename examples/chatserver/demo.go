package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
	"github.com/perfblocks/perfblocks/imageopt"
)

// visitors is the number of demo visitors and think the mean pause between two of
// their requests: about 20 requests a second together.
const (
	visitors = 8
	think    = 400 * time.Millisecond
)

// demo uses the service over HTTP as visitors would.
type demo struct {
	base   string
	users  int
	client *http.Client
	photo  image.Image // what visitors upload cuttings of
}

// prepare makes the picture that visitors cut from: a photo, made smaller.
func (d *demo) prepare(ctx context.Context, o *imageopt.Optimizer) error {
	f, err := photoFiles.Open("photos/" + photoNames[0])
	if err != nil {
		return err
	}
	defer f.Close()
	var small bytes.Buffer
	if _, err = o.Process(ctx, &small, f, imageopt.Spec{Width: 2000, Format: imageopt.FormatJPEG}); err == nil {
		d.photo, err = jpeg.Decode(&small)
	}
	return err
}

// run returns when ctx has ended and all visitors have left.
func (d *demo) run(ctx context.Context) {
	d.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: visitors}}
	defer d.client.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range visitors {
		rnd := rand.New(rand.NewPCG(7, uint64(i)))
		wg.Go(func() {
			for d.pause(ctx, rnd) {
				d.visit(ctx, rnd)
			}
		})
	}
	wg.Wait()
}

// pause thinks for a random while; false when it is time to leave.
func (d *demo) pause(ctx context.Context, rnd *rand.Rand) bool {
	t := time.NewTimer(time.Duration(rnd.ExpFloat64() * float64(think)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// visit is one user who reads a few conversations. Few users are very busy, as in
// the data.
func (d *demo) visit(ctx context.Context, rnd *rand.Rand) {
	user := store.UserID(1 + int(float64(d.users)*math.Pow(rnd.Float64(), 4)))
	d.get(ctx, "/api/users/"+user)
	list := d.get(ctx, "/api/conversations?user="+user)
	convs := strings.Split(list, `{"id":"`)[1:] // a visitor needs no parser
	if len(convs) == 0 {
		return
	}
	for range 1 + rnd.IntN(4) {
		conv, _, _ := strings.Cut(convs[rnd.IntN(min(len(convs), 6))], `"`)
		path := "/api/conversations/" + conv + "/messages"
		for range 1 + rnd.IntN(3) {
			if !d.pause(ctx, rnd) {
				return
			}
			d.get(ctx, path)
		}
		if !d.pause(ctx, rnd) {
			return
		}
		d.act(ctx, rnd, user, conv)
	}
}

// act is what a visitor does besides reading.
func (d *demo) act(ctx context.Context, rnd *rand.Rand, user, conv string) {
	switch p := rnd.Float64(); {
	case p < 0.14:
		d.post(ctx, "/api/conversations/"+conv+"/messages", "application/json", strings.NewReader(`{"content":"Is the cache warm yet?"}`))
	case p < 0.34:
		d.post(ctx, "/api/ask", "application/json", strings.NewReader(`{"user":"`+user+`","conversation":"`+conv+`","prompt":"How do I find a slow query?"}`))
	case p < 0.44:
		d.get(ctx, fmt.Sprintf("/api/search?user=%s&q=topic%d", user, rnd.IntN(211)))
	case p < 0.60:
		d.get(ctx, "/api/usage/daily?user="+user)
	case p < 0.66:
		d.upload(ctx, rnd)
	default:
		name := photoNames[rnd.IntN(len(photoNames))]
		width := []int{320, 640, 960, 1280}[rnd.IntN(4)]
		d.get(ctx, "/img/?"+url.Values{"url": {"photos/" + name}, "w": {fmt.Sprint(width)}, "q": {"80"}}.Encode())
	}
}

// upload sends a fresh cutting of a photo.
func (d *demo) upload(ctx context.Context, rnd *rand.Rand) {
	b := d.photo.Bounds()
	const w, h = 1200, 900
	cut := image.NewRGBA(image.Rect(0, 0, w, h))
	at := image.Pt(b.Min.X+rnd.IntN(max(b.Dx()-w, 1)), b.Min.Y+rnd.IntN(max(b.Dy()-h, 1)))
	draw.Draw(cut, cut.Bounds(), d.photo, at, draw.Src)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "cutting.jpg")
	if err == nil && jpeg.Encode(part, cut, &jpeg.Options{Quality: 90}) == nil && form.Close() == nil {
		d.post(ctx, "/api/upload", form.FormDataContentType(), &body)
	}
}

func (d *demo) get(ctx context.Context, path string) string {
	return d.do(ctx, http.MethodGet, path, "", nil)
}

func (d *demo) post(ctx context.Context, path, contentType string, body io.Reader) {
	d.do(ctx, http.MethodPost, path, contentType, body)
}

// do ignores failures: the page counts them.
func (d *demo) do(ctx context.Context, method, path, contentType string, body io.Reader) string {
	req, err := http.NewRequestWithContext(ctx, method, d.base+path, body)
	if err != nil {
		return ""
	}
	req.Header.Set("Accept", "image/webp,*/*")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := d.client.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if res.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}
