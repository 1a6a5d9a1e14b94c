package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Tree is the source of one module, parsed whatever its build tags say, so
// that a rule also holds for the files of other systems.
type Tree struct {
	// Root is the module's folder; empty after [LoadFS].
	Root string
	// Module is the module path that go.mod gives.
	Module string
	// Packages are the folders with Go files, by path, nested modules apart.
	Packages []*Package
	// Nested are the folders of modules inside this one, slash-separated.
	Nested []string

	fsys fs.FS
	fset *token.FileSet
}

// Package is one folder with Go files.
type Package struct {
	// Dir is the slash-separated folder below the module's root; "." is the root.
	Dir string
	// Name is the name in the package clause of its non-test files; empty in a
	// folder that holds tests only.
	Name string
	// Files are all its Go files, tests included, by name.
	Files []*File
}

// File is one parsed Go file.
type File struct {
	// Path is slash-separated and below the module's root.
	Path string
	// Test reports whether the name ends in _test.go.
	Test bool
	// AST is the parsed file with comments.
	AST *ast.File
}

// Finding is one breach of a rule: where, what, and how to mend it.
type Finding struct {
	// Where is a file and line, a folder or a file.
	Where string
	// What is the breach.
	What string
	// Mend is what to do about it.
	Mend string
}

// String returns the finding on one line.
func (f Finding) String() string { return f.Where + ": " + f.What + "; " + f.Mend }

// Load parses the module whose go.mod lies in the folder root.
func Load(root string) (*Tree, error) {
	t, err := LoadFS(os.DirFS(root))
	if err != nil {
		return nil, err
	}
	t.Root = root
	return t, nil
}

// LoadFS parses the module whose go.mod lies at the root of a file system. What
// asks the go command, which is [Reachable], needs [Load].
func LoadFS(fsys fs.FS) (*Tree, error) {
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("archtest: load module: %w", err)
	}
	t := &Tree{fsys: fsys, fset: token.NewFileSet()}
	for line := range strings.Lines(string(mod)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			t.Module = strings.TrimSpace(name)
		}
	}
	if t.Module == "" {
		return nil, errors.New("archtest: load module: go.mod names no module")
	}
	byDir := map[string]*Package{}
	nested := func(rel string) { t.Nested = append(t.Nested, rel) }
	err = t.walk(nested, func(rel string, d fs.DirEntry) error {
		if d.IsDir() || !strings.HasSuffix(rel, ".go") || inTestdata(rel) {
			return nil
		}
		return t.add(byDir, rel)
	})
	if err != nil {
		return nil, fmt.Errorf("archtest: load module: %w", err)
	}
	for _, p := range byDir {
		t.Packages = append(t.Packages, p)
	}
	slices.SortFunc(t.Packages, func(a, b *Package) int { return strings.Compare(a.Dir, b.Dir) })
	slices.Sort(t.Nested)
	return t, nil
}

// walk visits what belongs to the module: no folders that the go command
// ignores, none of nested modules, which it reports. It does visit testdata.
func (t *Tree) walk(nested func(rel string), visit func(rel string, d fs.DirEntry) error) error {
	return fs.WalkDir(t.fsys, ".", func(rel string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed while we walked
			}
			return err
		}
		if d.IsDir() && rel != "." {
			if base := d.Name(); strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
				return fs.SkipDir
			}
			if _, err := fs.Stat(t.fsys, rel+"/go.mod"); err == nil && !inTestdata(rel+"/") {
				nested(rel)
				return fs.SkipDir
			}
		}
		return visit(rel, d)
	})
}

func inTestdata(rel string) bool {
	return slices.Contains(strings.Split(path.Dir(rel), "/"), "testdata")
}

func (t *Tree) add(byDir map[string]*Package, rel string) error {
	if base := path.Base(rel); strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return nil
	}
	src, err := fs.ReadFile(t.fsys, rel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(t.fset, rel, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	p := byDir[path.Dir(rel)]
	if p == nil {
		p = &Package{Dir: path.Dir(rel)}
		byDir[p.Dir] = p
	}
	f := &File{Path: rel, Test: strings.HasSuffix(rel, "_test.go"), AST: file}
	p.Files = append(p.Files, f)
	if !f.Test {
		p.Name = file.Name.Name
	}
	return nil
}

// code yields the files that are compiled into importers.
func (p *Package) code() iter.Seq[*File] {
	return func(yield func(*File) bool) {
		for _, f := range p.Files {
			if !f.Test && !yield(f) {
				return
			}
		}
	}
}

// imports yields the import paths of a file with their nodes.
func (f *File) imports() iter.Seq2[string, *ast.ImportSpec] {
	return func(yield func(string, *ast.ImportSpec) bool) {
		for _, spec := range f.AST.Imports {
			if p, err := strconv.Unquote(spec.Path.Value); err == nil && !yield(p, spec) {
				return
			}
		}
	}
}

// own returns the folder of an import path of this module.
func (t *Tree) own(importPath string) (dir string, ok bool) {
	if importPath == t.Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, t.Module+"/")
}

// thirdParty reports whether an import path is neither std's nor ours.
func (t *Tree) thirdParty(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	_, ours := t.own(importPath)
	return !ours && strings.Contains(first, ".")
}

// pkg returns the package in a folder, or nil.
func (t *Tree) pkg(dir string) *Package {
	i, ok := slices.BinarySearchFunc(t.Packages, dir, func(p *Package, d string) int { return strings.Compare(p.Dir, d) })
	if !ok {
		return nil
	}
	return t.Packages[i]
}

// at returns file:line of a position.
func (t *Tree) at(pos token.Pos) string {
	p := t.fset.Position(pos)
	return p.Filename + ":" + strconv.Itoa(p.Line)
}

// under reports whether a slash path is a folder or lies below it.
func under(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// underAny reports whether a slash path is under one of the folders.
func underAny(p string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return under(p, d) })
}

// top returns the first element of a slash path.
func top(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}
