package archtest

import (
	"fmt"
	"go/ast"
)

// Sizes finds files and functions, tests apart, that are longer than the
// policy's caps, in lines.
func Sizes(t *Tree, p Policy) []Finding {
	var all []Finding
	for _, pkg := range t.Packages {
		for f := range pkg.code() {
			if n := t.fset.Position(f.AST.FileEnd).Line; n > p.FileLines {
				all = append(all, Finding{f.Path, fmt.Sprintf("%d lines; the cap is %d", n, p.FileLines), "split it by noun"})
			}
			for _, d := range f.AST.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				if n := t.fset.Position(fn.End()).Line - t.fset.Position(fn.Pos()).Line + 1; n > p.FuncLines {
					all = append(all, Finding{t.at(fn.Pos()), fmt.Sprintf("func %s has %d lines; the cap is %d", fn.Name.Name, n, p.FuncLines), "split it by step"})
				}
			}
		}
	}
	return all
}
