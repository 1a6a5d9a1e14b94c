package archtest

import (
	"fmt"
	"go/ast"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// TopLevel finds folders at the root that the design does not have, those it
// has that are not there, and modules inside the module.
func TopLevel(t *Tree, p Policy) []Finding {
	entries, err := fs.ReadDir(t.fsys, ".")
	if err != nil {
		return []Finding{{".", err.Error(), "make the root readable"}}
	}
	var all []Finding
	there := map[string]bool{}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		there[e.Name()] = true
		if !slices.Contains(p.TopLevel, e.Name()) {
			all = append(all, Finding{e.Name(), "not a folder of the design", "move it below one of " + strings.Join(p.TopLevel, ", ")})
		}
	}
	for _, dir := range p.TopLevel {
		if !there[dir] {
			all = append(all, Finding{dir, "missing", "restore the folder or change Policy.TopLevel with the design"})
		}
	}
	for _, pkg := range t.Packages {
		if under(pkg.Dir, "internal") && !under(pkg.Dir, "internal/realtest") {
			all = append(all, Finding{pkg.Dir, "a shared internal package", "keep what a library needs in its own internal folder"})
		}
		if pkg.Dir == "." {
			all = append(all, Finding{".", "Go files at the root", "move them into a package"})
		}
	}
	for _, dir := range t.Nested {
		if !slices.Contains(p.Nested, dir) {
			all = append(all, Finding{dir + "/go.mod", "a module inside the module", "remove it: one module for library and examples"})
		}
	}
	return all
}

// GoMod finds directives that bind or break importers.
func GoMod(t *Tree, _ Policy) []Finding {
	data, err := fs.ReadFile(t.fsys, "go.mod")
	if err != nil {
		return []Finding{{"go.mod", err.Error(), "restore it"}}
	}
	var all []Finding
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		word = strings.TrimSuffix(word, "(")
		if slices.Contains([]string{"replace", "exclude", "tool", "toolchain", "godebug"}, word) {
			all = append(all, Finding{fmt.Sprintf("go.mod:%d", n), word + " directive",
				"remove it: importers do not get it or must not; run tools as go run module@version"})
		}
	}
	return all
}

// Testdata finds testdata that is too big in all.
func Testdata(t *Tree, p Policy) []Finding {
	var total, most int64
	var biggest string
	err := t.walk(func(string) {}, func(rel string, d fs.DirEntry) error {
		if d.IsDir() || !inTestdata(rel) {
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		total += fi.Size()
		if fi.Size() > most {
			most, biggest = fi.Size(), rel
		}
		return nil
	})
	if err != nil {
		return []Finding{{"testdata", err.Error(), "make it readable"}}
	}
	if total <= p.TestdataBytes {
		return nil
	}
	return []Finding{{biggest, fmt.Sprintf("all testdata is %d bytes, this file %d; the module has room for %d", total, most, p.TestdataBytes),
		"generate it from a seed, shrink it, or move the test to the nested module"}}
}

// Docs finds packages without a doc.go of the house's form.
func Docs(t *Tree, p Policy) []Finding {
	var all []Finding
	for _, pkg := range t.Packages {
		if pkg.Name == "" {
			continue // tests only
		}
		var doc *File
		for f := range pkg.code() {
			switch {
			case path.Base(f.Path) == "doc.go":
				doc = f
			case f.AST.Doc != nil:
				all = append(all, Finding{t.at(f.AST.Doc.Pos()), "a package comment outside doc.go", "move its text to doc.go, or leave an empty line before the package clause"})
			}
		}
		if doc == nil {
			all = append(all, Finding{pkg.Dir, "no doc.go", "add one that holds the package comment and nothing else"})
			continue
		}
		all = append(all, docFile(t, p, pkg, doc)...)
	}
	return all
}

func docFile(t *Tree, p Policy, pkg *Package, doc *File) []Finding {
	if doc.AST.Doc == nil {
		return []Finding{{doc.Path, "no package comment", "write one directly above the package clause"}}
	}
	var all []Finding
	if len(doc.AST.Decls) > 0 {
		all = append(all, Finding{t.at(doc.AST.Decls[0].Pos()), "a declaration in doc.go", "move it to a file of its own"})
	}
	text := doc.AST.Doc.Text()
	if pkg.Name != "main" && !strings.HasPrefix(text, "Package "+pkg.Name+" ") {
		all = append(all, Finding{doc.Path, "the comment does not begin with \"Package " + pkg.Name + "\"", "begin with one sentence of what it is and why"})
	}
	if slices.Contains(p.Libraries, top(pkg.Dir)) && !slices.Contains(strings.Split(pkg.Dir, "/"), "internal") {
		all = append(all, headings(p, doc, text)...)
	}
	return all
}

// headings checks that the policy's headings are all there, in order, each
// with text below; others may stand between them.
func headings(p Policy, doc *File, text string) []Finding {
	var have []string
	filled := map[string]bool{}
	for line := range strings.SplitSeq(text, "\n") {
		if h, ok := strings.CutPrefix(line, "# "); ok {
			have = append(have, h)
		} else if strings.TrimSpace(line) != "" && len(have) > 0 {
			filled[have[len(have)-1]] = true
		}
	}
	var all []Finding
	var missing []string
	last := -1
	for _, want := range p.Headings {
		i := slices.Index(have, want)
		switch {
		case i < 0:
			missing = append(missing, "# "+want)
			continue
		case i < last:
			all = append(all, Finding{doc.Path, "heading \"# " + want + "\" out of order", "use the order " + strings.Join(p.Headings, ", ")})
		case !filled[want]:
			all = append(all, Finding{doc.Path, "nothing below \"# " + want + "\"", "say it, or say that there is none"})
		}
		last = max(last, i)
	}
	if len(missing) > 0 {
		all = append(all, Finding{doc.Path, "no heading " + strings.Join(missing, ", "), "add what is missing, in the order " + strings.Join(p.Headings, ", ")})
	}
	return all
}

// InitFuncs finds init functions, which make importing a package an act.
func InitFuncs(t *Tree, _ Policy) []Finding {
	var all []Finding
	for _, pkg := range t.Packages {
		for f := range pkg.code() {
			for _, d := range f.AST.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					all = append(all, Finding{t.at(fn.Pos()), "func init", "do the work in New, or in a table's literal"})
				}
			}
		}
	}
	return all
}
