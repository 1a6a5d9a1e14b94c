package archtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/examples/internal/archtest"
)

// linked is a module that reaches others, all on this disk.
const linked = `
-- go.mod --
module example.com/blocks

go 1.26.0

require example.com/near v1.0.0

require example.com/far v1.0.0 // indirect

replace (
	example.com/near => ./testdata/near
	example.com/far => ./testdata/far
)
-- cache/cache.go --
package cache

import _ "example.com/near"
-- memory/memory.go --
package memory

import _ "strings"
-- memory/memory_test.go --
package memory_test

import _ "example.com/near"
-- testdata/near/go.mod --
module example.com/near

go 1.26.0

require example.com/far v1.0.0
-- testdata/near/near.go --
package near

import _ "example.com/far/deep"
-- testdata/far/go.mod --
module example.com/far

go 1.26.0
-- testdata/far/deep/deep.go --
package deep
`

func TestPinnedModules(t *testing.T) {
	root := t.TempDir()
	for name, text := range split(linked) {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := archtest.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	const right = "# comment\ncache:\n\texample.com/far\n\texample.com/near\n"
	for _, tt := range []struct{ name, pinned, want string }{
		{"right", right, ""},
		{"a module more", strings.Replace(right, "\texample.com/far\n", "", 1), "cache: reaches example.com/far;"},
		{"a module less", right + "memory:\n\texample.com/near\n", "memory: no longer reaches example.com/near;"},
		{"a package gone", right + "cdn:\n\texample.com/near\n", "cdn: no longer reaches example.com/near;"},
	} {
		found, err := archtest.PinnedModules(tree, tt.pinned)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case tt.want == "" && len(found) > 0:
			t.Errorf("%s: %v; want silence", tt.name, found)
		case tt.want != "" && (len(found) != 1 || !strings.Contains(found[0].String(), tt.want)):
			t.Errorf("%s: %v; want one finding with %q", tt.name, found, tt.want)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "cache", "b.go"), []byte("package cache\n\nimport _ \"example.com/unknown\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := archtest.PinnedModules(tree, right); err == nil {
		t.Error("a module that does not resolve: no error")
	}
}
