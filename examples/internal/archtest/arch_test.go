package archtest_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/examples/internal/archtest"
)

var update = flag.Bool("update", false, "write the modules that packages reach to "+pinnedFile)

const pinnedFile = "testdata/modules.txt"

const pinnedHead = `# The third-party modules that each package reaches on Linux, tests apart. A
# package that is not here reaches none.
# Written by: go test ./examples/internal/archtest -run TestModules -update
`

// rules are all rules that need no more than the source.
var rules = map[string]func(*archtest.Tree, archtest.Policy) []archtest.Finding{
	"Siblings":        archtest.Siblings,
	"DirectImports":   archtest.DirectImports,
	"TestingImports":  archtest.TestingImports,
	"RealtestImports": archtest.RealtestImports,
	"ShownTypes":      archtest.ShownTypes,
	"PackageVars":     archtest.PackageVars,
	"InitFuncs":       archtest.InitFuncs,
	"Docs":            archtest.Docs,
	"Testdata":        archtest.Testdata,
	"Sizes":           archtest.Sizes,
	"TopLevel":        archtest.TopLevel,
	"GoMod":           archtest.GoMod,
	"Examples":        archtest.Examples,
}

// TestRepository applies every rule to this module.
func TestRepository(t *testing.T) {
	tree := repository(t)
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, f := range rule(tree, archtest.Repository()) {
				t.Error(f)
			}
		})
	}
}

// TestModules compares what each package of this module reaches with the
// golden file.
func TestModules(t *testing.T) {
	tree := repository(t)
	if *update {
		now, err := archtest.Reachable(tree)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(pinnedFile, []byte(pinnedHead+now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pinned, err := os.ReadFile(pinnedFile)
	if err != nil {
		t.Fatal(err)
	}
	found, err := archtest.PinnedModules(tree, string(pinned))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

func repository(t *testing.T) *archtest.Tree {
	t.Helper()
	tree, err := archtest.Load(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Packages) < 8 {
		t.Fatalf("only %d packages found in %s", len(tree.Packages), tree.Root)
	}
	return tree
}

// TestPolicyIsCopied guards against a policy that one test could change for
// another.
func TestPolicyIsCopied(t *testing.T) {
	p := archtest.Repository()
	p.Direct["memory"] = []string{"example.com/any"}
	p.TopLevel[0] = "other"
	if q := archtest.Repository(); len(q.Direct["memory"]) != 0 || q.TopLevel[0] == "other" {
		t.Error("Repository() shares its maps or slices between calls")
	}
}

func TestVarKindString(t *testing.T) {
	var names []string
	for k := archtest.Table; k <= archtest.Embedded+1; k++ {
		names = append(names, k.String())
	}
	if got, want := strings.Join(names, " "), "Table Pool Memo Embedded unknown"; got != want {
		t.Errorf("kinds = %s; want %s", got, want)
	}
}
