package cdn

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
)

// Provider stores objects under keys. It is the whole contract that a backend
// must fulfil; more powers are optional interfaces found by type assertion:
// [Lister], [Copier], [Multiparter], [Presigner], [FormPresigner], [Transformer],
// [Purger].
//
// A Provider is safe for concurrent use, makes exactly one attempt per call (the
// [Uploader] owns all retries) and returns errors that match this package's
// sentinels, wrapped in an [OpError]. Package cdntest proves an implementation.
type Provider interface {
	// Put stores body under obj.Key, replacing what is there unless obj.CreateOnly.
	// Repeating a Put of equal content is harmless. It returns once the provider
	// has confirmed the object; Info.Verified tells whether it confirmed the
	// content too, by an echoed checksum or signature. The body is not read any more
	// once Put has returned.
	Put(ctx context.Context, obj Object, body io.ReaderAt) (Info, error)
	// Head describes the object, or returns an error matching ErrNotFound.
	Head(ctx context.Context, ref Ref) (Info, error)
	// Open reads length bytes from offset; length < 0 reads to the end. The caller
	// closes the reader. A missing object is an error matching ErrNotFound.
	Open(ctx context.Context, ref Ref, offset, length int64) (io.ReadCloser, Info, error)
	// Delete removes the object. Deleting a missing object is not an error.
	Delete(ctx context.Context, ref Ref) error
	// URL returns where the public reads the object. It does no I/O.
	URL(ref Ref) (string, error)
}

// Namer is an optional interface of a [Provider] that has a name of its own for
// results, logs and metric labels, such as "s3". Without it the name is "provider".
type Namer interface {
	// ProviderName is short, constant and without secrets.
	ProviderName() string
}

// Object describes content to store. The provider must not modify it.
type Object struct {
	// Key is the object's full name, slash-separated, already checked by CheckKey.
	Key string
	// Size is the exact length of the body in bytes.
	Size int64
	// ContentType is a media type; never empty.
	ContentType string
	// CacheControl and Disposition are sent as the headers of those names when
	// not empty.
	CacheControl, Disposition string
	// Metadata is stored with the object where the provider can. Keys are lower case.
	Metadata map[string]string
	// SHA256 and CRC32C are the checksums of the body. The all-zero SHA256 means
	// unknown; CRC32C counts only when HasCRC32C is set.
	SHA256    [32]byte
	CRC32C    uint32 // Castagnoli
	HasCRC32C bool   // CRC32C is known
	// CreateOnly makes Put fail with ErrExists when the key is taken, where the
	// provider can tell; others ignore it.
	CreateOnly bool
	// Transform asks for a quality or format at upload time. Only a Transformer
	// is ever given a non-zero one.
	Transform Transform
}

// Ref names a stored object. Handle is the provider's own locator, opaque to
// everyone else, as returned in Info.Ref: for example the resource type that
// Cloudinary decided on, or a Vercel Blob URL. It may be empty, and then the
// provider finds the object by Key alone as well as it can.
type Ref struct {
	Key    string // as in Object
	Handle string // the provider's, may be empty
}

// Info describes a stored object. Fields that the provider does not tell are zero.
type Info struct {
	Ref          Ref               // to use in later calls
	Size         int64             // of the whole object in bytes
	ContentType  string            // as stored
	CacheControl string            // as stored
	Disposition  string            // as stored
	Metadata     map[string]string // the receiver's own; keys are lower case
	ETag         string            // as the provider writes it, with quotes if it has them; Put tells the one that Head will, or none
	SHA256       [32]byte          // all zero: not told
	CRC32C       uint32            // counts only when HasCRC32C is set
	HasCRC32C    bool              // CRC32C was told
	ModTime      time.Time         // zero: not told
	// Verified is set by Put and Complete when the provider proved that it holds
	// the content which was sent. Without it the Uploader checks by Head.
	Verified bool
}

// Lister is a [Provider] that can enumerate its objects in no particular order.
type Lister interface {
	// List yields what begins with prefix; an error ends it.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
}

// Copier is a [Provider] that copies an object without downloading it. The
// content type, cache control, disposition and metadata of to apply to the copy.
type Copier interface {
	// Copy stores the content of from under to.Key.
	Copy(ctx context.Context, from Ref, to Object) (Info, error)
}

// Purger is a [Provider] that can drop cached copies from its edge.
type Purger interface {
	// Purge returns once the provider has accepted the request. A Ref.Key that ends in
	// a slash stands for all keys below it, and "/" for all; a provider that purges
	// single keys only refuses those. A missing object is not an error. Without refs it
	// does no I/O and tells whether it can purge at all. What it cannot do is an error
	// matching ErrInvalid and errors.ErrUnsupported, and nothing is purged then.
	Purge(ctx context.Context, refs ...Ref) error
}

// Multiparter is a [Provider] that takes an object in parts, so that content of
// unknown length can be sent with bounded memory and a broken upload resumed.
type Multiparter interface {
	// PartLimits tells what parts are allowed.
	PartLimits() PartLimits
	// Begin opens an upload. obj.Size is -1 when the length is not known yet.
	Begin(ctx context.Context, obj Object) (uploadID string, err error)
	// PutPart stores one part. Repeating it with the same number replaces it.
	PutPart(ctx context.Context, obj Object, uploadID string, part Part, body io.ReaderAt) (PartInfo, error)
	// Parts lists what the provider holds of an upload, in order of number.
	Parts(ctx context.Context, obj Object, uploadID string) ([]PartInfo, error)
	// Complete joins the parts, which it is given in order of number.
	Complete(ctx context.Context, obj Object, uploadID string, parts []PartInfo) (Info, error)
	// Abort forgets the upload. Aborting an unknown one is not an error.
	Abort(ctx context.Context, obj Object, uploadID string) error
}

