package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// listed is what the go command says of one package.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	ImportMap  map[string]string
	Module     *struct {
		Path string
		Main bool
	}
	Error *struct{ Err string }
}

// Reachable returns for each package folder of the module the third-party
// modules that its non-test code reaches on Linux, without versions: a line
// with the folder and a colon, then a line for each module. Packages that reach
// none are left out.
func Reachable(t *Tree) (string, error) {
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Standard,Imports,ImportMap,Module,Error", "./...")
	cmd.Dir = t.Root
	// The same answer on every machine.
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("archtest: go list: %w: %s", err, bytes.TrimSpace(errOut.Bytes()))
	}
	pkgs := map[string]*listed{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(listed)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", fmt.Errorf("archtest: go list: %w", err)
		}
		if p.Error != nil {
			return "", fmt.Errorf("archtest: go list: %s: %s", p.ImportPath, p.Error.Err)
		}
		pkgs[p.ImportPath] = p
	}
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(pkgs)) {
		modules := reach(pkgs, p)
		if dir, ok := t.own(p); ok && len(modules) > 0 {
			fmt.Fprintf(&b, "%s:\n", dir)
			for _, m := range slices.Sorted(maps.Keys(modules)) {
				fmt.Fprintf(&b, "\t%s\n", m)
			}
		}
	}
	return b.String(), nil
}

// reach returns the modules outside ours that a package needs to build.
func reach(pkgs map[string]*listed, from string) map[string]bool {
	modules, seen := map[string]bool{}, map[string]bool{}
	var visit func(string)
	visit = func(path string) {
		p := pkgs[path]
		if p == nil || seen[path] || p.Standard {
			return
		}
		seen[path] = true
		if p.Module != nil && !p.Module.Main {
			modules[p.Module.Path] = true
		}
		for _, i := range p.Imports {
			if mapped, ok := p.ImportMap[i]; ok {
				i = mapped
			}
			visit(i)
		}
	}
	visit(from)
	return modules
}

// PinnedModules compares what the packages reach with the pinned lines.
func PinnedModules(t *Tree, pinned string) ([]Finding, error) {
	now, err := Reachable(t)
	if err != nil {
		return nil, err
	}
	have, want := byPackage(now), byPackage(pinned)
	var all []Finding
	for _, dir := range slices.Sorted(maps.Keys(have)) {
		for _, m := range have[dir] {
			if !slices.Contains(want[dir], m) {
				all = append(all, Finding{dir, "reaches " + m, "do without it, or " + mendPinned})
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(want)) {
		for _, m := range want[dir] {
			if !slices.Contains(have[dir], m) {
				all = append(all, Finding{dir, "no longer reaches " + m, mendPinned})
			}
		}
	}
	return all, nil
}

const mendPinned = "run: go test ./examples/internal/archtest -run TestModules -update"

func byPackage(text string) map[string][]string {
	m := map[string][]string{}
	dir := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if name, ok := strings.CutSuffix(line, ":"); ok {
			dir = name
		} else if module, ok := strings.CutPrefix(line, "\t"); ok {
			m[dir] = append(m[dir], module)
		}
	}
	return m
}
