package emulate

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// AI answers POST /v1/answers after a few milliseconds, as a hosted model would,
// and fails on its script.
type AI struct {
	mood
}

// NewAI returns an upstream that follows script from now on.
func NewAI(script Script) *AI { return &AI{mood: mood{script: script, start: time.Now()}} }

// Answer is the upstream's reply.
type Answer struct {
	Model        string `json:"model"`
	Text         string `json:"text"`
	InputTokens  int    `json:"inputTokens"`
	OutputTokens int    `json:"outputTokens"`
}

// ServeHTTP implements [http.Handler].
func (a *AI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/answers" {
		http.NotFound(w, r)
		return
	}
	var req struct{ Prompt string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&req); err != nil || req.Prompt == "" {
		http.Error(w, `{"error":"prompt missing"}`, http.StatusBadRequest)
		return
	}
	phase := a.now()
	if phase.Down || rand.Float64() < phase.Errors {
		fail(w, r, !phase.Down && rand.Float64() < phase.Hangs)
		return
	}
	if !pause(r, 15*time.Millisecond+rand.N(20*time.Millisecond)) {
		return
	}
	text := fmt.Sprintf("You asked about %q. Measure first, then change one thing, then measure again.", firstWords(req.Prompt, 8))
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(Answer{Model: "emulated-1", Text: text, InputTokens: len(req.Prompt)/4 + 1, OutputTokens: len(text) / 4})
}

func fail(w http.ResponseWriter, r *http.Request, hang bool) {
	if hang && !pause(r, 5*time.Second) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, `{"error":"overloaded"}`)
}

// pause waits, and reports false when the client went away first.
func pause(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func firstWords(s string, n int) string {
	f := strings.Fields(s)
	return strings.Join(f[:min(n, len(f))], " ")
}
