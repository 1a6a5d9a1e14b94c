package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// PackageVars finds package-level variables that are neither error sentinels,
// blank assertions nor permitted by name, permitted ones that are changed or
// are not of their kind, and permissions for variables that are gone.
func PackageVars(t *Tree, p Policy) []Finding {
	var all []Finding
	unused := maps.Clone(p.Vars)
	for _, pkg := range t.Packages {
		changed := changes(t, pkg)
		for name, d := range packageVars(pkg) {
			key := pkg.Dir + "." + name
			permit, listed := p.Vars[key]
			delete(unused, key)
			where := t.at(d.ident.Pos())
			switch {
			case !listed && !d.sentinel():
				all = append(all, Finding{where, "package-level variable " + key,
					"make it a constant, a field or a function's result; an immutable table, sync.Pool or sync.Map of facts goes to Policy.Vars with its reason"})
				continue
			case listed && permit.Why == "":
				all = append(all, Finding{where, key + " is permitted without a reason", "give one in Policy.Vars"})
			}
			kind := Table
			if listed {
				kind = permit.Kind
			}
			if !d.is(kind) {
				all = append(all, Finding{where, fmt.Sprintf("%s is not a %v", key, kind), "correct its kind in Policy.Vars or its type"})
			}
			if pos, ok := changed[d.ident.Pos()]; ok && kind != Pool && kind != Memo {
				all = append(all, Finding{t.at(pos), key + " is changed, or its address taken", "work on a copy, or keep it in the object that New returns"})
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(unused)) {
		all = append(all, Finding{"Policy.Vars", key + " does not exist", "remove the line"})
	}
	return all
}

// decl is the declaration of one package-level variable.
type decl struct {
	ident *ast.Ident
	typ   ast.Expr // nil where the value gives it
	value ast.Expr // nil without one
	embed bool     // under a go:embed directive
}

// packageVars yields the variables of a package's non-test files, blank ones apart.
func packageVars(pkg *Package) func(yield func(string, decl) bool) {
	return func(yield func(string, decl) bool) {
		for f := range pkg.code() {
			for _, d := range f.AST.Decls {
				gen, ok := d.(*ast.GenDecl)
				if !ok || gen.Tok != token.VAR {
					continue
				}
				for _, s := range gen.Specs {
					spec, ok := s.(*ast.ValueSpec)
					if !ok {
						continue
					}
					for i, id := range spec.Names {
						v := decl{ident: id, typ: spec.Type, embed: embeds(gen.Doc) || embeds(spec.Doc)}
						if i < len(spec.Values) {
							v.value = spec.Values[i]
						}
						if id.Name != "_" && !yield(id.Name, v) {
							return
						}
					}
				}
			}
		}
	}
}

func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// sentinel reports whether the variable is an error with a value, by the name
// that errors have here and by what it is made of.
func (d decl) sentinel() bool {
	name := d.ident.Name
	if !strings.HasPrefix(name, "Err") && !strings.HasPrefix(name, "err") || d.value == nil {
		return false
	}
	if d.typ != nil {
		return types.ExprString(d.typ) == "error"
	}
	return errorValue(d.value)
}

// errorValue reports whether an expression makes an error, or wraps one that
// it makes.
func errorValue(e ast.Expr) bool {
	switch v := e.(type) {
	case *ast.CallExpr:
		made := types.ExprString(v.Fun)
		return made == "errors.New" || made == "fmt.Errorf" || errorName(made) || slices.ContainsFunc(v.Args, errorValue)
	case *ast.SelectorExpr: // another package's sentinel by a shorter name
		return strings.HasPrefix(v.Sel.Name, "Err")
	case *ast.CompositeLit:
		return errorName(types.ExprString(v.Type))
	case *ast.UnaryExpr:
		lit, ok := v.X.(*ast.CompositeLit)
		return v.Op == token.AND && ok && errorName(types.ExprString(lit.Type))
	}
	return false
}

// errorName reports whether a type or constructor is one of errors by name.
func errorName(name string) bool {
	return strings.HasSuffix(name, "Error") || strings.HasSuffix(name, "error")
}

// is reports whether the declaration is of the kind that was permitted.
func (d decl) is(kind VarKind) bool {
	typ := d.typ
	if lit, ok := d.value.(*ast.CompositeLit); ok && typ == nil {
		typ = lit.Type
	}
	name := ""
	if typ != nil {
		name = strings.TrimPrefix(types.ExprString(typ), "[...]")
	}
	if i := strings.LastIndex(name, "]"); i >= 0 { // an array of pools is a pool
		name = name[i+1:]
	}
	switch kind {
	case Pool:
		return name == "sync.Pool"
	case Memo:
		return name == "sync.Map"
	case Embedded:
		return d.embed
	default:
		return !d.embed && !strings.HasPrefix(name, "sync.") && !strings.HasPrefix(name, "atomic.") && d.value != nil
	}
}

// changes returns, by the position of its declaration, where a package-level
// variable is assigned to, in whole or in part, or its address is taken.
func changes(t *Tree, pkg *Package) map[token.Pos]token.Pos {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	var files []*ast.File
	for f := range pkg.code() {
		files = append(files, f.AST)
	}
	if len(files) == 0 {
		return nil
	}
	// Imports are not loaded: which variable a name means does not depend on
	// them, so the errors that follow from it are of no interest.
	conf := types.Config{Error: func(error) {}, Importer: emptyImporter{}}
	tpkg, _ := conf.Check(pkg.Dir, t.fset, files, info)
	found := map[token.Pos]token.Pos{}
	note := func(e ast.Expr) {
		id := rootOf(e)
		if id == nil {
			return
		}
		if v, ok := info.Uses[id].(*types.Var); ok && tpkg != nil && v.Parent() == tpkg.Scope() {
			if _, seen := found[v.Pos()]; !seen {
				found[v.Pos()] = id.Pos()
			}
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			for _, e := range written(n) {
				note(e)
			}
			return true
		})
	}
	return found
}

// written returns the expressions that a node changes or takes the address of.
func written(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		return n.Lhs
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && slices.Contains([]string{"delete", "clear", "copy", "append"}, f.Name) {
			return n.Args[:1]
		}
	}
	return nil
}

// rootOf returns the variable at the left of x.f[i], or nil.
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// emptyImporter makes every imported package an empty one.
type emptyImporter struct{}

func (emptyImporter) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, path[strings.LastIndex(path, "/")+1:])
	p.MarkComplete()
	return p, nil
}
