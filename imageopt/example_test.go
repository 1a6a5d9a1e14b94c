package imageopt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing/fstest"
	"time"

	"github.com/perfblocks/perfblocks/imageopt"
)

// upload stands for a picture that a user sent.
func upload() []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, photo(1200, 800), nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func Example() {
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		panic(err)
	}
	var out bytes.Buffer
	res, err := o.Process(context.Background(), &out, bytes.NewReader(upload()), imageopt.Spec{Width: 640, Quality: 80})
	if err != nil {
		panic(err)
	}
	fmt.Println(res.Format, res.Width, res.Height, res.Bytes < res.SourceBytes)
	// Output: jpeg 640 427 true
}

func ExampleOptimizer_Variants() {
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		panic(err)
	}
	specs := []imageopt.Spec{{Width: 320}, {Width: 640}, {Width: 960}}
	for v, err := range o.Variants(context.Background(), upload(), specs) {
		if err != nil {
			panic(err)
		}
		fmt.Println(v.Result.Format, v.Result.Width, v.Result.Height)
	}
	// Output:
	// jpeg 960 640
	// jpeg 640 427
	// jpeg 320 213
}

func ExampleOptimizer_Inspect() {
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		panic(err)
	}
	info, err := o.Inspect(bytes.NewReader(withEXIF(upload(), 6)))
	if err != nil {
		panic(err)
	}
	fmt.Println(info.Format, info.Width, info.Height, info.Orientation)
	// Output: jpeg 800 1200 6
}

func ExampleOptimizer_Placeholder() {
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		panic(err)
	}
	p, err := o.Placeholder(context.Background(), upload(), imageopt.PlaceholderLQIP)
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Width, p.Height, strings.HasPrefix(p.Value, "data:image/jpeg;base64,"), len(p.Value) < 1000)
	// Output: 1200 800 true true
}

func ExampleLimitError() {
	o, err := imageopt.New(imageopt.Options{Limits: imageopt.Limits{Pixels: 100_000}})
	if err != nil {
		panic(err)
	}
	_, err = o.Process(context.Background(), &bytes.Buffer{}, bytes.NewReader(upload()), imageopt.Spec{})
	if le, ok := errors.AsType[*imageopt.LimitError](err); ok {
		fmt.Println(errors.Is(err, imageopt.ErrTooLarge), le.Limit, le.Got, le.Max)
	}
	// Output: true pixels 960000 100000
}

func ExamplePicture_HTML() {
	p := imageopt.Picture{
		Src: "photos/cat.jpg", Alt: "A cat", Width: 800, Height: 600, Responsive: true,
		Sizes: "(max-width: 768px) 100vw, 50vw", Widths: []int{400, 800}, Placeholder: "#a08060",
	}
	html, err := p.HTML(func(src string, width int) string { return fmt.Sprintf("https://cdn.example/%d/%s", width, src) })
	if err != nil {
		panic(err)
	}
	fmt.Println(strings.ReplaceAll(string(html), `" `, "\"\n"))
	// Output:
	// <picture><img alt="A cat"
	// width="800"
	// height="600"
	// loading="lazy"
	// decoding="async"
	// style="background-color:#a08060"
	// sizes="(max-width: 768px) 100vw, 50vw"
	// srcset="https://cdn.example/400/photos/cat.jpg 400w, https://cdn.example/800/photos/cat.jpg 800w"
	// src="https://cdn.example/800/photos/cat.jpg"></picture>
}

func ExampleNewHandler() {
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		panic(err)
	}
	files := fstest.MapFS{"cat.jpg": {Data: upload()}} // os.DirFS("uploads") in a service
	h, err := imageopt.NewHandler(o, imageopt.SourceFS(files), imageopt.HandlerOptions{Widths: []int{320, 640}})
	if err != nil {
		panic(err)
	}
	defer h.Close()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, h.URL("cat.jpg", 320, 0), nil))
	m, _, err := image.DecodeConfig(w.Body)
	fmt.Println(w.Code, w.Header().Get("Content-Type"), w.Header().Get("Vary"), m.Width, err)
	// Output: 200 image/jpeg Accept 320 <nil>
}

func ExampleNew() {
	o, err := imageopt.New(imageopt.Options{
		Name:      "avatars",
		Limits:    imageopt.Limits{Bytes: 8 << 20, Pixels: 24_000_000},
		MaxMemory: 128 << 20,
		Hooks: imageopt.Hooks{Done: func(e imageopt.Event) {
			fmt.Println(e.Op, e.Results, e.BytesOut < e.BytesIn, e.Err)
		}},
	})
	if err != nil {
		panic(err)
	}
	spec := imageopt.Spec{Width: 128, Height: 128, Fit: imageopt.FitCover, Anchor: imageopt.AnchorTop}
	res, err := o.Process(context.Background(), &bytes.Buffer{}, bytes.NewReader(upload()), spec)
	if err != nil {
		panic(err)
	}
	fmt.Println(res.Width, res.Height)
	_, err = imageopt.New(imageopt.Options{MaxMemory: -1, Workers: 65})
	fmt.Println(err)
	// Output:
	// process 1 true <nil>
	// 128 128
	// imageopt: invalid options: MaxMemory -1 is negative; Workers 65 is not in 0..64
}

