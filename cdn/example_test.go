package cdn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

// The provider is down when the upload comes. The file is served from local disk
// until the provider is back, and redirected from then on.
func Example() {
	dir, _ := os.MkdirTemp("", "cdn-example-*")
	defer os.RemoveAll(dir)
	var down = true
	provider := &cdntest.Memory{Fault: func(context.Context, string, string) error {
		if down {
			return cdn.ErrUnavailable
		}
		return nil
	}}

	local, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir, URL: "/files/"})
	if err != nil {
		panic(err)
	}
	up, err := cdn.New(provider, cdn.Options{Fallback: local, Retry: cdn.RetryOptions{MaxAttempts: 1}})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/files/", local)

	ctx := context.Background()
	res, err := up.Upload(ctx, "Báo cáo.txt", strings.NewReader("hello"), cdn.UploadOptions{Folder: "docs"})
	fmt.Println(res.URL, err)
	fmt.Println("fell back:", errors.Is(res.Fallback, cdn.ErrUnavailable))

	get := func() {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", res.URL, nil))
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Location"))
	}
	get()
	down = false
	n, err := up.Promote(ctx) // a service has Run do this
	fmt.Println("promoted:", n, err)
	get()
	fmt.Println(errors.Join(up.Shutdown(ctx), local.Close()))
	// Output:
	// /files/docs/2cf24dba5fb0a30e26e83b2ac5b9e29e-bao-cao.txt <nil>
	// fell back: true
	// 200 ""
	// promoted: 1 <nil>
	// 302 "https://memory.example/docs/2cf24dba5fb0a30e26e83b2ac5b9e29e-bao-cao.txt"
	// <nil>
}

func ExampleUploader_Upload() {
	up, err := cdn.New(&cdntest.Memory{}, cdn.Options{AllowTypes: []string{"image/*"}, MaxBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	defer up.Close()
	_, err = up.Upload(context.Background(), "cat.png", strings.NewReader("<script>alert(1)</script>"), cdn.UploadOptions{})
	fmt.Println(err)
	res, err := up.Upload(context.Background(), "cat.gif", strings.NewReader("GIF89a..."), cdn.UploadOptions{Key: "cats/1.gif"})
	fmt.Println(res.Key, res.ContentType, res.Size, err)
	// Output:
	// cdn: content type not allowed: named .png, content is text/html
	// cats/1.gif image/gif 9 <nil>
}

func ExampleUploader_UploadBatch() {
	up, err := cdn.New(&cdntest.Memory{}, cdn.Options{})
	if err != nil {
		panic(err)
	}
	defer up.Close()
	items := func(yield func(cdn.Item) bool) {
		for _, s := range []string{"one", "two"} {
			if !yield(cdn.Item{Name: s + ".txt", Body: strings.NewReader(s), Options: cdn.UploadOptions{Key: s}}) {
				return
			}
		}
	}
	for r, err := range up.UploadBatch(context.Background(), items, cdn.BatchOptions{Concurrency: 1}) {
		fmt.Println(r.Index, r.Result.Key, err)
	}
	// Output:
	// 0 one <nil>
	// 1 two <nil>
}

func ExampleCheckKey() {
	fmt.Println(cdn.CheckKey("photos/2026/cat.png"))
	fmt.Println(cdn.CheckKey("../secret"))
	// Output:
	// <nil>
	// cdn: invalid key: path element with a space or dot at its end
}
