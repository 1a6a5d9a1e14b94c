package resiliencehttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// ErrProblem matches the errors of [ReadProblem] about an answer that is no problem.
var ErrProblem = errors.New("resiliencehttp: not a problem document")

// maxProblem bounds the bodies that ReadProblem reads, in bytes.
const maxProblem = 64 << 10

// ReadProblem reads the problem that an upstream answered with: a status of 400 to
// 599 and a body of type application/problem+json, one JSON object of at most 64 KiB.
// Status is that of the response, whatever the body says. Members of another type
// than RFC 9457 gives them, and members unknown here, are passed over, as it asks.
// RetryAfter comes from the header; it is 0 without one.
//
// Any other answer gives an error matching [ErrProblem], and a body that cannot be
// read the error of reading it. The body is consumed, but the caller closes it, as
// always. The texts are the upstream's, and may hold anything: do not show or send
// them on.
func ReadProblem(resp *http.Response) (Problem, error) {
	if resp.StatusCode < 400 || resp.StatusCode > 599 {
		return Problem{}, fmt.Errorf("%w: status %d", ErrProblem, resp.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/problem+json" {
		return Problem{}, fmt.Errorf("%w: another content type", ErrProblem)
	}
	if resp.Body == nil {
		return Problem{}, fmt.Errorf("%w: no body", ErrProblem)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem+1))
	switch {
	case err != nil:
		return Problem{}, fmt.Errorf("resiliencehttp: read problem: %w", err)
	case len(text) > maxProblem:
		return Problem{}, fmt.Errorf("%w: more than %d bytes", ErrProblem, maxProblem)
	}
	p, err := parseProblem(text)
	if err != nil {
		return Problem{}, err
	}
	p.Status = resp.StatusCode
	p.RetryAfter, _ = resilience.ParseRetryAfter(resp.Header.Get("Retry-After"), time.Now())
	return p, nil
}

// parseProblem reads the members by their exact names, which decoding into a Problem
// would not insist on.
func parseProblem(text []byte) (Problem, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return Problem{}, fmt.Errorf("%w: not a JSON object", ErrProblem) // The error quotes the body.
	}
	var p Problem
	for name, to := range map[string]*string{
		"type": &p.Type, "title": &p.Title, "detail": &p.Detail, "instance": &p.Instance, "code": &p.Code,
	} {
		if raw := bytes.TrimSpace(members[name]); len(raw) > 0 && raw[0] == '"' {
			_ = json.Unmarshal(raw, to) // It is a string, and was found well-formed above.
		}
	}
	return p, nil
}
