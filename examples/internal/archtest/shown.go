package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// ShownTypes finds third-party types in the exported declarations of library
// packages, also behind unexported types that these lead to: such a type would
// make the module behind it a part of our API.
func ShownTypes(t *Tree, p Policy) []Finding {
	var all []Finding
	for _, pkg := range t.Packages {
		if !slices.Contains(p.Libraries, top(pkg.Dir)) || slices.Contains(strings.Split(pkg.Dir, "/"), "internal") {
			continue
		}
		w := &walker{tree: t, allowed: p.Shown[pkg.Dir], home: pkg, seen: map[string]bool{}}
		for f := range pkg.code() {
			for _, d := range f.AST.Decls {
				w.declaration(pkg, f, d)
			}
		}
		all = append(all, w.found...)
	}
	return all
}

// walker follows what the exported declarations of one package show.
type walker struct {
	tree    *Tree
	home    *Package
	allowed []string
	seen    map[string]bool
	found   []Finding
}

func (w *walker) declaration(pkg *Package, f *File, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
			w.expr(pkg, f, d.Type)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					w.typeSpec(pkg, f, s)
				}
			case *ast.ValueSpec:
				if slices.ContainsFunc(s.Names, (*ast.Ident).IsExported) {
					w.expr(pkg, f, s.Type)
					for _, v := range s.Values {
						if s.Type == nil {
							w.expr(pkg, f, v)
						}
					}
				}
			}
		}
	}
}

func (w *walker) typeSpec(pkg *Package, f *File, s *ast.TypeSpec) {
	w.fields(pkg, f, s.TypeParams, false)
	w.expr(pkg, f, s.Type)
}

// expr follows the types that an expression names.
func (w *walker) expr(pkg *Package, f *File, e ast.Expr) {
	if e == nil {
		return
	}
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BlockStmt: // a body is no signature
			return false
		case *ast.StructType:
			w.fields(pkg, f, n.Fields, true)
			return false
		case *ast.InterfaceType:
			w.fields(pkg, f, n.Methods, true)
			return false
		case *ast.FuncType:
			for _, list := range []*ast.FieldList{n.TypeParams, n.Params, n.Results} {
				w.fields(pkg, f, list, false)
			}
			return false
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				w.selector(f, x, n.Sel)
				return false
			}
		case *ast.Ident:
			if !n.IsExported() || pkg != w.home {
				w.follow(pkg, n.Name)
			}
		}
		return true
	})
}

// fields visits the types of a list; of a struct or interface only those that
// importers can reach, which includes what is embedded.
func (w *walker) fields(pkg *Package, f *File, list *ast.FieldList, members bool) {
	if list == nil {
		return
	}
	for _, field := range list.List {
		if !members || len(field.Names) == 0 || slices.ContainsFunc(field.Names, (*ast.Ident).IsExported) {
			w.expr(pkg, f, field.Type)
		}
	}
}

// selector judges name.Type by the import that name stands for.
func (w *walker) selector(f *File, name, sel *ast.Ident) {
	for p, spec := range f.imports() {
		if !importedAs(p, spec, name.Name) {
			continue
		}
		if dir, ok := w.tree.own(p); ok {
			// A public package is judged by its own declarations.
			if pkg := w.tree.pkg(dir); pkg != nil && slices.Contains(strings.Split(dir, "/"), "internal") {
				w.follow(pkg, sel.Name)
			}
			return
		}
		if w.tree.thirdParty(p) && !underAny(p, w.allowed) {
			w.found = append(w.found, Finding{w.tree.at(sel.Pos()),
				fmt.Sprintf("%s shows %s.%s of %s", w.home.Dir, name.Name, sel.Name, p),
				"give importers a type of ours; what may show it stands in Policy.Shown"})
		}
		return
	}
}

// follow visits the declaration and the exported methods of a type that an
// exported declaration leads to.
func (w *walker) follow(pkg *Package, name string) {
	key := pkg.Dir + "." + name
	if w.seen[key] {
		return
	}
	w.seen[key] = true
	for f := range pkg.code() {
		for _, d := range f.AST.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil && d.Name.IsExported() && receiver(d) == name {
					w.expr(pkg, f, d.Type)
				}
			case *ast.GenDecl:
				if d.Tok != token.TYPE {
					continue
				}
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok && s.Name.Name == name {
						w.typeSpec(pkg, f, s)
					}
				}
			}
		}
	}
}

// receiver returns the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// importedAs reports whether an import is what a file calls name. An import
// without a name is known by the last element of its path, without a major
// version and without the "go-" or "-go" that some repositories have.
func importedAs(p string, spec *ast.ImportSpec, name string) bool {
	if spec.Name != nil {
		return spec.Name.Name == name
	}
	if version := regexp.MustCompile(`^v[0-9]+$`); version.MatchString(path.Base(p)) && path.Base(p) != name {
		p = path.Dir(p)
	}
	base := path.Base(p)
	base, _, _ = strings.Cut(base, ".v")
	short := strings.TrimSuffix(strings.TrimPrefix(base, "go-"), "-go")
	return name == base || name == short || name == strings.ReplaceAll(base, "-", "")
}
