package dbindex

import (
	crypto "crypto/sha256"
	"strings"
	"testing"
)

// TestSHA256 compares with the standard library at every length around the blocks.
func TestSHA256(t *testing.T) {
	for n := range 300 {
		text := []byte(strings.Repeat("héllo, wörld ", 30)[:n])
		if got, want := sha256(text), crypto.Sum256(text); got != want {
			t.Fatalf("sha256 of %d bytes = %x; want %x", n, got, want)
		}
	}
}
