// Package s3cdn stores objects of package cdn in Amazon S3, or in a service that
// speaks its protocol: Cloudflare R2, MinIO, Ceph, versitygw and others.
//
// # Getting started
//
//	p, err := s3cdn.New(s3cdn.Options{
//		Bucket:    "pictures",
//		Endpoint:  "https://account.r2.cloudflarestorage.com", // leave out for AWS
//		PublicURL: "https://cdn.example.com",
//	})
//	up, err := cdn.New(p, cdn.Options{Fallback: local})
//
// Credentials come from the official SDK's default chain (environment, shared files,
// SSO, web identity, container and instance roles), from [Options] Config, or from
// AccessKeyID and SecretAccessKey. Package cdnenv makes a Provider from variables.
//
// For uploads by browsers the bucket needs a CORS rule, for example:
//
//	[{"AllowedOrigins": ["https://www.example.com"], "AllowedMethods": ["GET", "PUT", "POST"],
//	  "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 3600}]
//
// With CloudFrontDistribution the edge can be made to forget, by [Provider.Purge] or
// cdn.Options.Purge:
//
//	p, err := s3cdn.New(s3cdn.Options{
//		Bucket: "pictures", PublicURL: "https://cdn.example.com", CloudFrontDistribution: "E1A2B3C4D5E6F7",
//	})
//	up, err := cdn.New(p, cdn.Options{Fallback: local, Purge: true})
//	err = up.Purge(ctx, "index.html", "old/") // all below old
//
// [Provider.PresignForm] gives a browser a form with a POST policy: for one key or for a
// folder, within bounds of length. [Provider.SignCookies] opens private objects behind
// CloudFront to a browser, all below a key at once, as [Provider.PresignGet] opens one:
//
//	cookies, err := p.SignCookies(s3cdn.CookieRequest{Key: "members/", Domain: "example.com", Expiry: time.Hour})
//	for _, c := range cookies {
//		http.SetCookie(w, c)
//	}
//
// # Units
//
// Sizes and offsets are bytes (int64), waits are [time.Duration]. A key is what
// package cdn calls it; in the bucket it stands after Options.Prefix.
//
// # Concurrency
//
// A [Provider] is safe for concurrent use. Every method does its work on the
// caller's goroutine and makes one attempt: retries belong to cdn.Uploader, and the
// SDK's are off. New starts no goroutine; the HTTP client keeps idle connections,
// which [Provider.Close] closes. A body is never read after the call that was given
// it has returned, not even when the server replied early.
//
// # Errors
//
// New returns an error matching [cdn.ErrOptions] that names every bad field. All
// other errors are [cdn.OpError] with status, S3's code and request ID, and match
// one of cdn's kinds: unreachable, 5xx, timeouts and replies that are not S3's are
// ErrUnavailable, 429 and SlowDown ErrRateLimited, 401, 403 and lacking credentials
// ErrAuth, 404 ErrNotFound, 409 and 412 ErrExists, refused checksums ErrChecksum,
// 413 and EntityTooLarge ErrTooLarge, a body shorter than announced ErrTruncated,
// other refusals (a missing bucket among them) ErrInvalid. A reply with status 200
// that carries an error, or breaks off, is a failure. After a cancellation the error
// matches context.Canceled and no kind. No error holds a URL's query or a secret.
//
// # Cost
//
// Each call is one request, Purge one for 3000 paths; a first refusal of checksum headers costs one more, and
// a lost reply to Complete a HeadObject. Over https payloads are not hashed for the
// signature but sent with their CRC32C, which the caller has computed; over plain
// http the SHA-256 of the Object is signed, and computed when it is unknown.
//
// # Limits
//
// A Put or Copy takes 5 GiB at most, a multipart upload 10,000 parts. Requests never
// use aws-chunked encoding and trailers, which R2 and others refuse. CreateOnly needs
// a server that knows If-None-Match; those that do not overwrite. Info.SHA256 is not
// told by S3. Metadata values that are not plain ASCII travel as RFC 2047 words.
// [Provider.PresignPut] with a greatest but no exact length needs POST policies, which
// R2 lacks. Transform is not supported. Gateways over a file system refuse the key a
// beside a/b with cdn.ErrKey.
//
// # Background
//
// Amazon's S3 API reference; AWS Signature Version 4; the integrity changes of 2024
// that made the SDK's default uploads fail elsewhere (aws-sdk-go-v2 issue 3007).
package s3cdn
