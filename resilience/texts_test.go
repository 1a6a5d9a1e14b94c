package resilience

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTextsAreReal reads the source of the standard library and fails for a text
// of our tables that no package there has as a literal: texts may change with Go.
func TestTextsAreReal(t *testing.T) {
	src := filepath.Join(build.Default.GOROOT, "src")
	if _, err := os.Stat(filepath.Join(src, "net", "http")); err != nil {
		t.Skip("GOROOT/src is not there: install Go with its sources")
	}
	literals := map[string]bool{}
	for _, dir := range []string{
		"archive", "bufio", "bytes", "compress", "crypto", "database/sql", "encoding", "io", "internal/poll", "mime", "net",
		"os", "strconv", "time",
	} {
		collectLiterals(t, filepath.Join(src, filepath.FromSlash(dir)), literals)
	}
	drivers := 0
	for text, k := range texts {
		if head := strings.TrimSuffix(text, k.code); hasFormat(literals, head) {
			continue // A format of the library, with the code in it.
		}
		if k.source == "sql" || k.source == "redis" || k.source == "mongo" {
			if !literals[text] {
				drivers++ // Of a driver, whose document is cited in texts.go.
			}
			continue
		}
		if !literals[text] {
			t.Errorf("the standard library has no text %q", text)
		}
	}
	for text := range protocolTexts {
		if !literals[text] {
			t.Errorf("the standard library has no text %q", text)
		}
	}
	for _, f := range formats {
		if f.source == "sql" && !hasFormat(literals, f.head) {
			drivers++
			continue
		}
		if !hasFormat(literals, f.head) {
			t.Errorf("the standard library has no format that begins with %q", f.head)
		}
	}
	if drivers > 30 {
		t.Errorf("%d texts of drivers; want few", drivers)
	}
}

// hasFormat reports whether a literal begins with head, apart from the quote that
// badStringError adds and the first verb.
func hasFormat(literals map[string]bool, head string) bool {
	what, quoted := strings.CutSuffix(head, ` "`)
	for literal := range literals {
		before, _, _ := strings.Cut(literal, "%")
		if strings.HasPrefix(literal, head) || before == head || quoted && (literal == what || before == what+" ") {
			return true
		}
	}
	return false
}

func collectLiterals(t *testing.T, dir string, literals map[string]bool) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil {
					literals[s] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFormatsAreSorted holds what the search in formats needs.
func TestFormatsAreSorted(t *testing.T) {
	if !slices.IsSortedFunc(formats[:], func(a, b format) int { return strings.Compare(a.head, b.head) }) {
		t.Error("formats are not sorted")
	}
	for i := 1; i < len(formats); i++ {
		if strings.HasPrefix(formats[i].head, formats[i-1].head) {
			t.Errorf("%q begins %q", formats[i-1].head, formats[i].head)
		}
	}
	for text := range sentinelTexts {
		if _, ok := texts[text]; ok {
			t.Errorf("%q is in two tables", text)
		}
	}
}

// TestSentinels fails for a sentinel that the walk does not find: one of a type of
// its own must have a row in standardTypes.
func TestSentinels(t *testing.T) {
	for _, s := range sentinels {
		want, got := s.info(), Classify(s.err)
		if reflect.TypeOf(s.err) != textType {
			want.Source, want.Code = got.Source, got.Code // the type's row has its own names
		}
		if got != want {
			t.Errorf("Classify(%v) = %+v; want %+v", s.err, got, want)
		}
	}
}

// TestStandardTypesAreReal reads the source for the types that are named in the
// table, those of golang.org/x/net apart, which net/http bundles.
func TestStandardTypesAreReal(t *testing.T) {
	src := filepath.Join(build.Default.GOROOT, "src")
	if _, err := os.Stat(filepath.Join(src, "net", "http")); err != nil {
		t.Skip("GOROOT/src is not there: install Go with its sources")
	}
	names := []string{"net/http.http2StreamError", "net/http.http2GoAwayError", "net/http.http2ConnectionError",
		"net/http.http2connError", "net/http.ProtocolError", "net/textproto.Error", "crypto/tls.alert", "crypto/tls.AlertError"}
	for name := range standardTypes {
		names = append(names, name)
	}
	for _, name := range names {
		at := strings.LastIndex(name, ".")
		path, typ := name[:at], name[at+1:]
		if strings.HasPrefix(path, "golang.org/x/") {
			continue
		}
		if !hasType(t, filepath.Join(src, filepath.FromSlash(path)), typ) {
			t.Errorf("the standard library has no type %s", name)
		}
	}
}

func hasType(t *testing.T, dir, name string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\ntype "+name+" ") {
			return true
		}
	}
	return false
}

// TestExportedSentinelsAreKnown fails for an exported sentinel of the packages that
// a service meets which is in none of our tables.
func TestExportedSentinelsAreKnown(t *testing.T) {
	src := filepath.Join(build.Default.GOROOT, "src")
	if _, err := os.Stat(filepath.Join(src, "net", "http")); err != nil {
		t.Skip("GOROOT/src is not there: install Go with its sources")
	}
	passed := []string{
		"http.ErrWriteAfterFlush", "bufio.ErrFinalToken", "csv.ErrTrailingComma", // Never returned.
		"strconv.ErrRange", "strconv.ErrSyntax", // Told by the type that wraps them, as the next.
		"csv.ErrBareQuote", "csv.ErrFieldCount", "csv.ErrQuote",
	}
	n := 0
	for _, dir := range []string{
		"archive/tar", "archive/zip", "bufio", "bytes", "compress/bzip2", "compress/flate", "compress/gzip", "compress/lzw",
		"compress/zlib", "context", "crypto/rsa", "crypto/tls", "crypto/x509", "database/sql", "database/sql/driver",
		"encoding/csv", "encoding/gob", "encoding/hex", "encoding/json", "encoding/xml", "errors", "io", "io/fs",
		"mime", "mime/multipart", "net", "net/http", "net/http/httputil", "net/http/internal", "net/mail", "net/rpc",
		"net/smtp", "net/textproto", "net/url", "os", "os/exec", "strconv", "time",
	} {
		files, err := filepath.Glob(filepath.Join(src, filepath.FromSlash(dir), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") || strings.Contains(path, "plan9") {
				continue
			}
			for name, text := range exportedSentinels(t, path) {
				n++
				_, byText := texts[text]
				_, byValue := sentinelTexts[text]
				_, byType := protocolTexts[text]
				if !byText && !byValue && !byType && !slices.Contains(passed, name) {
					t.Errorf("%s (%q) is not known", name, text)
				}
			}
		}
	}
	if n < 60 {
		t.Errorf("%d sentinels in the standard library; the search is broken", n)
	}
}

// exportedSentinels finds variables ErrX that are made of one text.
func exportedSentinels(t *testing.T, path string) map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			if len(v.Names) != 1 || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "Err") {
				continue
			}
			ast.Inspect(v.Values[0], func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					text, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					found[file.Name.Name+"."+v.Names[0].Name] = text
				}
				return true
			})
		}
	}
	return found
}
