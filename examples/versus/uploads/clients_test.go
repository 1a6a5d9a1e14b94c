package uploads

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscreds "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	miniocreds "github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
)

const (
	mib      = 1 << 20
	partSize = 8 * mib
	workers  = 4
)

// The sides. All send CRC32C and, over TLS, an unsigned payload; all have the same
// transport, 8 MiB parts and four workers.
const (
	oursOff = "perfblocks"
	oursOn  = "perfblocks, fallback on"
	awsPut  = "aws PutObject"
	awsTM   = "transfermanager"
	minioGo = "minio-go"
)

// upload stores body under key. size is negative when it is not known.
type upload func(ctx context.Context, key string, body io.Reader, size int64) error

// target is the server as a child is told of it.
type target struct {
	Endpoint, Region, AccessKey, SecretKey, Bucket string
	Roots                                          []byte
}

// transport is the one that all sides use.
func (g target) transport() (*http.Transport, error) {
	t := &http.Transport{
		MaxIdleConns: 128, MaxIdleConnsPerHost: 64, WriteBufferSize: 64 << 10, ReadBufferSize: 32 << 10,
		ResponseHeaderTimeout: 60 * time.Second,
	}
	if g.Roots != nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(g.Roots) {
			return nil, errors.New("no certificate to trust")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return t, nil
}

func (g target) aws() (*s3.Client, error) {
	t, err := g.transport()
	if err != nil {
		return nil, err
	}
	return s3.New(s3.Options{
		Region: g.Region, BaseEndpoint: &g.Endpoint, UsePathStyle: true, HTTPClient: &http.Client{Transport: t},
		Credentials: awscreds.NewStaticCredentialsProvider(g.AccessKey, g.SecretKey, ""),
	}), nil
}

// client makes one side. Its close ends what it has open.
func client(name string, g target, dir string, maxMemory int64) (up upload, done func() error, err error) {
	done = func() error { return nil }
	switch name {
	case oursOff, oursOn:
		return ours(name == oursOn, g, dir, maxMemory)
	case awsPut:
		c, err := g.aws()
		return func(ctx context.Context, key string, body io.Reader, size int64) error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{
				Bucket: &g.Bucket, Key: &key, Body: body, ContentType: aws.String(contentType), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
			})
			return err
		}, done, err
	case awsTM:
		c, err := g.aws()
		m := transfermanager.New(c, func(o *transfermanager.Options) { o.PartSizeBytes, o.Concurrency = partSize, workers })
		return func(ctx context.Context, key string, body io.Reader, size int64) error {
			_, err := m.UploadObject(ctx, &transfermanager.UploadObjectInput{
				Bucket: &g.Bucket, Key: &key, Body: body, ContentType: aws.String(contentType), ChecksumAlgorithm: tmtypes.ChecksumAlgorithmCrc32c,
			})
			return err
		}, done, err
	case minioGo:
		up, err := minioClient(g)
		return up, done, err
	}
	return nil, nil, fmt.Errorf("no client %q", name)
}

const contentType = "application/octet-stream"

func minioClient(g target) (upload, error) {
	u, err := url.Parse(g.Endpoint)
	if err != nil {
		return nil, err
	}
	t, err := g.transport()
	if err != nil {
		return nil, err
	}
	c, err := minio.New(u.Host, &minio.Options{
		Creds: miniocreds.NewStaticV4(g.AccessKey, g.SecretKey, ""), Secure: u.Scheme == "https", Transport: t, Region: g.Region,
		BucketLookup: minio.BucketLookupPath, TrailingHeaders: true,
	})
	return func(ctx context.Context, key string, body io.Reader, size int64) error {
		// Without ConcurrentStreamParts a stream goes part by part, but it is the
		// setting under which minio-go holds least memory for small streams too.
		_, err := c.PutObject(ctx, g.Bucket, key, body, size, minio.PutObjectOptions{
			ContentType: contentType, PartSize: partSize, NumThreads: workers, Checksum: minio.ChecksumCRC32C,
			ConcurrentStreamParts: size < 0,
		})
		return err
	}, err
}

func ours(fallback bool, g target, dir string, maxMemory int64) (upload, func() error, error) {
	t, err := g.transport()
	if err != nil {
		return nil, nil, err
	}
	p, err := s3cdn.New(s3cdn.Options{
		Bucket: g.Bucket, Region: g.Region, Endpoint: g.Endpoint, PathStyle: true,
		AccessKeyID: g.AccessKey, SecretAccessKey: g.SecretKey, HTTPClient: &http.Client{Transport: t},
	})
	if err != nil {
		return nil, nil, err
	}
	o := cdn.Options{MaxMemory: maxMemory, MaxBytes: -1, TempDir: dir}
	if fallback {
		if o.Fallback, err = cdn.NewLocal(cdn.LocalOptions{Dir: dir + "/local"}); err != nil {
			return nil, nil, err
		}
	}
	u, err := cdn.New(p, o)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, key string, body io.Reader, size int64) error {
			res, err := u.Upload(ctx, "", body, cdn.UploadOptions{Key: key})
			if err == nil && res.Fallback != nil {
				return fmt.Errorf("fell back: %w", res.Fallback)
			}
			return err
		}, func() error {
			err := u.Close()
			if o.Fallback != nil {
				err = errors.Join(err, o.Fallback.Close())
			}
			return err
		}, nil
}

// stream gives size bytes that are made as they are read; its length cannot be told.
type stream struct {
	block     []byte // its length is a power of two
	off, size int64
}

func newStream(block []byte, size int64) io.Reader { return &stream{block, 0, size} }

func (s *stream) Read(p []byte) (int, error) {
	if s.off == s.size {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), s.size-s.off)], s.block[int(s.off)&(len(s.block)-1):])
	s.off += int64(n)
	return n, nil
}

// noise is bytes of no known type that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 11)
	}
	return b
}
