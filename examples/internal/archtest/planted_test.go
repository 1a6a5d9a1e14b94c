package archtest_test

import (
	"strings"

	"github.com/perfblocks/perfblocks/examples/internal/archtest"
)

// breach is one change to the clean module and the rule it breaks.
type breach struct {
	rule, name, change, want string
	also                     []string // rules that may speak too
	vars                     map[string]archtest.Var
}

func planted() []breach {
	return join(plantedImports(), plantedShown(), plantedVars(), plantedDocs(), plantedExamples(), plantedLayout())
}

func join(lists ...[]breach) []breach {
	var all []breach
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func plantedImports() []breach {
	return []breach{
		{rule: "Siblings", name: "import", want: "memory/a.go:3",
			change: "-- memory/a.go --\npackage memory\n\nimport _ \"example.com/blocks/cache\"\n"},
		{rule: "Siblings", name: "in a test", want: "cdn/a_test.go:3",
			change: "-- cdn/a_test.go --\npackage cdn_test\n\nimport _ \"example.com/blocks/imageopt\"\n"},
		{rule: "Siblings", name: "sub packages", want: "cdn imports",
			change: "-- cdn/cdnenv/doc.go --\n" + strings.ReplaceAll(docText, "NAME", "cdnenv") +
				"-- cdn/cdnenv/a.go --\npackage cdnenv\n\nimport _ \"example.com/blocks/cache/rediscache\"\n"},
		{rule: "Siblings", name: "of examples", want: "cache/a.go:3",
			change: "-- cache/a.go --\npackage cache\n\nimport _ \"example.com/blocks/examples/chat\"\n"},
		{rule: "DirectImports", name: "none allowed", want: "golang.org/x/sync/errgroup",
			change: "-- memory/a.go --\npackage memory\n\nimport _ \"golang.org/x/sync/errgroup\"\n"},
		{rule: "DirectImports", name: "allowed elsewhere", want: "cache/rediscache imports github.com/maypok86/otter/v2",
			change: "-- cache/rediscache/a.go --\npackage rediscache\n\nimport _ \"github.com/maypok86/otter/v2\"\n"},
		{rule: "DirectImports", name: "path with the same start", want: "otter/v22",
			change: "-- cache/a.go --\npackage cache\n\nimport _ \"github.com/maypok86/otter/v22\"\n"},
		{rule: "DirectImports", name: "for another system", want: "memory/a_windows.go:5",
			change: "-- memory/a_windows.go --\n//go:build windows\n\npackage memory\n\nimport _ \"golang.org/x/sys/windows\"\n"},
		{rule: "DirectImports", name: "in a test", want: "goleak",
			change: "-- memory/a_test.go --\npackage memory_test\n\nimport _ \"go.uber.org/goleak\"\n"},
		{rule: "DirectImports", name: "testify outside tests", want: "testify",
			change: "-- cache/cachetest/a.go --\npackage cachetest\n\nimport _ \"github.com/stretchr/testify/require\"\n"},
		{rule: "DirectImports", name: "drivers outside tests", want: "modernc.org/sqlite",
			change: "-- dbindex/a.go --\npackage dbindex\n\nimport _ \"modernc.org/sqlite\"\n"},
		{rule: "TestingImports", name: "testing", want: "cache/a.go:3",
			change: "-- cache/a.go --\npackage cache\n\nimport _ \"testing\"\n"},
		{rule: "TestingImports", name: "sub package of testing", want: "testing/fstest",
			change: "-- examples/chat/a.go --\npackage main\n\nimport _ \"testing/fstest\"\n"},
		{rule: "TestingImports", name: "httptest", want: "net/http/httptest",
			change: "-- cdn/a.go --\npackage cdn\n\nimport _ \"net/http/httptest\"\n"},
		{rule: "TestingImports", name: "test package of ours", want: "cachetest",
			change: "-- cache/a.go --\npackage cache\n\nimport _ \"example.com/blocks/cache/cachetest\"\n"},
		{rule: "TestingImports", name: "test file misnamed", want: "issue_test_1.go:3",
			change: "-- cache/issue_test_1.go --\npackage cache\n\nimport _ \"testing\"\n"},
		{rule: "RealtestImports", name: "library", want: "cache/a.go:3", also: []string{"TestingImports"},
			change: "-- cache/a.go --\npackage cache\n\nimport _ \"example.com/blocks/internal/realtest\"\n"},
		{rule: "RealtestImports", name: "test package", want: "cache/cachetest/a.go:3",
			change: "-- cache/cachetest/a.go --\npackage cachetest\n\nimport _ \"example.com/blocks/internal/realtest\"\n"},
	}
}

// plantedShown adds a declaration to package cache that shows otter.
func plantedShown() []breach {
	shown := func(name, decl string) breach {
		return breach{rule: "ShownTypes", name: name, want: "cache shows otter.",
			change: "-- cache/a.go --\npackage cache\n\nimport \"github.com/maypok86/otter/v2\"\n\n" + decl + "\n"}
	}
	all := []breach{
		shown("parameter", "func A(o *otter.Options) {}"),
		shown("result of a method", "func (c *Cache) A() (n int, o []otter.Options) { return }"),
		shown("field", "type A struct{ M map[string]func(otter.Options) }"),
		shown("embedded", "type A struct{ *otter.Options }"),
		shown("alias", "type A = otter.Options"),
		shown("alias behind an unexported name", "type a = otter.Options\n\nfunc A() *a { return nil }"),
		shown("embedded behind an unexported name", "type a struct{ otter.Options }\n\ntype A struct{ a }"),
		shown("method of an unexported type", "type a struct{}\n\nfunc (a) M() otter.Options { panic(0) }\n\nfunc A() a { return a{} }"),
		shown("interface", "type A interface{ M() otter.Options }"),
		shown("type parameter", "func A[T otter.Options]() {}"),
		shown("generic argument", "type A struct{ X *otter.Cache[string, int] }"),
		shown("constant", "const A = otter.Max"),
	}
	return append(all, breach{rule: "ShownTypes", name: "through an internal package", want: "cache shows otter.Cache", change: `
-- cache/a.go --
package cache

import "example.com/blocks/cache/internal/slot"

type A = slot.T
-- cache/internal/slot/t.go --
package slot

import "github.com/maypok86/otter/v2"

type T struct{ C *otter.Cache[int, int] }
`}, breach{rule: "ShownTypes", name: "not for this package", want: "resilience/faulttest shows failsafe.Policy", change: `
-- resilience/faulttest/doc.go --
` + strings.ReplaceAll(docText, "NAME", "faulttest") + `
-- resilience/faulttest/a.go --
package faulttest

import "github.com/failsafe-go/failsafe-go"

func A(failsafe.Policy[any]) {}
`})
}

func plantedVars() []breach {
	v := func(name, want, code string) breach {
		return breach{rule: "PackageVars", name: name, want: want, change: "-- memory/a.go --\npackage memory\n\n" + code + "\n"}
	}
	permit := func(b breach, kind archtest.VarKind, why string) breach {
		b.vars = map[string]archtest.Var{"memory.table": {Kind: kind, Why: why}}
		return b
	}
	return []breach{
		v("counter", "memory.count", "var count int"),
		v("exported", "memory.Default", "var Default = Make()\n\nfunc Make() *int { return nil }"),
		v("error without a value", "memory.ErrA", "var ErrA error"),
		v("error by name only", "memory.errCount", "var errCount = 3"),
		v("error that changes", "memory.ErrA is changed", "import \"errors\"\n\nvar ErrA = errors.New(\"a\")\n\nfunc F() { ErrA = nil }"),
		permit(v("table assigned", "memory/a.go:5", "var table = []int{1}\n\nfunc F() { table[0] = 2 }"), archtest.Table, "a table"),
		permit(v("table in another file", "memory/b.go:3", "var table = []struct{ n int }{{1}}\n-- memory/b.go --\npackage memory\n\nfunc F() { table[0].n++ }"), archtest.Table, "a table"),
		permit(v("address of a table", "changed", "var table = [...]int{1}\n\nfunc F() *int { return &table[0] }"), archtest.Table, "a table"),
		permit(v("key of a table deleted", "changed", "var table = map[int]int{1: 2}\n\nfunc F() { delete(table, 1) }"), archtest.Table, "a table"),
		permit(v("table without a value", "not a Table", "var table map[int]int"), archtest.Table, "a table"),
		permit(v("mutex as a table", "not a Table", "import \"sync\"\n\nvar table = sync.Mutex{}"), archtest.Table, "a table"),
		permit(v("pool that is none", "not a Pool", "var table = map[int]int{}"), archtest.Pool, "a pool"),
		permit(v("memo that is none", "not a Memo", "import \"sync\"\n\nvar table sync.Mutex"), archtest.Memo, "a memo"),
		permit(v("embedded that is not", "not a Embedded", "var table = \"x\""), archtest.Embedded, "a file"),
		permit(v("no reason", "without a reason", "var table = []int{1}"), archtest.Table, ""),
		permit(v("permission for nothing", "memory.table does not exist", ""), archtest.Table, "gone"),
		{rule: "InitFuncs", name: "init", want: "memory/a.go:3", change: "-- memory/a.go --\npackage memory\n\nfunc init() {}\n"},
		{rule: "InitFuncs", name: "in a program", want: "examples/chat/a.go:3", change: "-- examples/chat/a.go --\npackage main\n\nfunc init() {}\n"},
	}
}

func plantedDocs() []breach {
	edit := func(name, want, old, now string) breach {
		return breach{rule: "Docs", name: name, want: want,
			change: "-- memory/doc.go --\n" + strings.Replace(strings.ReplaceAll(docText, "NAME", "memory"), strings.ReplaceAll(old, "NAME", "memory"), now, 1)}
	}
	const units = "// # Units\n//\n// Bytes.\n//\n"
	return []breach{
		{rule: "Docs", name: "missing", want: "examples/chat: no doc.go", change: "-- examples/chat/doc.go --\n"},
		{rule: "Docs", name: "comment elsewhere", want: "memory/a.go:1", change: "-- memory/a.go --\n// Package memory again.\npackage memory\n"},
		edit("no comment", "no package comment", docText[:strings.Index(docText, "package NAME")], ""),
		edit("a declaration", "memory/doc.go", "package memory\n", "package memory\n\nconst X = 1\n"),
		edit("first words", "Package memory", "// Package memory is", "// Memory is"),
		edit("heading missing", "no heading # Units;", units, ""),
		edit("heading misspelt", "no heading # Errors;", "# Errors", "# Error"),
		edit("order", `"# Concurrency" out of order`, units+"// # Concurrency\n//\n// Safe.\n//\n", "// # Concurrency\n//\n// Safe.\n//\n"+units),
		edit("empty section", `nothing below "# Cost"`, "// One lock.\n", ""),
	}
}

func plantedExamples() []breach {
	const code = "-- memory/a.go --\npackage memory\n\nfunc NewThing() int { return 1 }\n"
	test := func(body string) string {
		return code + "-- memory/example_test.go --\npackage memory_test\n\nimport \"example.com/blocks/memory\"\n\n" + body
	}
	return []breach{
		{rule: "Examples", name: "none", want: "memory/a.go:3: no Example with an output shows NewThing", change: code},
		{rule: "Examples", name: "no output", want: "NewThing", change: test("func ExampleNewThing() { memory.NewThing() }\n")},
		{rule: "Examples", name: "of another", want: "NewThing", change: test("func ExampleNewOther() {\n\tprint(1)\n\t// Output: 1\n}\n")},
	}
}

func plantedLayout() []breach {
	return []breach{
		{rule: "Testdata", name: "too big", want: "memory/testdata/deep/big.txt",
			change: "-- memory/testdata/deep/big.txt --\n" + strings.Repeat("0123456789\n", 10)},
		{rule: "Sizes", name: "long file", want: "memory/a.go: 801 lines",
			change: "-- memory/a.go --\npackage memory\n" + strings.Repeat("\n", 799) + "const x = 1\n"},
		{rule: "Sizes", name: "long function", want: "func F has 81 lines",
			change: "-- memory/a.go --\npackage memory\n\nfunc F() {" + strings.Repeat("\n", 80) + "}\n"},
		{rule: "TopLevel", name: "unknown folder", want: "util", change: "-- util/notes.txt --\nx\n"},
		{rule: "TopLevel", name: "missing folder", want: "resilience: missing", change: "-- resilience/doc.go --\n"},
		{rule: "TopLevel", name: "shared internal package", want: "internal/helper", also: []string{"Docs"},
			change: "-- internal/helper/a.go --\npackage helper\n"},
		{rule: "TopLevel", name: "code at the root", want: "Go files at the root", also: []string{"Docs"},
			change: "-- a.go --\npackage blocks\n"},
		{rule: "TopLevel", name: "nested module", want: "cache/bench/go.mod", change: "-- cache/bench/go.mod --\nmodule example.com/bench\n"},
		{rule: "GoMod", name: "replace", want: "go.mod:4", change: "-- go.mod --\nmodule example.com/blocks\n\ngo 1.26.0\nreplace example.com/a => ../a\n"},
		{rule: "GoMod", name: "tool block", want: "tool directive", change: "-- go.mod --\nmodule example.com/blocks\n\ngo 1.26.0\n\ntool (\n\texample.com/a\n)\n"},
		{rule: "GoMod", name: "toolchain", want: "toolchain directive", change: "-- go.mod --\nmodule example.com/blocks\n\ngo 1.26.0\n\ntoolchain go1.26.8\n"},
	}
}
