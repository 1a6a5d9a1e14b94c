package imageopt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing/fstest"

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
