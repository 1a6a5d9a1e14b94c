// Package cdnenv makes a provider of package cdn from environment variables, so that
// a service changes its storage without a change of code.
//
// # Getting started
//
//	p, err := cdnenv.Provider(os.Getenv)
//	if err != nil {
//		log.Fatal(err) // names every missing or contradictory variable
//	}
//	up, err := cdn.New(p, cdn.Options{Fallback: local})
//
// # Units
//
// Spaces around a value are ignored, and an empty variable counts as not set.
//
//	CDN_PROVIDER               s3, cloudinary, vercel or local; empty: local
//
//	CDN_LOCAL_DIR              local: the directory, required
//	CDN_LOCAL_URL              local: path or address of the handler; default /
//
//	CDN_S3_BUCKET              s3: the bucket, required
//	CDN_S3_REGION              s3: the region; default AWS_REGION, AWS_DEFAULT_REGION, the SDK's chain
//	CDN_S3_ENDPOINT            s3: a service other than AWS, as a URL
//	CDN_S3_PATH_STYLE          s3: true puts the bucket into the path
//	CDN_S3_PUBLIC_URL          s3: where the public reads the bucket
//	CDN_S3_PREFIX              s3: put before every key
//	AWS_ACCESS_KEY_ID          s3: credentials, with the next one; default the SDK's chain
//	AWS_SECRET_ACCESS_KEY      s3: see above
//	AWS_SESSION_TOKEN          s3: for temporary credentials
//
//	CLOUDINARY_URL             cloudinary: cloudinary://key:secret@cloud, or the next three
//	CLOUDINARY_CLOUD_NAME      cloudinary: the product environment
//	CLOUDINARY_API_KEY         cloudinary: credentials, with the next one
//	CLOUDINARY_API_SECRET      cloudinary: see above
//	CLOUDINARY_UPLOAD_PRESET   cloudinary: for unsigned uploads without credentials
//
//	BLOB_READ_WRITE_TOKEN      vercel: the store's token, required
//	VERCEL_BLOB_API_URL        vercel: another base URL of the API
//
// # Concurrency
//
// [New] may be called by several goroutines if getenv may. What it returns is
// safe for concurrent use.
//
// # Errors
//
// The error matches [cdn.ErrOptions] and names all variables that are wrong, on a
// line each. It never holds a value, but the first letters of an unknown CDN_PROVIDER. The
// local provider may fail with cdn.ErrLocked or an error of the file system too.
//
// # Cost
//
// New sends nothing. For s3 without AWS_ACCESS_KEY_ID, or without a region, the
// SDK reads its own variables (not through getenv) and its shared files.
//
// # Limits
//
// Variables of providers that CDN_PROVIDER does not name are ignored. The package
// links all providers, and with them the AWS SDK; a program that uses one provider
// may call that one's New instead.
//
// # Background
//
// CLOUDINARY_URL, the AWS variables and BLOB_READ_WRITE_TOKEN are those of the
// services' official clients.
package cdnenv
