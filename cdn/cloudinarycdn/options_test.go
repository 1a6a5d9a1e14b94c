package cloudinarycdn_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cloudinarycdn"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want cloudinarycdn.Options
	}{
		{"cloudinary://1234:abcd@demo", cloudinarycdn.Options{CloudName: "demo", APIKey: "1234", APISecret: "abcd"}},
		{"cloudinary://demo?upload_preset=open", cloudinarycdn.Options{CloudName: "demo", UploadPreset: "open"}},
		{"cloudinary://1:2@demo?upload_prefix=http://127.0.0.1:7788&secure_distribution=img.example.com",
			cloudinarycdn.Options{CloudName: "demo", APIKey: "1", APISecret: "2", APIURL: "http://127.0.0.1:7788", DeliveryURL: "https://img.example.com/demo"}},
		{"cloudinary://1:2@demo?private_cdn=true&signature_algorithm=sha256&sign_url=true",
			cloudinarycdn.Options{CloudName: "demo", APIKey: "1", APISecret: "2", DeliveryURL: "https://demo-res.cloudinary.com", SHA256: true, SignURLs: true}},
		{"cloudinary://1:2@demo?private_cdn=true&secure_distribution=i.example.com",
			cloudinarycdn.Options{CloudName: "demo", APIKey: "1", APISecret: "2", DeliveryURL: "https://i.example.com"}},
	} {
		got, err := cloudinarycdn.ParseURL(c.raw)
		if got != c.want || err != nil {
			t.Errorf("ParseURL(%q) = %+v, %v; want %+v", c.raw, got, err, c.want)
		}
		if _, err := cloudinarycdn.New(got); err != nil {
			t.Errorf("New(ParseURL(%q)) = %v", c.raw, err)
		}
	}
	for _, raw := range []string{"", "https://1:hunter2@demo", "cloudinary://", "cloudinary://1:hunter2@", "cloudinary://1:hunter2@demo?%zz", "hunter2"} {
		if o, err := cloudinarycdn.ParseURL(raw); !errors.Is(err, cdn.ErrOptions) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseURL(%q) = %+v, %v; want ErrOptions without the value", raw, o, err)
		}
	}
}

func TestOptionsErrors(t *testing.T) {
	for _, c := range []struct {
		o    cloudinarycdn.Options
		want []string
	}{
		{cloudinarycdn.Options{}, []string{"CloudName is empty", "neither APIKey"}},
		{cloudinarycdn.Options{CloudName: "a/b", APISecret: "hunter2", APIURL: "ftp://x", DeliveryURL: "https://u:hunter2@x"},
			[]string{"CloudName is not", "need each other", "APIURL is not", "DeliveryURL must not"}},
		{cloudinarycdn.Options{CloudName: "d", UploadPreset: "p", SignURLs: true}, []string{"SignURLs need"}},
	} {
		p, err := cloudinarycdn.New(c.o)
		if !errors.Is(err, cdn.ErrOptions) || p != nil {
			t.Errorf("New(%+v) = %v, %v; want ErrOptions", c.o, p, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("New = %v; want %q in it and no secret", err, want)
			}
		}
	}
	p, err := cloudinarycdn.New(cloudinarycdn.Options{CloudName: "d", UploadPreset: "p"})
	if err != nil || p.ProviderName() != "cloudinary" || p.Close() != nil || p.Close() != nil {
		t.Errorf("New = %v, %v; want a provider that closes", p, err)
	}
}
