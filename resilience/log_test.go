package resilience_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// records decodes what a JSON handler wrote.
func records(t *testing.T, out *bytes.Buffer) (all []map[string]any) {
	t.Helper()
	for d := json.NewDecoder(bytes.NewReader(out.Bytes())); d.More(); {
		var r map[string]any
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func TestLoggerOncePerFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		g, err := resilience.NewGuard(resilience.GuardOptions{First: 1, Every: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 3, MaxOpenFor: time.Hour, OpenFor: time.Hour})
		p := newPipeline(t, resilience.Options{
			Name: "ai", Breaker: b, MaxOpenWait: -1, Retry: resilience.RetryOptions{MaxAttempts: 3, BaseDelay: -1},
			Logger: slog.New(g.Handler(slog.NewJSONHandler(&out, nil))),
		})
		fail := func(context.Context) error { return fmt.Errorf("ask: %w", sqlState("57P01")) }
		if err := resilience.Run(t.Context(), p, func(context.Context) error { return nil }); err != nil || out.Len() != 0 {
			t.Fatalf("a success logged %s", out.String())
		}
		for range 4 {
			_ = resilience.Run(t.Context(), p, fail) // The first by itself, the others rejected.
		}
		_ = g.Flush()
		all := records(t, &out)
		if len(all) != 3 {
			t.Fatalf("%d records; want the failure, the first rejection and the summary of two:\n%s", len(all), out.String())
		}
		first, failure := all[0], all[0]["failure"].(map[string]any)
		for key, want := range map[string]any{"operation": "ai", "attempts": 3.0, "reason": "attempts", "breaker": "open", "level": "ERROR", "type": "resilience_test.sqlState"} {
			if first[key] != want {
				t.Errorf("%s = %v; want %v", key, first[key], want)
			}
		}
		if failure["class"] != "unavailable" || failure["code"] != "57P01" || failure["source"] != "sql" {
			t.Errorf("failure = %v", failure)
		}
		if want := fmt.Sprintf("%016x", g.Observe(fail(t.Context())).Fingerprint); first["fingerprint"] != want {
			t.Errorf("fingerprint = %v; want that of Observe, %v", first["fingerprint"], want)
		}
		if all[2]["reason"] != "rejected" || all[2]["suppressed"] != 1.0 || all[2]["attempts"] != 0.0 {
			t.Errorf("summary = %v; want a rejection, one more withheld", all[2])
		}
	})
}

// TestLoggerHoldsNoSecrets greps the log for what errors carry in their texts.
func TestLoggerHoldsNoSecrets(t *testing.T) {
	const secret = "hunter2"
	failures := map[string]error{
		"plain text":     errors.New("dial postgres://bob:" + secret + "@db/app"),
		"URL":            &url.Error{Op: "Get", URL: "https://bob:" + secret + "@host/?token=" + secret, Err: errBoom},
		"wrapped":        fmt.Errorf("header Authorization: Bearer %s: %w", secret, context.DeadlineExceeded),
		"public text":    resilience.Public(errBoom, "use "+secret),
		"joined":         errors.Join(errBoom, errors.New(secret)),
		"not retryable":  resilience.Permanent(errors.New(secret)),
		"cause in panic": fmt.Errorf("%w", errors.New("panic: "+secret)),
	}
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := newPipeline(t, resilience.Options{
				Retry: resilience.RetryOptions{BaseDelay: -1}, DisableBudget: true,
				Logger: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
			})
			_ = resilience.Run(t.Context(), p, func(context.Context) error { return failure })
			if text := out.String(); strings.Contains(text, secret) || strings.Count(text, "call failed") != 1 {
				t.Errorf("logged %s; want one record without the secret", text)
			}
		})
	}
}

// TestLoggerLevels checks that what a caller may expect does not look like an outage.
func TestLoggerLevels(t *testing.T) {
	for class, want := range map[resilience.Class]string{
		resilience.ClassCanceled: "DEBUG", resilience.ClassNotFound: "WARN", resilience.ClassInvalid: "WARN", resilience.ClassUnavailable: "ERROR",
		resilience.ClassUnknown: "ERROR", resilience.ClassTimeout: "ERROR", resilience.ClassRejected: "ERROR",
	} {
		var out bytes.Buffer
		p := newPipeline(t, resilience.Options{
			Retry:  resilience.RetryOptions{MaxAttempts: 1},
			Logger: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		_ = resilience.Run(t.Context(), p, func(context.Context) error { return resilience.Mark(errBoom, class) })
		if all := records(t, &out); len(all) != 1 || all[0]["level"] != want {
			t.Errorf("%v logged as %v; want one record at %s", class, all, want)
		}
	}
}
