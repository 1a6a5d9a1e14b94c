//go:build !linux

package classify_test

import "testing"

// limitRows is empty: the limit is set as Linux does it.
func limitRows() []row { return nil }

func platformGroups() map[string]func(*testing.T) []row { return nil }
