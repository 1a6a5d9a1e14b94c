package cdnenv_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdnenv"
)

// A service passes os.Getenv; here a map stands for the environment.
func ExampleProvider() {
	vars := map[string]string{
		"CDN_PROVIDER":   "cloudinary",
		"CLOUDINARY_URL": "cloudinary://1234:secret@demo",
	}
	p, err := cdnenv.Provider(func(name string) string { return vars[name] })
	if err != nil {
		fmt.Println(err)
		return
	}
	url, _ := p.URL(cdn.Ref{Key: "cats/tom.jpg"})
	fmt.Println(url)

	vars["CDN_PROVIDER"] = "s3"
	_, err = cdnenv.Provider(func(name string) string { return vars[name] })
	fmt.Println(err)
	// Output:
	// https://res.cloudinary.com/demo/image/upload/v1/cats/tom.jpg.jpg
	// cdn: invalid options: CDN_S3_BUCKET is missing
}

// What the environment cannot tell, such as a client with a bound on its time, is given
// beside it.
func ExampleNew() {
	vars := map[string]string{"CDN_PROVIDER": "cloudinary", "CLOUDINARY_URL": "cloudinary://1234:secret@demo"}
	p, err := cdnenv.New(func(name string) string { return vars[name] }, cdnenv.Options{
		HTTPClient: &http.Client{Timeout: 30 * time.Second},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	url, err := p.URL(cdn.Ref{Key: "cats/tom.jpg"})
	fmt.Println(url, err)
	// Output: https://res.cloudinary.com/demo/image/upload/v1/cats/tom.jpg.jpg <nil>
}