// PartLimits bounds the parts of a multipart upload. Zero fields mean no limit.
type PartLimits struct {
	MinSize, MaxSize int64 // bytes; MinSize does not bind the last part
	MaxParts         int   // of one upload
	// Sequential is set when parts must arrive in order, one at a time.
	Sequential bool
}

// Part names one part of an upload.
type Part struct {
	Number int   // from 1
	Offset int64 // of its first byte in the object
	Size   int64 // bytes
	// Last is set on the final part; Total is then the length of the object,
	// and -1 before that unless it was known at Begin.
	Last   bool
	Total  int64  // bytes
	CRC32C uint32 // of the part; 0: not known
}

// PartInfo is what a provider confirmed of a part. It is journaled, so that it
// must hold all that Complete needs.
type PartInfo struct {
	Number int    `json:"n"`                // as in Part
	Size   int64  `json:"size"`             // bytes
	ETag   string `json:"etag,omitempty"`   // the provider's, opaque
	CRC32C uint32 `json:"crc32c,omitempty"` // if the provider told
}

// Presigner is a [Provider] that lets a browser upload or fetch an object itself.
type Presigner interface {
	// PresignPut permits one upload to whoever holds the result.
	PresignPut(ctx context.Context, req PresignRequest) (DirectUpload, error)
	// PresignGet is an address that reads a private object until expiry.
	PresignGet(ctx context.Context, ref Ref, expiry time.Duration) (string, error)
}

// PresignRequest describes the one upload that a [DirectUpload] permits.
type PresignRequest struct {
	Key         string        // to store under
	ContentType string        // that the client must send
	MaxBytes    int64         // 0: the provider's limit
	Size        int64         // exact length when known, else 0
	Expiry      time.Duration // 0: 15 minutes
}

// FormPresigner is a [Provider] that lets a browser upload by an HTML form, with or
// without a script, under a policy that the provider enforces.
type FormPresigner interface {
	// PresignForm permits uploads to whoever holds the result, until it expires.
	PresignForm(ctx context.Context, req FormRequest) (DirectUpload, error)
}

// FormRequest is the policy of a form.
type FormRequest struct {
	// Key to store under. When it ends in a slash the client chooses what follows, in
	// the form's field "key"; untouched that is the name of its file. Give each user a
	// folder of its own, since files there can be replaced, and judge a key that a
	// client tells by CheckKey and the folder.
	Key string
	// ContentType is what the file is stored as, whatever the client says; "": the
	// provider's default.
	ContentType        string
	MinBytes, MaxBytes int64         // of the file; MaxBytes 0: the provider's limit
	Expiry             time.Duration // 0: 15 minutes
	Status             int           // of the reply to a success: 200, 201 or 204; 0: 204
}

// Checked returns r with its defaults, or an error matching ErrKey or ErrInvalid. It is
// for implementations of [FormPresigner].
func (r FormRequest) Checked() (FormRequest, error) {
	setDefault(&r.Status, 204)
	err := CheckKey(strings.TrimSuffix(r.Key, "/"))
	switch {
	case err != nil:
	case strings.Contains(r.Key, "${"): // servers put the name of the file there
		err = fmt.Errorf("%w: the key of a form holds ${", ErrKey)
	case r.MinBytes < 0 || r.MaxBytes < 0 || r.MaxBytes > 0 && r.MinBytes > r.MaxBytes:
		err = fmt.Errorf("%w: %d to %d bytes", ErrInvalid, r.MinBytes, r.MaxBytes)
	case r.Status != 200 && r.Status != 201 && r.Status != 204:
		err = fmt.Errorf("%w: status %d is not 200, 201 or 204", ErrInvalid, r.Status)
	case !isText(r.ContentType):
		err = fmt.Errorf("%w: a control character in ContentType", ErrInvalid)
	}
	return r, err
}

// DirectUpload tells a client how to send one object to the provider: as the body
// of a request with Method and Header, or, when Fields is not nil, as a multipart
// form with these fields followed by the file, as the last one, in the field FileField.
type DirectUpload struct {
	Method    string            // such as "PUT"
	URL       string            // to send it to
	Header    map[string]string // to send with it
	Fields    map[string]string // nil: the body is the object itself
	FileField string            // name of the form field with the file
	Expires   time.Time         // end of the permission
}

// Transform is a rendition of an image. The zero value is the original.
type Transform struct {
	Width, Height int    // pixels; 0: by aspect ratio
	Quality       int    // 1 to 100; 0: the original's, or the provider's choice
	Format        string // "jpeg", "png", "webp", "avif", "auto"; "": the original's
	Fit           string // "", "contain", "cover"
}

// IsZero reports whether t asks for nothing.
func (t Transform) IsZero() bool { return t == Transform{} }

// Transformer is a [Provider] that renders images itself, both when it stores
// them (Object.Transform) and by URL.
type Transformer interface {
	// TransformURL is the address of a rendition. It does no I/O.
	TransformURL(ref Ref, t Transform) (string, error)
}
