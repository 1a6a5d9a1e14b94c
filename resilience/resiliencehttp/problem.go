package resiliencehttp

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/internal/errtree"
)

// Problem is a problem detail of RFC 9457, the body of an error response. It holds
// only what the client may know.
type Problem struct {
	// Type is a URI that identifies the kind of problem; empty stands for about:blank.
	Type string `json:"type,omitempty"`
	// Title is a short text that is the same for each occurrence.
	Title string `json:"title,omitempty"`
	// Status is the HTTP status, 400 to 599.
	Status int `json:"status,omitempty"`
	// Detail says what is special about this occurrence, to a human.
	Detail string `json:"detail,omitempty"`
	// Instance is a URI that identifies this occurrence.
	Instance string `json:"instance,omitempty"`
	// Code is the application's own code for programs, such as "quota_exceeded".
	Code string `json:"code,omitempty"`
	// RetryAfter is sent as the Retry-After header, in whole seconds; 0: not sent.
	RetryAfter time.Duration `json:"-"`
}

// statusError carries the status that the service chose for an error.
type statusError struct {
	err    error
	status int
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// WithStatus says with which HTTP status, 400 to 599, err is to be answered; any
// other status is answered as 500. The outermost wins. WithStatus(nil, s) is nil.
func WithStatus(err error, status int) error {
	if err == nil {
		return nil
	}
	if status < 400 || status > 599 {
		status = http.StatusInternalServerError
	}
	return &statusError{err: err, status: status}
}

// ProblemOf returns the problem that tells a client about err: its status, the
// title of that status, as detail the text given by resilience.Public, as code the
// one given by resilience.WithCode, and nothing else of the error. A status or a
// code that an upstream gave is never passed on. The status is, the first that fits:
//
//   - the one given by [WithStatus]; 413 for an *http.MaxBytesError;
//   - by a class given by resilience.Mark: 404 not_found, 400 invalid,
//     403 unauthorized, 409 conflict, 429 throttled;
//   - 499 canceled; 504 timeout; 503 unavailable, overloaded, rejected, throttled
//     and conflict;
//   - 404 not_found of our own stores, such as sql.ErrNoRows;
//   - 502 anything else that an HTTP upstream or an API answered;
//   - 500.
//
// 429 and 503 carry a Retry-After.
func ProblemOf(err error) Problem {
	info := resilience.Classify(err)
	p := Problem{Status: statusFor(err, info), RetryAfter: info.RetryAfter}
	p.Title = http.StatusText(p.Status)
	if p.Title == "" {
		p.Title = "Error"
	}
	p.Detail, _ = resilience.PublicText(err)
	p.Code, _ = resilience.PublicCode(err)
	if p.Status != http.StatusServiceUnavailable && p.Status != http.StatusTooManyRequests {
		p.RetryAfter = 0
	} else if p.RetryAfter == 0 {
		p.RetryAfter = time.Second
	}
	return p
}

// statusClientClosed is the status under which a request is logged whose client
// went away; nobody receives it.
const statusClientClosed = 499

func statusFor(err error, info resilience.Info) int {
	if e, ok := errtree.As[*statusError](err); ok {
		return e.status
	}
	if _, ok := errtree.As[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	marked := info.Source == "mark"
	switch info.Class {
	case resilience.ClassCanceled:
		return statusClientClosed
	case resilience.ClassTimeout:
		return http.StatusGatewayTimeout
	case resilience.ClassUnavailable, resilience.ClassOverloaded, resilience.ClassRejected:
		return http.StatusServiceUnavailable
	case resilience.ClassThrottled:
		if marked {
			return http.StatusTooManyRequests
		}
		return http.StatusServiceUnavailable
	case resilience.ClassConflict:
		switch {
		case marked:
			return http.StatusConflict
		case info.Retryable:
			return http.StatusServiceUnavailable
		}
	case resilience.ClassNotFound:
		if upstream := info.Source == "http" || info.Source == "api"; !upstream {
			return http.StatusNotFound
		}
	case resilience.ClassInvalid:
		if marked {
			return http.StatusBadRequest
		}
	case resilience.ClassUnauthorized:
		if marked {
			return http.StatusForbidden
		}
	default: // Unknown, Permanent, Internal: ours to answer for.
	}
	if info.Source == "http" || info.Source == "api" {
		return http.StatusBadGateway
	}
	return http.StatusInternalServerError
}

// WriteProblem sends p as application/problem+json and takes away the headers that
// belonged to the answer it replaces. A status outside 400 to 599 is sent as 500.
// The handler must not have written anything before, and should return after it.
func WriteProblem(w http.ResponseWriter, p Problem) {
	if p.Status < 400 || p.Status > 599 {
		p.Status = http.StatusInternalServerError
	}
	if p.Title == "" && p.Type == "" {
		p.Title = http.StatusText(p.Status)
	}
	body, err := json.Marshal(p)
	if err != nil { // Strings and a number cannot fail.
		body = []byte("{}")
	}
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Range", "Etag", "Last-Modified", "Content-Disposition"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.RetryAfter > 0 {
		seconds := int64(math.Ceil(p.RetryAfter.Seconds()))
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // The client may be gone.
}

// WriteError answers with the problem that [ProblemOf] makes of err.
func WriteError(w http.ResponseWriter, err error) { WriteProblem(w, ProblemOf(err)) }
