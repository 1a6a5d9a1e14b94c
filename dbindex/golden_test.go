package dbindex_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// go test ./dbindex -run TestChatGolden -update
var update = flag.Bool("update", false, "write the golden files anew")

// TestChatGolden: the migrations of every tool and the lines of schema.prisma come out
// of the declared indexes of the chat application, byte for byte.
func TestChatGolden(t *testing.T) {
	plan, err := dbindex.Diff(dbindex.Postgres(15), chat(), nil)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"schema.prisma": prismaText(t, plan.Dialect)}
	for _, kind := range []dbindex.MigrationKind{dbindex.Plain, dbindex.Prisma, dbindex.GolangMigrate, dbindex.Goose} {
		files, err := plan.Migration(kind, dbindex.MigrationOptions{At: time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC), Name: "chat_indexes"})
		if err != nil {
			t.Fatal(err)
		}
		texts[kind.String()] = read(t, files)
		findings, err := dbindex.LintFiles(plan.Dialect, files, dbindex.LintOptions{})
		if err != nil || len(findings) > 0 {
			t.Errorf("%s: LintFiles = %v, %v; want nothing", kind, findings, err)
		}
	}
	for name, got := range texts {
		path := "testdata/chat_" + name + ".txt"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || string(want) != got {
			t.Errorf("%s, %v: now\n%s", path, err, got)
		}
	}
}

// prismaText is what goes into schema.prisma, with what cannot stand there as comments.
func prismaText(t *testing.T, d dbindex.Dialect) string {
	t.Helper()
	r, err := dbindex.PrismaSchema(d, chat())
	if err != nil {
		t.Fatal(err)
	}
	b := strings.Builder{}
	for _, m := range r.Models {
		b.WriteString("model " + m.Table + " {\n  " + strings.Join(m.Lines, "\n  ") + "\n}\n")
	}
	for _, g := range r.Gaps {
		b.WriteString("// " + g.Index + ": " + g.Reason + "\n")
	}
	return b.String()
}
