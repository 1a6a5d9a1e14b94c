package cdn_test

import (
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

func newLocal(t testing.TB, o cdn.LocalOptions) *cdn.Local {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	l, err := cdn.NewLocal(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestLocalConformance(t *testing.T) {
	cdntest.Run(t, func(t *testing.T) cdn.Provider { return newLocal(t, cdn.LocalOptions{URL: "/files/"}) }, cdntest.Options{})
}
