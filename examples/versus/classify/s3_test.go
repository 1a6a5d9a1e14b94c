package classify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsretry "github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/perfblocks/perfblocks/resilience"
)

// storeError is one error reply of Amazon S3's API reference, "Error responses".
type storeError struct {
	status int
	code   string
	ref    string
	class  resilience.Class
	flags  flags
}

// storeErrors are codes whose status and text the reference gives.
func storeErrors() []storeError {
	const again = retry | counts
	bad, conflict, cred := resilience.ClassInvalid, resilience.ClassConflict, resilience.ClassUnauthorized
	return []storeError{
		{404, "NoSuchKey", "The specified key does not exist", resilience.ClassNotFound, none},
		{404, "NoSuchBucket", "The specified bucket does not exist", resilience.ClassNotFound, none},
		{404, "NoSuchUpload", "The specified multipart upload does not exist", resilience.ClassNotFound, none},
		{403, "AccessDenied", "Access Denied", cred, none},
		{403, "InvalidAccessKeyId", "The access key ID does not exist in our records", cred, none},
		{403, "SignatureDoesNotMatch", "The request signature does not match", cred, none},
		{403, "RequestTimeTooSkewed", "The request time and the server's time differ too much", cred, none},
		{400, "ExpiredToken", "The provided token has expired", cred, none},
		{503, "SlowDown", "Please reduce your request rate", resilience.ClassThrottled, again},
		{503, "ServiceUnavailable", "Service is unable to handle request", resilience.ClassUnavailable, again},
		{500, "InternalError", "An internal error occurred. Try again", resilience.ClassInternal, again},
		{400, "RequestTimeout", "The socket connection was not read or written in time", resilience.ClassTimeout, again},
		{409, "OperationAborted", "A conflicting operation is in progress. Try again", conflict, retry},
		{409, "ConditionalRequestConflict", "A conflicting operation occurred during the request; retry the upload", conflict, retry},
		{412, "PreconditionFailed", "A precondition did not hold (RFC 9110, 13.1.1: a lost update); the same request fails again", conflict, none},
		{409, "BucketAlreadyOwnedByYou", "The bucket exists, and you own it", bad, none},
		{409, "BucketAlreadyExists", "The requested bucket name is not available", bad, none},
		{409, "BucketNotEmpty", "The bucket is not empty", bad, none},
		{400, "EntityTooLarge", "The upload exceeds the maximum allowed object size", bad, none},
		{400, "InvalidBucketName", "The specified bucket is not valid", bad, none},
		{400, "BadDigest", "The Content-MD5 or checksum did not match", bad, none},
		{400, "InvalidPart", "One or more of the specified parts could not be found", bad, none},
		{400, "KeyTooLongError", "The key is too long", bad, none},
		{416, "InvalidRange", "The requested range is not valid for the request", bad, none},
		{405, "MethodNotAllowed", "The method is not allowed against this resource", bad, none},
		{501, "NotImplemented", "A header implies functionality that is not implemented", resilience.ClassPermanent, none},
	}
}

func storeClient(endpoint string, change ...func(*s3.Options)) *s3.Client {
	o := s3.Options{BaseEndpoint: &endpoint, Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1, HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
	})
	return s3.New(o, change...)
}

// fetchObject reads an object to its end.
func fetchObject(t *testing.T, c *s3.Client) error {
	out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key")})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	_, err = io.Copy(io.Discard, out.Body)
	return err
}

// store answers every request alike, as long as it is signed.
func store(t *testing.T, status int, body string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			http.Error(w, "not signed", http.StatusTeapot)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, body)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func errorXML(code, text string) string {
	return fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message><Resource>/bucket/key</Resource><RequestId>1</RequestId></Error>", code, text)
}

