// Package cdn uploads files to a CDN or object store and loses none of them when
// it is down: an upload then falls back to local disk, is served from there, and
// is promoted later, with proof.
//
// # Getting started
//
//	local, err := cdn.NewLocal(cdn.LocalOptions{Dir: "data/files", URL: "/files/"})
//	up, err := cdn.New(provider, cdn.Options{Fallback: local})
//	mux.Handle("/files/", local)
//	go up.Run(ctx)
//	res, err := up.Upload(ctx, "Photo 1.JPG", body, cdn.UploadOptions{Folder: "photos"})
//	// Keep res.Key; give res.URL to the browser.
//	…
//	err = errors.Join(up.Shutdown(ctx), local.Close())
//
// Providers are in the packages below this one: s3cdn, cloudinarycdn, vercelcdn,
// and cdnenv, which chooses one by environment variables. A [Local] is a provider
// too. Package cdntest checks a provider of your own.
//
// # Edges
//
// Content under an explicit key may be cached by the provider's edge. [Uploader.Purge]
// makes it forget keys, or all below one ("img/"); Options.Purge does so after each
// upload, promotion and delete. Derived keys need neither.
//
// # Browsers
//
// A [Presigner] permits one upload or one read, a [FormPresigner] uploads by an HTML form
// under a policy. A Local has both, as S3 has them.
//
// # Mirrors
//
// [NewMirror] makes one provider of several: a write is done when all have it, a read
// comes from the first that answers.
//
//	mirror, err := cdn.NewMirror([]cdn.Provider{s3, r2}, cdn.MirrorOptions{})
//	up, err := cdn.New(mirror, cdn.Options{Fallback: local})
//
// # Units
//
// Sizes are bytes, durations are [time.Duration], keys are slash-separated UTF-8
// (see [CheckKey]).
//
// # Concurrency
//
// An [Uploader] and a [Local] are safe for concurrent use. New starts no goroutine;
// promotion happens in [Uploader.Run] and [Uploader.Promote], on their caller's
// goroutine and a few more that end with the call. Each attempt at the provider
// runs on a goroutine of its own, so that a provider which ignores its context
// cannot hold up the caller; Close waits for it. Writes of one key to the provider
// happen one after the other. Hooks and Options.Process run on the goroutine that
// did the work, outside locks. A panic of a body or a hook of an upload reaches the
// caller of Upload, or the loop over UploadBatch, and leaves nothing behind; a provider's
// is an error.
//
// # Errors
//
// An error matches one of the sentinels of this package, and a failed call to the
// provider is an [*OpError] with the details. When both provider and local disk
// fail, both errors are joined. [IsUnavailable] is the rule for falling back.
//
// # Cost
//
// An upload is hashed once (SHA-256 and CRC-32C) while it is read. A body that
// offers io.ReaderAt and io.Seeker (a file, a bytes.Reader) is read in place; another
// is held in a buffer that grows from 32 KiB, or on disk when it is over 4 MiB or
// the memory bound is reached. A small body that the provider takes touches no
// disk. A fallback costs one file (written, synced, renamed, its directory synced) and one
// journal record; concurrent records share a sync.
//
// With a [Multiparter], content of more than two parts goes in parts, several at once. A
// stream of more than one part under an explicit key is sent while it is read, in
// buffers within Options.MaxMemory, or, with a Fallback, from the file that it is
// written to at the same time, unsynced. A derived key stands for the whole content, so
// that such a stream is read to its end first. With a Fallback the parts are logged, and
// a later process sends again no more than what was under way.
//
// # Limits
//
// A provider that applies an abandoned request late can overwrite newer content of
// the same explicit key, and one that damages an object while it is overwritten
// does so for good if the process is killed before it has looked; derived keys
// cannot suffer from either. Where a provider confirms no checksum, in its answer or
// by Head, the length is all that is compared: an overwrite by content of the same
// length that it drops while it reports success goes unnoticed. Local holds in memory
// each key that it holds or has promoted, about 180 bytes beside, and metadata that no
// other has (BenchmarkLocalOpen). A stream whose process is killed
// before its end is lost, since nobody has acknowledged it; what the provider has of it
// is aborted by the next pass. The
// directory lock works on Unix (flock) and Windows; elsewhere nothing stops a second
// process. On a file system that lies about fsync nothing is durable.
//
// # Background
//
// Write-ahead journal with group commit and torn-tail recovery, as databases have
// it; full jitter after Brooker, "Exponential Backoff And Jitter" (AWS, 2015);
// Retry-After after RFC 9110; range requests and validators after RFC 9110.
package cdn
