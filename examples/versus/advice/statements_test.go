package advice

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex/advisor"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// pick returns one of the words.
func pick(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }

// randomStatement makes a statement that is mostly one that PostgreSQL accepts.
func randomStatement(r *rand.Rand) string {
	col := func() string {
		return pick(r, `m."id"`, `m."conversationId"`, `m."role"`, `m."status"`, `m."createdAt"`, `m."tokens"`, `c."userId"`, `c."title"`, `c."deletedAt"`, `c."isPinned"`, `c."updatedAt"`, `lower(m."content")`, `m."tokens" + 1`, `c."title" || 'x'`)
	}
	cond := func() string {
		switch r.IntN(9) {
		case 0:
			return col() + pick(r, " IS NULL", " IS NOT NULL", " IS DISTINCT FROM NULL")
		case 1:
			return pick(r, "", "NOT ") + `c."isPinned"`
		case 2:
			return `m."content" ` + pick(r, "LIKE", "ILIKE", "NOT LIKE", "~", "!~*", "SIMILAR TO") + " " + pick(r, "'a%'", "'%word%'", "'x'")
		case 3:
			return fmt.Sprintf(`m."tokens" BETWEEN %d AND %d`, r.IntN(100), r.IntN(900))
		case 4:
			return `m."status" ` + pick(r, "=", "<>", "IN", "= ANY") + ` ('PENDING')`
		case 5:
			return `m."createdAt" ` + pick(r, "<", ">=") + ` timestamptz '2025-06-01' + interval '1 day'`
		case 6:
			return `EXISTS (SELECT FROM "Attachment" a WHERE a."messageId" = m."id" AND a."kind" = 'pdf')`
		case 7:
			return `m."id" ` + pick(r, "=", "IN") + ` (SELECT f."messageId" FROM "Feedback" f WHERE f."rating" = -1 LIMIT 1)`
		}
		return col() + "::text = " + col() + "::text"
	}
	where := cond()
	for range r.IntN(4) {
		where = "(" + where + pick(r, " AND ", " OR ") + cond() + ")"
	}
	from := `"Message" m ` + pick(r, "", "LEFT ", "FULL ") + `JOIN "Conversation" c ON c."id" = m."conversationId"`
	s := pick(r, "SELECT ", "SELECT DISTINCT ") + col() + " AS a, " + col() + " AS b FROM " + from + " WHERE " + where
	switch r.IntN(6) {
	case 0:
		s = "SELECT a, count(*) FROM (" + s + ") q GROUP BY " + pick(r, "a", "ROLLUP (a)", "CUBE (a, b)") + ", a HAVING count(*) > 1"
	case 1:
		s += " ORDER BY " + pick(r, "1", "2 DESC", "1 DESC NULLS LAST, 2", "b, a DESC") + fmt.Sprintf(" LIMIT %d", r.IntN(50))
	case 2:
		s = "WITH q AS " + pick(r, "", "MATERIALIZED ") + "(" + s + ") SELECT * FROM q" + pick(r, "", " UNION SELECT 'x', 'y'", " WHERE a IS NOT NULL")
	case 3:
		s = `UPDATE "Message" m SET "tokens" = 1 FROM "Conversation" c WHERE c."id" = m."conversationId" AND ` + where
	case 4:
		s = `DELETE FROM "Message" m USING "Conversation" c WHERE ` + where
	}
	return s
}

// hostileText makes a text that is rarely a statement.
func hostileText(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(30) {
		b.WriteString(pick(r, "SELECT", " ", "*", "FROM", `"Message"`, "WHERE", "(", ")", "[", "]", "'", `"`, "$$", "$1", "--", "\n", "\r", "/*", "*/", ";", "E'", `\`, "::", "=", "?", "AND", "OR", "NOT", "IS",
			"NULL", "ORDER BY", "LIKE", "BETWEEN", "\x00", "é", "DROP TABLE \"User\"", "COMMIT", "0x", "1e", ".", ",", "U&'", "a", "id"))
	}
	return b.String()
}

// TestStatements gives the advisor random statements and hostile texts.
func TestStatements(t *testing.T) {
	s := newServer(t)
	db, _ := s.open(t, plainWorld(200))
	n := number("VERSUS_STATEMENTS", 1000, 60)
	r := rand.New(rand.NewPCG(1, 2))
	var work advisor.Workload
	for range n {
		text := randomStatement(r)
		work = append(work, advisor.Query{Name: text, SQL: text})
	}
	for range 2 * n {
		text := hostileText(r)
		work = append(work, advisor.Query{Name: text, SQL: text})
	}
	h, err := advisor.NewHypoPG(t.Context(), db, advisor.HypoPGOptions{AllowPrimary: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	accepted, silent, withCandidates := 0, 0, 0
	for i := 0; i < len(work); i += 20 {
		a, err := advisor.Advise(t.Context(), h, work[i:min(i+20, len(work))], advisor.Options{MaxIndexes: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range a.Queries {
			if q.Before > 0 {
				accepted++
			}
			if q.Candidates > 0 {
				withCandidates++
			} else if q.Reason == "" {
				silent++
				t.Logf("neither candidates nor a reason: %s", q.Name)
			}
		}
	}
	if _, err := db.Exec(`SELECT FROM "User" LIMIT 1`); err != nil {
		t.Errorf("the texts did harm: %v", err)
	}
	bench.Emit(t, bench.Row{Measure: fmt.Sprintf("advisor, %d random statements and hostile texts: neither candidates nor a reason", len(work)), Unit: "count", Ours: float64(silent), Goal: "≤ 0",
		OK: silent == 0 && accepted > n/2, Peers: []bench.Value{{Name: "accepted by PostgreSQL", Value: float64(accepted)}, {Name: "with candidates", Value: float64(withCandidates)}}})
}
