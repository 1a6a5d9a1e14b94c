package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/emulate"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

// answer is the reply of POST /api/ask. A degraded answer is not the model's.
type answer struct {
	Answer   string `json:"answer"`
	Model    string `json:"model"`
	Degraded bool   `json:"degraded"`
}

// postAsk asks the model, and stores its answer in the conversation if one is given.
func (a *app) postAsk(w http.ResponseWriter, r *http.Request) error {
	var in struct{ User, Conversation, Prompt string }
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	ctx := r.Context()
	if n := utf8.RuneCountInString(strings.TrimSpace(in.Prompt)); n < 1 || n > 4000 {
		return invalid("prompt must have 1 to 4000 characters")
	}
	if _, err := a.user(ctx, in.User); err != nil {
		return err
	}
	if in.Conversation != "" {
		c, err := a.conversation(ctx, in.Conversation)
		if err != nil {
			return err
		}
		if c.UserID != in.User {
			return store.ErrNotFound
		}
	}
	ans, err := resilience.DoOr(ctx, a.ai, func(ctx context.Context) (emulate.Answer, error) {
		return a.askModel(ctx, in.Prompt)
	}, func(ctx context.Context, _ error) (emulate.Answer, error) {
		return emulate.Answer{Model: "none", Text: "The model is not available right now. Your question is kept; please ask again in a minute."}, nil
	})
	if err != nil {
		return err
	}
	out := answer{Answer: ans.Text, Model: ans.Model, Degraded: ans.Model == "none"}
	if !out.Degraded {
		err = a.keepAnswer(ctx, in.User, in.Conversation, ans)
	} else {
		a.degraded.Add(1)
	}
	return reply(w, out, err)
}

// askModel is one attempt.
func (a *app) askModel(ctx context.Context, prompt string) (ans emulate.Answer, err error) {
	body, err := json.Marshal(map[string]string{"prompt": prompt})
	if err != nil {
		return ans, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.aiURL+"/v1/answers", bytes.NewReader(body))
	if err != nil {
		return ans, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := a.aiClient.Do(req)
	if err != nil {
		return ans, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return ans, &resiliencehttp.StatusError{Status: res.StatusCode, RetryAfter: res.Header.Get("Retry-After")}
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, res.Body, 1<<20)).Decode(&ans); err != nil {
		return ans, fmt.Errorf("ask: reply: %w", err)
	}
	return ans, nil
}

// keepAnswer stores what the model said and what it cost.
func (a *app) keepAnswer(ctx context.Context, user, conv string, ans emulate.Answer) error {
	if conv != "" {
		if _, err := a.addMessage(ctx, store.Message{ConversationID: conv, Role: "ASSISTANT", Content: ans.Text}); err != nil {
			return err
		}
	}
	return a.spent.add(ctx, store.Usage{
		UserID: user, Model: ans.Model, InputTokens: ans.InputTokens, OutputTokens: ans.OutputTokens,
		Cost: float64(ans.InputTokens+3*ans.OutputTokens) * 1e-6, At: time.Now(),
	})
}
