package s3cdn

import (
	"context"
	"errors"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// fail makes an OpError of what the SDK returned. It keeps the cause of a network
// failure and the service's message, and drops the SDK's own text, which repeats
// URLs with their query.
func (p *Provider) fail(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*cdn.OpError](err); ok {
		return err
	}
	e := &cdn.OpError{Provider: p.opts.Name, Op: op, Key: key}
	if re, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		e.Status, e.RequestID = re.HTTPStatusCode(), re.ServiceRequestID()
		if re.Response != nil {
			e.Wait = httpcall.RetryAfter(re.Response.Header.Get("Retry-After"))
		}
	}
	if re, ok := errors.AsType[*replyError](err); ok {
		e.Status, e.RequestID, e.Wait = re.status, httpcall.Clip(re.requestID, 128), re.wait
	}
	if ae, ok := errors.AsType[smithy.APIError](err); ok {
		e.Code = httpcall.Clip(ae.ErrorCode(), 64)
		if m := httpcall.Clip(ae.ErrorMessage(), 200); m != "" {
			e.Err = errors.New(m)
		}
	}
	if ctx.Err() != nil {
		e.Kind, e.Err = httpcall.Cancelled(ctx)
		return e
	}
	if be, ok := errors.AsType[*httpcall.BodyError](err); ok {
		e.Kind, e.Err = be.Kind(), be.Unwrap()
		return e
	}
	if ce, ok := errors.AsType[*credentialsError](err); ok && e.Status < 500 {
		e.Kind, e.Err = cdn.ErrAuth, stripURL(ce)
		return e
	}
	_, sent := errors.AsType[*smithyhttp.RequestSendError](err)
	if se, ok := errors.AsType[*sendError](err); ok {
		sent, err = true, se.err
	}
	switch {
	case e.Status == 0 && !sent: // the SDK could not even make the request
		e.Kind, e.Err = cdn.ErrInvalid, stripURL(err)
	case e.Status == 0:
		e.Kind, e.Err = cdn.ErrUnavailable, stripURL(err)
	case e.Status < 300:
		e.Kind, e.Err = cdn.ErrUnavailable, errors.New("the reply is not S3's")
	default:
		e.Kind = kindOf(e.Status, e.Code)
	}
	return e
}

// stripURL drops the URL that net/http puts into its errors, with its query.
func stripURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	if oe, ok := errors.AsType[*smithy.OperationError](err); ok {
		return oe.Err
	}
	return err
}

// kindOf classifies a reply by its code, which is finer, and else by its status.
func kindOf(status int, code string) error {
	switch code {
	case "NoSuchKey", "NoSuchUpload", "NoSuchVersion":
		return cdn.ErrNotFound
	case "ObjectParentIsFile", "ExistingObjectIsDirectory":
		return cdn.ErrKey // gateways over a file system: a and a/b exclude each other
	case "NoSuchBucket", "NotImplemented", "InvalidObjectState", "PermanentRedirect", "TemporaryRedirect":
		return cdn.ErrInvalid
	case "PreconditionFailed", "ConditionalRequestConflict":
		return cdn.ErrExists
	case "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "TooManyRequestsException":
		return cdn.ErrRateLimited
	case "EntityTooLarge", "MaxMessageLengthExceeded":
		return cdn.ErrTooLarge
	case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return cdn.ErrChecksum
	case "RequestTimeTooSkewed", "RequestTimeout", "OperationAborted", "IncompleteBody", "InternalError":
		// A skewed clock heals by itself: the SDK has learned the difference from
		// this reply and signs the next call with the server's time.
		return cdn.ErrUnavailable
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch",
		"AccessDenied", "AuthorizationHeaderMalformed":
		return cdn.ErrAuth
	}
	return httpcall.KindOfStatus(status)
}

// refuse is an OpError for a call that is not sent at all.
func (p *Provider) refuse(op, key string, kind, cause error) error {
	return &cdn.OpError{Provider: p.opts.Name, Op: op, Key: key, Kind: kind, Err: cause}
}

// credentialsError marks a failure to get credentials, so that it is not taken for
// an unreachable bucket.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// credentialsProvider marks the errors of another one.
type credentialsProvider struct{ aws.CredentialsProvider }

// Retrieve asks the inner provider.
func (c credentialsProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	v, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return v, &credentialsError{err}
	}
	return v, nil
}

// IsCredentialsProvider lets the SDK see through the wrapper.
func (c credentialsProvider) IsCredentialsProvider(target aws.CredentialsProvider) bool {
	return aws.IsCredentialsProvider(c.CredentialsProvider, target)
}
