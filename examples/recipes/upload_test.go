package recipes_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
	"github.com/perfblocks/perfblocks/imageopt"
)

// An upload is made small on its way, by Options.Process, and stored on this machine
// while the CDN is down.
func Example_uploadWithFallback() {
	dir, err := os.MkdirTemp("", "recipe-")
	check(err)
	defer os.RemoveAll(dir)
	local, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir, URL: "/files/"})
	check(err)
	defer local.Close()
	images, err := imageopt.New(imageopt.Options{})
	check(err)
	down := true
	provider := &cdntest.Memory{Fault: func(context.Context, string, string) error {
		if down {
			return cdn.ErrUnavailable
		}
		return nil
	}}
	up, err := cdn.New(provider, cdn.Options{
		Fallback: local, AllowTypes: []string{"image/*"}, Retry: cdn.RetryOptions{MaxAttempts: 1},
		Process: func(ctx context.Context, w io.Writer, r io.Reader, t cdn.Transform) (string, error) {
			res, err := images.Process(ctx, w, r, imageopt.Spec{Width: t.Width, Quality: t.Quality, Format: imageopt.FormatJPEG})
			return res.Format.ContentType(), err
		},
	})
	check(err)
	defer up.Close()

	var photo bytes.Buffer
	check(jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 1600, 1200)), nil))
	ctx := context.Background()
	res, err := up.Upload(ctx, "tea.jpg", &photo, cdn.UploadOptions{Key: "photos/tea.jpg", Quality: 80})
	fmt.Println(res.URL, res.ContentType, errors.Is(res.Fallback, cdn.ErrUnavailable), err)
	down = false
	fmt.Println(up.Promote(ctx)) // a service lets up.Run do this
	fmt.Println(up.URL("photos/tea.jpg", cdn.Transform{}))
	// Output:
	// /files/photos/tea.jpg image/jpeg true <nil>
	// 1 <nil>
	// https://memory.example/photos/tea.jpg <nil>
}