func ExampleEncoderFunc() {
	lossy, err := os.ReadFile("testdata/blue-purple-pink.lossy.webp")
	if err != nil {
		panic(err)
	}
	// It stands for one that pipes a PNG through cwebp, as examples/imageencoders does.
	encoder := imageopt.EncoderFunc(func(_ context.Context, w io.Writer, img image.Image, o imageopt.EncodeOptions) error {
		fmt.Printf("%T %v, quality %d\n", img, img.Bounds().Size(), o.Quality)
		_, err := w.Write(lossy)
		return err
	})
	o, err := imageopt.New(imageopt.Options{Encoders: map[imageopt.Format]imageopt.Encoder{imageopt.FormatWebP: encoder}})
	if err != nil {
		panic(err)
	}
	spec := imageopt.Spec{Width: 640, Quality: 70, Accept: "image/webp,image/jpeg;q=0.1"}
	res, err := o.Process(context.Background(), &bytes.Buffer{}, bytes.NewReader(upload()), spec)
	if err != nil {
		panic(err)
	}
	fmt.Println(res.ContentType())
	// Output:
	// *image.YCbCr (640,427), quality 70
	// image/webp
}

func ExampleSpec_targetBytes() {
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		panic(err)
	}
	spec := imageopt.Spec{Width: 800, Format: imageopt.FormatJPEG, TargetBytes: 20_000}
	res, err := o.Process(context.Background(), &bytes.Buffer{}, bytes.NewReader(upload()), spec)
	if err != nil {
		panic(err)
	}
	fmt.Println(res.Bytes <= 20_000, res.Bytes >= 18_400)
	// Output: true true
}

func ExampleSpec_attention() {
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		panic(err)
	}
	m := image.NewGray(image.Rect(0, 0, 300, 100))
	draw.Draw(m, image.Rect(210, 30, 250, 70), image.White, image.Point{}, draw.Src) // what the eye looks at
	var src, out bytes.Buffer
	if err := png.Encode(&src, m); err != nil {
		panic(err)
	}
	spec := imageopt.Spec{Width: 80, Height: 80, Fit: imageopt.FitCover, Anchor: imageopt.AnchorAttention, Format: imageopt.FormatPNG}
	if _, err := o.Process(context.Background(), &out, &src, spec); err != nil {
		panic(err)
	}
	small, err := png.Decode(&out)
	if err != nil {
		panic(err)
	}
	_, g, _, _ := small.At(40, 40).RGBA()
	fmt.Println(g>>8 > 200)
	// Output: true
}

func ExampleSourceFS() {
	src := imageopt.SourceFS(fstest.MapFS{"cats/tom.jpg": {Data: upload(), ModTime: time.Unix(1, 0)}})
	f, info, err := src.Open(context.Background(), "/cats/tom.jpg")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Println(info.Version != "")
	_, _, err = src.Open(context.Background(), "cats/../../etc/passwd")
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// true
	// true
}

func ExampleNewRemoteSource() {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(upload()) }))
	defer origin.Close()
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		panic(err)
	}
	src, err := imageopt.NewRemoteSource(imageopt.RemoteOptions{
		Hosts:     []string{strings.TrimPrefix(origin.URL, "http://")}, // "photos.example.com" in a service
		AllowHTTP: true, AllowPrivate: true,                            // for this test only
	})
	if err != nil {
		panic(err)
	}
	defer src.Close()
	h, err := imageopt.NewHandler(o, src, imageopt.HandlerOptions{})
	if err != nil {
		panic(err)
	}
	defer h.Close()
	for _, name := range []string{origin.URL + "/cat.jpg", "https://elsewhere.example/cat.jpg"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, h.URL(name, 320, 0), nil))
		fmt.Println(w.Code, w.Header().Get("Content-Type"))
	}
	// Output:
	// 200 image/jpeg
	// 404 application/problem+json
}

func ExampleHandler_Funcs() {
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		panic(err)
	}
	h, err := imageopt.NewHandler(o, imageopt.SourceFS(fstest.MapFS{}), imageopt.HandlerOptions{Widths: []int{320, 640}})
	if err != nil {
		panic(err)
	}
	defer h.Close()
	page := template.Must(template.New("page").Funcs(h.Funcs()).Parse(`{{optimizedImage "a.jpg" "A hill" 320 240}}` + "\n"))
	if err := page.Execute(os.Stdout, nil); err != nil {
		panic(err)
	}
	// Output: <picture><img alt="A hill" width="320" height="240" loading="lazy" decoding="async" srcset="/img/?url=a.jpg&amp;w=320&amp;q=80 1x, /img/?url=a.jpg&amp;w=640&amp;q=80 2x" src="/img/?url=a.jpg&amp;w=320&amp;q=80"></picture>
}

func ExampleSniff() {
	fmt.Println(imageopt.Sniff(upload()[:12]), imageopt.Sniff([]byte("<svg>")))
	// Output: jpeg auto
}
