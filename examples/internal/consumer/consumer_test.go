package consumer

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/perfblocks/perfblocks"

// packages are those that the README names; each is imported alone.
var packages = []string{
	"cache", "resilience", "memory", "cdn", "imageopt", "dbindex", // the six
	"cache/rediscache", "cache/ristrettocache", "resilience/resiliencehttp", "cdn/cdnenv", "dbindex/live", "dbindex/advisor",
}

// home is where nothing is yet: no module, no compiled package, no setting.
type home struct {
	t   *testing.T
	dir string
	env []string
}

func emptyHome(t *testing.T) home {
	t.Helper()
	if os.Getenv("PERF_CONSUMER") == "" {
		t.Skip("downloads and compiles everything anew, which takes minutes; set PERF_CONSUMER=1")
	}
	dir := t.TempDir()
	h := home{t, dir, []string{
		"HOME=" + dir, "GOPATH=" + filepath.Join(dir, "go"), "GOCACHE=" + filepath.Join(dir, "build"), "GOFLAGS=-modcacherw", "GOWORK=off",
		"GOTOOLCHAIN=local", "GOENV=off", "PATH=" + os.Getenv("PATH"), "CGO_ENABLED=0", "TMPDIR=" + os.TempDir(),
	}}
	for _, name := range []string{"GOPROXY", "GONOSUMDB", "GONOSUMCHECK", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GOINSECURE"} { // the way out of here
		if value := goEnv(t, name); value != "" {
			h.env = append(h.env, name+"="+value)
		}
	}
	return h
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// run runs a command of a consumer.
func (h home) run(dir string, command ...string) string {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, h.env
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, errOut.Bytes())
	}
	return string(out)
}

// consumer makes a module beside ours, as the README says, with these files.
func (h home) consumer(name string, files map[string]string) string {
	h.t.Helper()
	dir := filepath.Join(h.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	for file, content := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			h.t.Fatal(err)
		}
	}
	h.run(dir, "go", "mod", "init", "example.com/"+name)
	h.run(dir, "go", "mod", "edit", "-require", module+"@v0.0.0", "-replace", module+"="+root(h.t))
	h.run(dir, "go", "mod", "tidy")
	return dir
}

// root is the folder of our module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// downloads are the modules whose code is in the home, with the size of all of it.
func (h home) downloads() (modules []string, bytes int64) {
	h.t.Helper()
	cache := filepath.Join(h.dir, "go", "pkg", "mod", "cache", "download")
	err := filepath.WalkDir(cache, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".zip" {
			return err
		}
		info, err := d.Info()
		if err == nil {
			name, _, _ := strings.Cut(strings.TrimPrefix(path, cache+string(filepath.Separator)), string(filepath.Separator)+"@v")
			modules, bytes = append(modules, filepath.ToSlash(name)), bytes+info.Size()
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	return modules, bytes
}

// TestConsumer tries all in one home: what was compiled once is not compiled again.
func TestConsumer(t *testing.T) {
	h := emptyHome(t)
	t.Run("package alone", func(t *testing.T) { testPackageAlone(home{t, h.dir, h.env}) })
	t.Run("README", func(t *testing.T) { testReadme(home{t, h.dir, h.env}) })
	modules, bytes := h.downloads()
	t.Logf("downloaded in all: %d modules, %.1f MB", len(modules), float64(bytes)/1e6)
}

// testPackageAlone imports each package in a module of its own. It compiles no module
// that the arch test's list does not give to the package.
func testPackageAlone(h home) {
	t := h.t
	pinned, err := os.ReadFile("../archtest/testdata/modules.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range packages {
		before, size := h.downloads()
		dir := h.consumer(strings.ReplaceAll(pkg, "/", "-"), map[string]string{
			"main.go": fmt.Sprintf("package main\n\nimport _ %q\n\nfunc main() {}\n", module+"/"+pkg),
		})
		h.run(dir, "go", "build", "-o", "program", ".")
		program, err := os.Stat(filepath.Join(dir, "program"))
		if err != nil {
			t.Fatal(err)
		}
		after, bytes := h.downloads()
		compiled := strings.Fields(h.run(dir, "go", "list", "-deps", "-f", "{{with .Module}}{{if not (or .Main .Replace)}}{{.Path}}{{end}}{{end}}", "."))
		slices.Sort(compiled)
		compiled = slices.Compact(compiled)
		t.Logf("%-28s compiles %2d modules, program %4.1f MB; downloaded for it %d modules, %.1f MB",
			pkg, len(compiled), float64(program.Size())/1e6, len(after)-len(before), float64(bytes-size)/1e6)
		if want := modulesOf(string(pinned), pkg); !slices.Equal(compiled, want) {
			t.Errorf("%s compiles %q; want %q, as archtest/testdata/modules.txt has it", pkg, compiled, want)
		}
	}
}

// modulesOf reads the lines under the package's name.
func modulesOf(pinned, pkg string) (modules []string) {
	_, rest, _ := strings.Cut("\n"+pinned, "\n"+pkg+":\n")
	for line := range strings.Lines(rest) {
		name, ok := strings.CutPrefix(line, "\t")
		if !ok {
			break
		}
		modules = append(modules, strings.TrimSpace(name))
	}
	return modules
}
