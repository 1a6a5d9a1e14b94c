package s3cdn_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
)

func ExampleNew() {
	p, err := s3cdn.New(s3cdn.Options{
		Bucket:          "pictures",
		Region:          "auto",
		Endpoint:        "https://account.r2.cloudflarestorage.com",
		PublicURL:       "https://cdn.example.com",
		AccessKeyID:     "AKIDEXAMPLE",
		SecretAccessKey: "from a vault",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	u, _ := p.URL(cdn.Ref{Key: "cats/tom & jerry.png"})
	fmt.Println(p.ProviderName(), u)
	// Output: s3 https://cdn.example.com/cats/tom%20%26%20jerry.png
}

// A browser may PUT one file of 1234 bytes, as a PNG, within a minute.
func ExampleProvider_PresignPut() {
	p, err := s3cdn.New(s3cdn.Options{
		Bucket: "pictures", Region: "eu-central-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "from a vault",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	up, err := p.PresignPut(context.Background(), cdn.PresignRequest{
		Key: "cats/tom.png", ContentType: "image/png", Size: 1234, Expiry: time.Minute,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	u, _ := url.Parse(up.URL)
	fmt.Println(up.Method, u.Host, u.Path, up.Header)
	fmt.Println(u.Query().Get("X-Amz-SignedHeaders"), u.Query().Get("X-Amz-Expires"))
	// Output:
	// PUT pictures.s3.eu-central-1.amazonaws.com /cats/tom.png map[Content-Type:image/png]
	// content-length;content-type;host 60
}

// Without a distribution, whether and what is purged is known before any request.
func ExampleProvider_Purge() {
	p, err := s3cdn.New(s3cdn.Options{
		Bucket: "pictures", Region: "eu-central-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "from a vault",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = p.Purge(context.Background(), cdn.Ref{Key: "cats/tom.png"}, cdn.Ref{Key: "dogs/"})
	fmt.Println(err)
	// Output: cdn: s3 purge "cats/tom.png": no CloudFrontDistribution is set: unsupported operation
}

// Members may read all below members/ for an hour.
func ExampleProvider_SignCookies() {
	key, err := rsa.GenerateKey(rand.Reader, 2048) // in earnest from a file
	if err != nil {
		panic(err)
	}
	p, err := s3cdn.New(s3cdn.Options{
		Bucket: "pictures", Region: "eu-central-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "from a vault",
		PublicURL: "https://cdn.example.com", CloudFrontKeyID: "K2JCJMDEHXQW5F",
		CloudFrontKey: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
	})
	if err != nil {
		panic(err)
	}
	cookies, err := p.SignCookies(s3cdn.CookieRequest{Key: "members/", Domain: "example.com", Expiry: time.Hour})
	if err != nil {
		panic(err)
	}
	for _, c := range cookies { // in a handler: http.SetCookie(w, c)
		fmt.Println(c.Name, c.Domain, c.Path, c.Secure, c.HttpOnly)
	}
	// Output:
	// CloudFront-Policy example.com /members/ true true
	// CloudFront-Signature example.com /members/ true true
	// CloudFront-Key-Pair-Id example.com /members/ true true
}

// A browser may upload any number of files of at most 1 MiB below users/7/.
func ExampleProvider_PresignForm() {
	p, err := s3cdn.New(s3cdn.Options{
		Bucket: "pictures", Region: "eu-central-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "from a vault",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	up, err := p.PresignForm(context.Background(), cdn.FormRequest{Key: "users/7/", MaxBytes: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(up.Method, up.URL, up.Fields["key"], up.Fields["success_action_status"])
	// Output: POST https://pictures.s3.eu-central-1.amazonaws.com/ users/7/${filename} 204
}
