package archtest

import (
	"go/ast"
	"go/doc"
	"regexp"
	"slices"
	"strings"
)

// Examples finds exported constructors of library packages that no Example with an
// output is named after or calls.
func Examples(t *Tree, p Policy) []Finding {
	// So are functions called that make something or wrap it.
	constructor := regexp.MustCompile(`^(New|Open|With)([A-Z0-9]|$)`)
	var all []Finding
	for _, pkg := range t.Packages {
		if !slices.Contains(p.Libraries, top(pkg.Dir)) || slices.Contains(strings.Split(pkg.Dir, "/"), "internal") {
			continue
		}
		shown := pkg.shown()
		for f := range pkg.code() {
			for _, d := range f.AST.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Recv != nil || !constructor.MatchString(fn.Name.Name) || shown[fn.Name.Name] || slices.Contains(p.NoExample, pkg.Dir+"."+fn.Name.Name) {
					continue
				}
				all = append(all, Finding{t.at(fn.Pos()), "no Example with an output shows " + fn.Name.Name, "write Example" + fn.Name.Name})
			}
		}
	}
	return all
}

// shown are the names of the package that its examples with an output show.
func (p *Package) shown() map[string]bool {
	names := map[string]bool{}
	for _, f := range p.Files {
		if !f.Test {
			continue
		}
		for _, e := range doc.Examples(f.AST) {
			if e.Output == "" {
				continue
			}
			name, _, _ := strings.Cut(e.Name, "_")
			names[name] = true
			ast.Inspect(e.Code, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == p.Name {
						names[s.Sel.Name] = true
					}
				}
				return true
			})
		}
	}
	return names
}
