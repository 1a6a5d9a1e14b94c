package recipes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/perfblocks/perfblocks/resilience"
)

// tracker sends what is logged as an error to an error tracker's endpoint.
type tracker struct {
	url    string
	client *http.Client
}

func (t *tracker) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (t *tracker) WithAttrs([]slog.Attr) slog.Handler           { return t }
func (t *tracker) WithGroup(string) slog.Handler                { return t }

// Handle sends one record. A service hands this to a goroutine with a bounded queue.
func (t *tracker) Handle(ctx context.Context, r slog.Record) error {
	event := map[string]any{"message": r.Message, "time": r.Time}
	r.Attrs(func(a slog.Attr) bool {
		event[a.Key] = a.Value.String()
		return true
	})
	body, err := json.Marshal(event)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := t.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// The flood guard stands in front of the error tracker: a storm of one error costs a few
// events of its quota, and their counts add up to all of them.
func Example_errorTracker() {
	var events, told atomic.Int64
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e struct {
			Suppressed json.Number `json:"suppressed"`
		}
		check(json.NewDecoder(r.Body).Decode(&e))
		events.Add(1)
		n, _ := e.Suppressed.Int64()
		told.Add(1 + n)
	}))
	defer sink.Close()
	guard, err := resilience.NewGuard(resilience.GuardOptions{Name: "tracker"})
	check(err)
	log := slog.New(guard.Handler(&tracker{sink.URL, sink.Client()}))

	for range 10_000 {
		log.Error("charge failed", "error", errors.New("connection refused"), "operation", "charge")
	}
	check(guard.Close()) // tells the rest
	fmt.Println("fewer than 200 events:", events.Load() < 200, "failures told of:", told.Load())
	// Output:
	// fewer than 200 events: true failures told of: 10000
}
