package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
	"github.com/perfblocks/perfblocks/imageopt"
	"github.com/perfblocks/perfblocks/memory"
	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

// fault is an error with the status and the words that a client may see.
func fault(status int, code, detail string, cause error) error {
	if cause == nil {
		cause = errors.New(detail)
	}
	return resilience.Public(resilience.WithCode(resiliencehttp.WithStatus(cause, status), code), detail)
}

func invalid(detail string) error { return fault(http.StatusBadRequest, "invalid", detail, nil) }

func noRoute(http.ResponseWriter, *http.Request) error {
	return fault(http.StatusNotFound, "no_route", "there is nothing at this address", nil)
}

// known says what the blocks' errors mean to a client, the first match counts.
var known = []struct {
	err    error
	status int
	code   string
	detail string
}{
	{store.ErrNotFound, http.StatusNotFound, "not_found", "there is no such user or conversation"},
	{cache.ErrNotFound, http.StatusNotFound, "not_found", "there is no such user or conversation"},
	{imageopt.ErrTooLarge, http.StatusRequestEntityTooLarge, "image_too_large", "the image has too many pixels, frames or bytes"},
	{imageopt.ErrUnsupported, http.StatusUnsupportedMediaType, "image_unsupported", "send a JPEG, PNG, GIF or WebP image"},
	{imageopt.ErrTruncated, http.StatusUnprocessableEntity, "image_truncated", "the image ends too early"},
	{imageopt.ErrCorrupt, http.StatusUnprocessableEntity, "image_corrupt", "the image cannot be decoded"},
	{imageopt.ErrBusy, http.StatusServiceUnavailable, "busy", "too many images at once; try again soon"},
	{memory.ErrTooLarge, http.StatusRequestEntityTooLarge, "too_large", "the upload is too large"},
	{cdn.ErrTooLarge, http.StatusRequestEntityTooLarge, "too_large", "the upload is too large"},
	{cdn.ErrType, http.StatusUnsupportedMediaType, "unsupported_type", "this type of file is not taken"},
	{cdn.ErrUnavailable, http.StatusServiceUnavailable, "cdn_unavailable", "the image could not be stored; try again soon"},
	{cdn.ErrClosed, http.StatusServiceUnavailable, "stopping", "the service is stopping"},
}

// errorsToProblems makes a handler of one that returns its error. The client gets a
// problem (RFC 9457) that says nothing of the inside; failures of ours are logged.
func (a *app) errorsToProblems(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return resiliencehttp.ErrorHandling{Logger: a.log, Problem: problemOf}.Handler(h)
}

// problemOf is what a client is told of err. What a handler said by fault counts
// first, then what is known of the blocks' errors.
func problemOf(err error) resiliencehttp.Problem {
	if _, said := resilience.PublicText(err); !said {
		for _, k := range known {
			if errors.Is(err, k.err) {
				return resiliencehttp.ProblemOf(fault(k.status, k.code, k.detail, err))
			}
		}
	}
	return resiliencehttp.ProblemOf(err)
}

// equalSecret compares in constant time, whatever the lengths.
func equalSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
