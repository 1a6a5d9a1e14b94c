package store_test

import (
	"testing"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
)

// BenchmarkSeed fills a new SQLite file for 2,000 users: 80,000 messages.
func BenchmarkSeed(b *testing.B) {
	for b.Loop() {
		s, err := store.Open(b.Context(), "", b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Seed(b.Context(), 2000); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
