package vercelcdn_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/vercelcdn"
)

// A browser may PUT one picture of at most 1 MiB; it gets a token for that alone.
func ExampleProvider_PresignPut() {
	p, err := vercelcdn.New(vercelcdn.Options{Token: "vercel_blob_rw_store_secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	up, err := p.PresignPut(context.Background(), cdn.PresignRequest{Key: "cats/tom.png", ContentType: "image/png", MaxBytes: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(up.Method, up.URL)
	fmt.Println(strings.HasPrefix(up.Header["Authorization"], "Bearer vercel_blob_client_store_"), up.Header["X-Content-Type"])
	// Output:
	// PUT https://vercel.com/api/blob/?pathname=cats%2Ftom.png
	// true image/png
}
