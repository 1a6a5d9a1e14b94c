// Package vercelcdn stores objects of package cdn in Vercel Blob, for which there is
// no official Go client.
//
// # Getting started
//
//	p, err := vercelcdn.New(vercelcdn.Options{Token: os.Getenv("BLOB_READ_WRITE_TOKEN")})
//	up, err := cdn.New(p, cdn.Options{Fallback: local})
//
// Browsers may send the request of [Provider.PresignPut] from any origin: Vercel
// needs no CORS configuration.
//
// # Units
//
// Sizes and offsets are bytes (int64), waits are [time.Duration]. A key is a blob's
// pathname; no random suffix is ever added. Ref.Handle is the blob's URL.
//
// # Concurrency
//
// A [Provider] is safe for concurrent use. Every method does its work on the
// caller's goroutine and makes one attempt: retries belong to cdn.Uploader. New
// starts no goroutine; the HTTP client keeps idle connections, which [Provider.Close]
// closes. A body is never read after the call that was given it has returned.
//
// # Errors
//
// New returns an error matching [cdn.ErrOptions] that names every bad field. All
// other errors are [cdn.OpError] with status, Vercel's code and request ID, and match
// one of cdn's kinds: unreachable, 5xx, timeouts, unknown_error and replies that are
// not Vercel's are ErrUnavailable, rate_limited ErrRateLimited, forbidden and a
// suspended store ErrAuth, not_found ErrNotFound, a taken pathname ErrExists, too
// large files ErrTooLarge, other refusals ErrInvalid, a body shorter than announced
// ErrTruncated. After a cancellation the error matches context.Canceled and no kind.
// No error holds the token.
//
// # Cost
//
// Each call is one request; List is one for a thousand objects. Put computes the MD5
// of the body while it is sent.
//
// # Limits
//
// Of CacheControl only max-age is kept, at least 60 seconds; Disposition and Metadata
// are not kept at all. Edges may serve overwritten and deleted content for a minute,
// so prefer keys that name the content; they cannot be purged sooner, so that a
// Provider is no cdn.Purger. Parts of an upload can be neither listed nor
// aborted. There are no signed URLs for reading. Keys have 950 bytes at most.
//
// # Background
//
// The protocol, version 12, is that of the official client for JavaScript,
// @vercel/blob 2.8.0.
package vercelcdn
