// Package cloudinarycdn stores objects of package cdn in Cloudinary, which renders
// images as well as it keeps them.
//
// # Getting started
//
//	o, err := cloudinarycdn.ParseURL(os.Getenv("CLOUDINARY_URL"))
//	p, err := cloudinarycdn.New(o)
//	up, err := cdn.New(p, cdn.Options{Fallback: local})
//	url, err := p.TransformURL(ref, cdn.Transform{Width: 400, Format: "auto"})
//
// With a key and secret, uploads are signed. With an UploadPreset alone they are
// unsigned: nothing can be deleted or overwritten then.
//
// Browsers may send the form of [Provider.PresignPut] from any origin: Cloudinary
// needs no CORS configuration.
//
// Overwriting and deleting ask the edges to forget, so that cdn.Options.Purge adds
// nothing. [Provider.Purge] does it without a change; what is stored under other keys
// by the account's own tools may want that.
//
// # Units
//
// Sizes and offsets are bytes (int64), waits are [time.Duration], quality is 1 to
// 100. A public ID is the key with its extension, so that a.png and a.jpg are two
// objects; what a public ID cannot hold (? & # \ % < > and ~) is ~ and two hex
// digits. Delivery URLs of images and videos therefore end in the key's extension
// and then the format: a.jpg is served as a.jpg.jpg.
//
// Ref.Handle is kind/type/v123/format: what Cloudinary decided on. Keep it: with a
// key alone the extension decides, and URLs name no version.
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
// other errors are [cdn.OpError] with status and request ID, and match one of cdn's
// kinds: unreachable, 5xx, timeouts and replies that are not Cloudinary's are
// ErrUnavailable, 420 and 429 ErrRateLimited, 401 and 403 ErrAuth, 404 ErrNotFound,
// 409 and 412 ErrExists, too large files ErrTooLarge, other refusals ErrInvalid, a
// reply with another length ErrChecksum, a body shorter than announced ErrTruncated.
// The HTTP status decides, whatever the body says. After a cancellation the error
// matches context.Canceled and no kind. No error holds a URL, a signature or a secret.
//
// # Cost
//
// Each call is one request; without Ref.Handle Delete is three, Purge one or two, and Head and Open of
// an image or video that is missing, or was stored raw, are two. Put computes the MD5
// of the body while it is sent. URLs and signatures need no request.
//
// # Limits
//
// One request takes 100 MB at most. Chunks go in order, one at a time, and cannot be
// listed, so that resuming needs the caller's own record of them. CacheControl and
// Disposition are not stored; Metadata is, as contextual metadata, but Head and Open,
// which use the delivery URL, do not tell it. Edges may serve deleted and overwritten
// content for a while, in spite of the invalidation that is asked for. Only what has
// the extension of an image or video that Cloudinary knows is stored as one.
//
// # Background
//
// Cloudinary's upload API reference and its notes on signatures and chunked uploads.
// The official Go client takes a reply of status 500 for success, so that this
// package speaks HTTP itself.
package cloudinarycdn
