package advice

import (
	"context"
	"crypto/md5"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/perfblocks/perfblocks/dbindex/advisor"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// world is one form of the chat application: its size, its seed, and what its names
// and constants are called.
type world struct {
	name  string
	users int
	seed  string
	names map[string]string // identifiers, by those of the files
	texts [][2]string       // constants, as they stand in the files
}

func plainWorld(users int) world { return world{name: "plain", users: users, seed: "0.42"} }

// otherWorld has no name and no constant of the plain one.
func otherWorld(users int) world {
	names := map[string]string{}
	for _, file := range []string{"schema.sql", "workload.sql"} {
		for _, m := range regexp.MustCompile(`"(\w+)"`).FindAllStringSubmatch(read(file), -1) {
			if names[m[1]] == "" {
				// Capital letters stay, so that they need quotes as before; no letter else does.
				names[m[1]] = fmt.Sprintf("%s%c%d", strings.ToUpper(m[1][:1])[:1], 'a'+len(names)%26, len(names))
			}
		}
	}
	return world{name: "renamed", users: users, seed: "0.137", names: names, texts: [][2]string{
		{"'PENDING'", "'OPEN'"}, {"'FAILED'", "'BROKEN'"}, {"'COMPLETE'", "'DONE'"}, {"'FREE'", "'BASIC'"}, {"'active'", "'running'"},
		{"'image'", "'bild'"}, {"'Conversation'", "'Room'"}, {"%word4321 %", "%word1234 %"}, {"'user77@", "'user1234@"}, {"'key1042'", "'key17'"},
		{"2025-12-25", "2025-12-22"}, {"2025-09-01", "2025-08-11"}, {"2025-12-30", "2025-12-28"}, {"> 90000", "> 80000"},
	}}
}

func read(file string) string {
	b, err := os.ReadFile(filepath.Join("testdata", "chat", file))
	if err != nil {
		panic(err) // the test data is part of the package
	}
	return string(b)
}

// text returns a file in the words of the world.
func (w world) text(file string) string {
	s := read(file)
	if w.names == nil {
		return s
	}
	for _, t := range w.texts {
		s = strings.ReplaceAll(s, t[0], t[1])
	}
	if strings.HasPrefix(file, "sets/") { // some columns stand there without quotes
		s = regexp.MustCompile(`([( ])(status|expires)([,)])`).ReplaceAllString(s, `$1"$2"$3`)
	}
	return regexp.MustCompile(`"(\w+)"`).ReplaceAllStringFunc(s, func(q string) string {
		if n := w.names[strings.Trim(q, `"`)]; n != "" {
			return `"` + n + `"`
		}
		return q
	})
}

// query is one of the workload: for advice with parameters and samples of them, for
// measurement with constants.
type query struct {
	name   string
	weight float64
	texts  []string
}

// workload returns the queries in both forms.
func (w world) workload(t testing.TB) (advisor.Workload, []query) {
	t.Helper()
	work, err := advisor.ParseWorkload(w.text("workload.sql"))
	if err != nil {
		t.Fatal(err)
	}
	var queries []query
	for i, q := range work {
		m := query{name: q.Name, weight: q.Weight}
		kind := regexp.MustCompile(`\{([ucm])\}`).FindStringSubmatch(q.SQL)
		if kind == nil {
			m.texts = []string{q.SQL}
		} else {
			for _, id := range []int{2, 57, 1100, 3300} {
				id = max(id*w.users/5000, 1) * map[string]int{"u": 1, "c": 20, "m": 160}[kind[1]]
				key := "c" + fmt.Sprintf("%x", md5.Sum(fmt.Append(nil, kind[1], id)))[:24]
				work[i].Args = append(work[i].Args, []any{key})
				m.texts = append(m.texts, strings.ReplaceAll(q.SQL, kind[0], "'"+key+"'"))
			}
			work[i].SQL = strings.ReplaceAll(q.SQL, kind[0], "$1")
		}
		queries = append(queries, m)
	}
	return work, queries
}

// set returns the statements of another tool's set.
func (w world) set(file string) (list []string) {
	for line := range strings.Lines(w.text("sets/" + file)) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// server is one PostgreSQL server with the worlds that tests have asked for.
type server struct {
	url string
}

// connect opens a database of the server.
func (s server) connect(t testing.TB, database string) *sql.DB {
	t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	if database != "" {
		u.Path = "/" + database
	}
	db, err := sql.Open("pgx", u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newServer(t testing.TB) server { return server{url: realtest.Postgres(t)} }

// copies counts the databases of this process.
var copies atomic.Int64

// open returns a fresh copy of a world's database, without any secondary index, and
// its name.
func (s server) open(t testing.TB, w world) (*sql.DB, string) {
	t.Helper()
	admin := s.connect(t, "")
	template := fmt.Sprintf("advice_%s_%d", w.name, w.users)
	var have bool
	if err := admin.QueryRow(`SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, template).Scan(&have); err != nil {
		t.Fatal(err)
	}
	if !have {
		s.fill(t, w, template)
	}
	name := fmt.Sprintf("%s_%d_%d", template, os.Getpid(), copies.Add(1))
	must(t, admin, `DROP DATABASE IF EXISTS `+name, `CREATE DATABASE `+name+` TEMPLATE `+template)
	t.Cleanup(func() { must(t, admin, `DROP DATABASE `+name+` WITH (FORCE)`) })
	return s.connect(t, name), name
}

// fill makes the template database of a world.
func (s server) fill(t testing.TB, w world, name string) {
	must(t, s.connect(t, ""), `CREATE DATABASE `+name)
	db := s.connect(t, name)
	defer db.Close()
	data := strings.ReplaceAll(w.text("data.sql"), ":users", fmt.Sprint(w.users))
	data = regexp.MustCompile(`(?m)^\\.*$`).ReplaceAllString(data, "")
	data = strings.Replace(data, "setseed(0.42)", "setseed("+w.seed+")", 1)
	conn, err := db.Conn(context.Background()) // setseed is of the session
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, text := range []string{w.text("schema.sql"), data} {
		for line := range statements(t, text) {
			if _, err := conn.ExecContext(context.Background(), line); err != nil {
				t.Fatalf("%.200s: %v", line, err)
			}
		}
	}
	must(t, db, `CREATE EXTENSION pg_trgm`, `CREATE EXTENSION hypopg`, `VACUUM ANALYZE`, `CHECKPOINT`)
}

// statements cuts a script.
func statements(t testing.TB, text string) func(func(string) bool) {
	work, err := advisor.ParseWorkload(text)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(string) bool) {
		for _, q := range work {
			if !yield(q.SQL) {
				return
			}
		}
	}
}

func must(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(context.Background(), s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
}
