package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// Siblings finds libraries that import each other, and libraries that import
// the examples. It holds for tests too: blocks meet in examples only.
func Siblings(t *Tree, p Policy) []Finding {
	return eachImport(t, true, func(pkg *Package, f *File, path string, spec *ast.ImportSpec) []Finding {
		dir, ok := t.own(path)
		from, to := top(pkg.Dir), top(dir)
		if !ok || from == to || !slices.Contains(p.Libraries, from) || !slices.Contains(p.TopLevel, to) || to == "internal" {
			return nil
		}
		return []Finding{{t.at(spec.Pos()), from + " imports " + path,
			"declare the interface you need in " + from + " and join the two in examples"}}
	})
}

// DirectImports finds third-party imports that the policy does not allow.
func DirectImports(t *Tree, p Policy) []Finding {
	return eachImport(t, true, func(pkg *Package, f *File, path string, spec *ast.ImportSpec) []Finding {
		if !t.thirdParty(path) {
			return nil
		}
		allowed := longest(p.Direct, pkg.Dir)
		if f.Test {
			for dir, more := range p.InTests {
				if dir == "." || under(pkg.Dir, dir) {
					allowed = join(allowed, more)
				}
			}
		}
		if underAny(path, allowed) {
			return nil
		}
		return []Finding{{t.at(spec.Pos()), fmt.Sprintf("%s imports %s", pkg.Dir, path),
			"do without it, or add it to Policy.Direct with its reason, weight and licence in the commit"}}
	})
}

// TestingImports finds code that would bring the testing package, or a test
// server, into the programs of importers.
func TestingImports(t *Tree, _ Policy) []Finding {
	return eachImport(t, false, func(pkg *Package, f *File, path string, spec *ast.ImportSpec) []Finding {
		if strings.HasSuffix(pkg.Name, "test") {
			return nil
		}
		dir, ok := t.own(path)
		ours := ok && strings.HasSuffix(dir, "test")
		if path != "testing" && !strings.HasPrefix(path, "testing/") && path != "net/http/httptest" && !ours {
			return nil
		}
		return []Finding{{t.at(spec.Pos()), pkg.Dir + " imports " + path + " in code that importers compile",
			"move it to a _test.go file or to a package whose name ends in test"}}
	})
}

// RealtestImports finds code other than _test.go files that imports
// internal/realtest.
func RealtestImports(t *Tree, _ Policy) []Finding {
	return eachImport(t, false, func(_ *Package, f *File, path string, spec *ast.ImportSpec) []Finding {
		if dir, ok := t.own(path); !ok || !under(dir, "internal/realtest") {
			return nil
		}
		return []Finding{{t.at(spec.Pos()), "internal/realtest imported by " + f.Path, "import it in _test.go files only"}}
	})
}

func eachImport(t *Tree, tests bool, check func(*Package, *File, string, *ast.ImportSpec) []Finding) []Finding {
	var all []Finding
	for _, pkg := range t.Packages {
		for _, f := range pkg.Files {
			if f.Test && !tests {
				continue
			}
			for path, spec := range f.imports() {
				all = append(all, check(pkg, f, path, spec)...)
			}
		}
	}
	return all
}

// longest returns the entry of the longest folder that holds dir.
func longest(m map[string][]string, dir string) []string {
	best, value := -1, []string(nil)
	for key, v := range m {
		if under(dir, key) && len(key) > best {
			best, value = len(key), v
		}
	}
	return value
}
