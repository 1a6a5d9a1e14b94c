package consumer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// around is what a snippet of the README takes for granted: the parameters that it
// uses, and what it leaves unused.
var around = map[string]struct{ before, after string }{
	"cache": {`type User struct{ ID, Team string }
	db := database[User]{User{ID: "1", Team: "blue"}}
	id, team := "1", "blue"`, `check(err)
	fmt.Println(u.Team)`},
	"resilience": {`ask := func(context.Context, string) (string, error) { return "an answer", nil }
	prompt := "a question"`, `check(err)
	fmt.Println(text)`},
	"memory": {`value := []byte("value")`, `check(err)
	found, ok := c.Get("key")
	fmt.Println(string(found), ok)`},
	"cdn": {`check(os.Chdir(os.Args[1]))
	check(os.Setenv("CDN_PROVIDER", "local"))
	check(os.Setenv("CDN_LOCAL_DIR", "cdn"))
	file := bytes.NewReader(photo())`, `check(err)
	check(up.Close())
	fmt.Println(res.Fallback, res.Size > 0)`},
	"imageopt": {`r, w := bytes.NewReader(photo()), io.Discard`, `check(err)
	fmt.Println(res.Width)`},
	"dbindex": {`version := time.Unix(0, 0)`, `check(err)
	names, err := fs.Glob(files, "*/*.sql")
	check(err)
	fmt.Println(len(names))`},
}

// outputs are what the snippets of the README print with what is around them.
const outputs = `cache: blue
resilience: an answer
memory: value true
cdn: <nil> true
imageopt: 640
dbindex: 2
`

// testReadme compiles and runs the README's snippets in a consumer's module.
func testReadme(h home) {
	t := h.t
	text, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := h.consumer("readme", map[string]string{"main.go": program(t, string(text)), "help.go": help})
	h.run(dir, "go", "build", "-o", "program", ".")
	if got := h.run(dir, filepath.Join(dir, "program"), t.TempDir()); got != outputs {
		t.Errorf("the snippets print\n%swant\n%s", got, outputs)
	}
}

// program makes a function of each snippet.
func program(t *testing.T, readme string) string {
	var functions, calls strings.Builder
	for name := range strings.SplitSeq("cache resilience memory cdn imageopt dbindex", " ") {
		_, rest, ok := strings.Cut(readme, "\n### "+name+"\n```go\n")
		snippet, _, closed := strings.Cut(rest, "\n```")
		if !ok || !closed {
			t.Fatalf("README.md has no snippet of %s", name)
		}
		x := around[name]
		fmt.Fprintf(&functions, "func try_%s(ctx context.Context) {\n\t%s\n\t%s\n\t%s\n}\n\n", name, x.before, checked(snippet), x.after)
		fmt.Fprintf(&calls, "\tfmt.Print(%q)\n\ttry_%s(ctx)\n", name+": ", name)
	}
	return fmt.Sprintf(frame, functions.String(), calls.String())
}

// checked looks at each error, as the README leaves to the reader.
func checked(snippet string) string {
	var b strings.Builder
	lines := strings.Split(snippet, "\n")
	for i, line := range lines {
		fmt.Fprintf(&b, "%s\n", line)
		if strings.Contains(line, "err :=") && !strings.HasSuffix(line, "{") && i < len(lines)-1 {
			b.WriteString("check(err)\n")
		}
	}
	return b.String()
}

const frame = `package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdnenv"
	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/imageopt"
	"github.com/perfblocks/perfblocks/memory"
	"github.com/perfblocks/perfblocks/resilience"
)

%sfunc main() {
	ctx := context.Background()
%s}
`

const help = `package main

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"log"
)

type database[T any] struct{ row T }

func (d database[T]) User(context.Context, string) (T, error) { return d.row, nil }

func photo() []byte {
	var b bytes.Buffer
	check(jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 1280, 960)), nil))
	return b.Bytes()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
`
