package store

import (
	"errors"
	"time"
)

// ErrNotFound is a user, conversation or message that does not exist.
var ErrNotFound = errors.New("store: not found")

// User is a profile with the figures that its page shows.
type User struct {
	ID          string `json:"id"`
	Email       string `json:"email"`
	Name        string `json:"name"`
	Plan        string `json:"plan"`
	TokensUsed  int    `json:"tokensUsed"`
	TokenLimit  int    `json:"tokenLimit"`
	Active      bool   `json:"active"`
	Unread      int    `json:"unreadNotifications"`
	SubscribeTo string `json:"subscription,omitempty"` // plan of the active subscription
}

// Conversation is a conversation with its newest message.
type Conversation struct {
	ID          string    `json:"id"`
	UserID      string    `json:"userId"`
	Title       string    `json:"title"`
	Model       string    `json:"model"`
	Pinned      bool      `json:"pinned"`
	UpdatedAt   time.Time `json:"updatedAt"`
	LastMessage string    `json:"lastMessage,omitempty"`
}

// Message is one message.
type Message struct {
	ID             string       `json:"id"`
	ConversationID string       `json:"conversationId"`
	Role           string       `json:"role"` // USER or ASSISTANT
	Content        string       `json:"content"`
	CreatedAt      time.Time    `json:"createdAt"`
	Attachments    []Attachment `json:"attachments,omitempty"`
}

// Attachment is a file of a message.
type Attachment struct {
	Kind  string `json:"kind"`
	URL   string `json:"url"`
	Bytes int    `json:"bytes"`
}

// Cursor is a place in a conversation: the messages before it come next. The zero
// Cursor is the end of the conversation.
type Cursor struct {
	At time.Time
	ID string
}

// Usage is what one call to a model used.
type Usage struct {
	UserID       string
	Model        string
	InputTokens  int
	OutputTokens int
	Cost         float64
	At           time.Time
}

// UsageDay is what a user's calls to one model cost on one day (UTC).
type UsageDay struct {
	Day          string  `json:"day"` // 2006-01-02
	Model        string  `json:"model"`
	InputTokens  int64   `json:"inputTokens"`
	OutputTokens int64   `json:"outputTokens"`
	Cost         float64 `json:"cost"`
}

// Hit is a message found by Search.
type Hit struct {
	MessageID      string    `json:"messageId"`
	ConversationID string    `json:"conversationId"`
	Snippet        string    `json:"snippet"`
	CreatedAt      time.Time `json:"createdAt"`
}
