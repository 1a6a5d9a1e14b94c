package s3cdn_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// TestRealServer runs the contract against versitygw, or the server in PERF_S3_URL.
func TestRealServer(t *testing.T) {
	srv := realtest.S3(t)
	cfg := aws.Config{
		Region:      srv.Region,
		Credentials: credentials.NewStaticCredentialsProvider(srv.AccessKey, srv.SecretKey, ""),
	}
	bucket := "perfblocks-" + time.Now().UTC().Format("20060102-150405")
	admin := s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &srv.Endpoint, true })
	if _, err := admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	open := func(t *testing.T, change ...func(*s3cdn.Options)) *s3cdn.Provider {
		o := s3cdn.Options{Bucket: bucket, Endpoint: srv.Endpoint, PathStyle: true, Config: &cfg}
		for _, f := range change {
			f(&o)
		}
		p, err := s3cdn.New(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	t.Run("conforms", func(t *testing.T) {
		cdntest.Run(t, func(t *testing.T) cdn.Provider { return open(t) }, cdntest.Options{})
	})
	t.Run("verified", func(t *testing.T) {
		p := open(t)
		b := []byte("a real server")
		obj := objectOf("verified/a b+ü.txt", b)
		if info, err := p.Put(t.Context(), obj, bytes.NewReader(b)); err != nil || !info.Verified {
			t.Errorf("Put = Verified %v, %v; want true", info.Verified, err)
		}
		if info, err := p.Head(t.Context(), cdn.Ref{Key: obj.Key}); err != nil || !info.HasCRC32C || info.CRC32C != obj.CRC32C {
			t.Errorf("Head = CRC32C %08x, %v, %v; want %08x", info.CRC32C, info.HasCRC32C, err, obj.CRC32C)
		}
	})
	t.Run("presigned", func(t *testing.T) {
		p := open(t)
		b := []byte("from a browser")
		for _, req := range []cdn.PresignRequest{
			{Key: "presigned/a b+ü.txt", ContentType: "text/plain", Size: int64(len(b))},
			{Key: "presigned/form.txt", ContentType: "text/plain", MaxBytes: 100},
		} {
			up, err := p.PresignPut(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if status := direct(t, newClient(t), up, b, nil); status/100 != 2 {
				t.Errorf("upload of %q = status %d", req.Key, status)
				continue
			}
			u, err := p.PresignGet(t.Context(), cdn.Ref{Key: req.Key}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := fetch(t.Context(), newClient(t), u); err != nil || !bytes.Equal(got, b) {
				t.Errorf("fetch of %q = %q, %v; want what was uploaded", req.Key, got, err)
			}
		}
	})
	t.Run("form", func(t *testing.T) {
		p := open(t)
		one, err := p.PresignForm(t.Context(), cdn.FormRequest{Key: "form/a b.txt", ContentType: "text/plain", MinBytes: 2, MaxBytes: 5})
		if err != nil {
			t.Fatal(err)
		}
		folder, err := p.PresignForm(t.Context(), cdn.FormRequest{Key: "form/u7/", Status: 201})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name   string
			up     cdn.DirectUpload
			body   string
			ok     bool
			status int
			key    string
		}{
			{"as permitted", one, "hello", true, 204, "form/a b.txt"},
			{"too short", one, "h", false, 400, ""},
			{"too long", one, "hello!", false, 400, ""},
			{"other key", with(one, "key", "form/b.txt"), "hello", false, 403, ""},
			{"other type", with(one, "Content-Type", "text/html"), "hello", false, 403, ""},
			{"an acl", with(one, "acl", "public-read"), "hello", false, 403, ""},
			{"other policy", with(one, "policy", folder.Fields["policy"]), "hello", false, 403, ""},
			// versitygw 1.8.0 puts no name of a file into a key.
			{"folder", with(folder, "key", "form/u7/x"), "hi", true, 201, "form/u7/x"},
			{"folder, other key", with(folder, "key", "form/u8/x"), "hi", false, 403, ""},
		} {
			if got := direct(t, newClient(t), c.up, []byte(c.body), nil); got != c.status {
				t.Errorf("%s: status %d; want %d", c.name, got, c.status)
			}
			if c.ok {
				reads(t, p, c.key, []byte(c.body))
			}
		}
	})
	t.Run("completed twice", func(t *testing.T) {
		p := open(t)
		b := []byte("one part is enough")
		obj := objectOf("twice.txt", b)
		id, err := p.Begin(t.Context(), obj)
		if err != nil {
			t.Fatal(err)
		}
		part, err := p.PutPart(t.Context(), obj, id, cdn.Part{Number: 1, Size: obj.Size, Last: true}, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := p.Complete(t.Context(), obj, id, []cdn.PartInfo{part}); err != nil || !info.Verified {
			t.Errorf("Complete = Verified %v, %v; want true", info.Verified, err)
		}
		// Whether the server remembers the upload or not, the object is there.
		if info, err := p.Complete(t.Context(), obj, id, []cdn.PartInfo{part}); err != nil || info.Size != obj.Size {
			t.Errorf("Complete again = %+v, %v; want the object", info, err)
		}
	})
	t.Run("wrong secret", func(t *testing.T) {
		p := open(t, func(o *s3cdn.Options) { o.AccessKeyID, o.SecretAccessKey = srv.AccessKey, "wrong" })
		if _, err := p.Head(t.Context(), cdn.Ref{Key: "k"}); !errors.Is(err, cdn.ErrAuth) {
			t.Errorf("Head = %v; want ErrAuth", err)
		}
	})
}