func s3Rows(t *testing.T) []row {
	const again = retry | counts
	var rows []row
	for _, e := range storeErrors() {
		rows = append(rows, row{"S3 " + e.code, "Amazon S3, error responses: " + e.ref, e.code, is(e.class, e.code, e.flags), func(t *testing.T) error {
			return fetchObject(t, storeClient(store(t, e.status, errorXML(e.code, e.ref))))
		}})
	}
	head := func(status int) func(*testing.T) error {
		return func(t *testing.T) error {
			_, err := storeClient(store(t, status, "")).HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key")})
			return err
		}
	}
	return append(rows, []row{
		{"S3 HEAD 404", "Amazon S3, HeadObject: a generic code, no body", "404", is(resilience.ClassNotFound, "", none), head(404)},
		{"S3 HEAD 403", "Amazon S3, HeadObject: a generic code, no body", "403", is(resilience.ClassUnauthorized, "", none), head(403)},
		{"S3 HEAD 503", "RFC 9110, 15.6.4, without a body", "503", is(resilience.ClassUnavailable, "", again), head(503)},
		{"S3 gateway 502", "RFC 9110, 15.6.3: not of S3", "502", is(resilience.ClassUnavailable, "", again), func(t *testing.T) error {
			return fetchObject(t, storeClient(store(t, 502, "<html>Bad Gateway</html>")))
		}},
		{"S3 error in a 200", "Amazon S3, CopyObject: a 200 may hold an error", "InternalError", is(resilience.ClassInternal, "InternalError", again), func(t *testing.T) error {
			_, err := storeClient(store(t, 200, errorXML("InternalError", "x"))).CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key"), CopySource: aws.String("a/b")})
			return err
		}},
		{"S3 attempts spent", "go doc retry.MaxAttemptsError: wraps SlowDown", "exceeded maximum number of attempts", is(resilience.ClassThrottled, "SlowDown", again|variant), func(t *testing.T) error {
			return fetchObject(t, storeClient(store(t, 503, errorXML("SlowDown", "x")), func(o *s3.Options) {
				o.RetryMaxAttempts = 2
				o.Retryer = awsretry.NewStandard(func(so *awsretry.StandardOptions) { so.MaxAttempts, so.MaxBackoff = 2, time.Millisecond })
			}))
		}},
		{"S3 reply malformed", "go doc smithy.DeserializationError: the reply is no XML of S3", "deserialization", is(resilience.ClassInternal, "", again), func(t *testing.T) error {
			_, err := storeClient(store(t, 200, "<ListBucketResult><Contents></ListBucketResult>")).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("bucket")})
			return err
		}},
		{"S3 parameter missing", "go doc smithy.InvalidParamsError: found before sending", "missing required field", is(resilience.ClassInvalid, "", notSent), func(t *testing.T) error {
			_, err := storeClient("http://127.0.0.1:1").GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket")})
			return err
		}},
		{"S3 no credentials", "go doc aws.CredentialsProvider: nothing to sign with", "credentials", is(resilience.ClassUnauthorized, "", notSent), func(t *testing.T) error {
			return fetchObject(t, storeClient("http://127.0.0.1:1", func(o *s3.Options) {
				o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{}, errors.New("no role")
				})
			}))
		}},
		{"S3 refused", "connect(2) ECONNREFUSED", "refused", is(resilience.ClassUnavailable, "ECONNREFUSED", again|notSent|variant), func(t *testing.T) error { return fetchObject(t, storeClient("http://"+refused(t))) }},
		{"S3 canceled", "go doc aws.RequestCanceledError", "canceled", is(resilience.ClassCanceled, "", none), func(t *testing.T) error {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			_, err := storeClient(stall(t, "")).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key")})
			return err
		}},
		{"S3 body not seekable", "AWS SDK for Go v2, s3.PutObject over http: the payload hash needs a seekable stream", "seekable", is(resilience.ClassInvalid, "", notSent), func(t *testing.T) error {
			_, err := storeClient("http://127.0.0.1:1").PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key"), Body: io.MultiReader(bytes.NewReader([]byte("x")))})
			return err
		}},
	}...)
}
