package advisor_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/advisor"
)

func shop(t testing.TB, d dbindex.Dialect) *advisor.Heuristic {
	t.Helper()
	h, err := advisor.NewHeuristic(d, []advisor.Table{{Name: "orders", Rows: 1e6,
		Columns: []advisor.Column{{Name: "id", Type: "bigint", Distinct: 1e6}, {Name: "customer", Type: "bigint", Distinct: 5e4}, {Name: "state", Type: "text", Distinct: 4},
			{Name: "placed", Type: "timestamptz", Distinct: 9e5}, {Name: "note", Type: "text", Distinct: 8e5}, {Name: "deleted", Type: "timestamptz", Distinct: 10}},
		Indexes: []dbindex.Index{{Name: "orders_pkey", Table: "orders", Keys: []dbindex.Key{dbindex.Asc("id")}, Unique: true, Constraint: dbindex.PrimaryKey}}},
		{Name: "customers", Rows: 5e4, Columns: []advisor.Column{{Name: "id", Type: "bigint", Distinct: 5e4}, {Name: "email", Type: "text", Distinct: 5e4}}}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func advise(t testing.TB, d dbindex.Dialect, o advisor.Options, sql ...string) *advisor.Advice {
	t.Helper()
	var w advisor.Workload
	for _, s := range sql {
		w = append(w, advisor.Query{SQL: s})
	}
	a, err := advisor.Advise(t.Context(), shop(t, d), w, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestHeuristicProposes(t *testing.T) {
	pg := dbindex.Postgres(15)
	for _, tt := range []struct {
		name, sql, want string
		d               dbindex.Dialect
	}{
		{"equal", `SELECT note FROM orders WHERE customer = $1`, `("customer")`, pg},
		{"equal and order", `SELECT note FROM orders WHERE customer = $1 ORDER BY placed DESC LIMIT 10`, `("customer", "placed")`, pg},
		{"mixed order", `SELECT note, id FROM orders ORDER BY placed DESC, customer LIMIT 10`, `("placed" DESC, "customer")`, pg},
		{"alias", `SELECT o.note FROM orders AS o JOIN customers c ON c.id = o.customer WHERE c.email = 'a@b'`, `"customers" ("email"`, pg},
		{"expression", `SELECT id FROM customers WHERE lower(email) = 'x'`, `(lower("email"))`, pg},
		{"constant in the text", `SELECT note FROM orders WHERE state = 'open' ORDER BY placed`, `WHERE "state" = 'open'`, pg},
		{"null", `SELECT note FROM orders WHERE customer = $1 AND deleted IS NULL`, `WHERE "deleted" IS NULL`, pg},
		{"trigrams", `SELECT id FROM orders WHERE note ILIKE '%abc%'`, `USING gin ("note" "gin_trgm_ops")`, pg},
		{"mysql", "SELECT note FROM orders WHERE CUSTOMER = ?", "(`customer`", dbindex.MySQL(8, 0)},
		{"or", `SELECT note FROM orders WHERE customer = $1 OR placed = $2`, `("customer")`, pg},
	} {
		a := advise(t, tt.d, advisor.Options{}, tt.sql)
		if a.Queries[0].Candidates == 0 {
			t.Errorf("%s: no candidates: %s", tt.name, a.Queries[0].Reason)
		}
		if tt.name == "or" {
			continue // no single index serves it by these rules; candidates are enough
		}
		if text := a.Plan().String(); !strings.Contains(text, tt.want) {
			t.Errorf("%s: advice is\n%swant %s", tt.name, text, tt.want)
		}
		for _, p := range a.Create {
			if p.Confidence != advisor.Unverified {
				t.Errorf("%s: confidence = %v; want unverified", tt.name, p.Confidence)
			}
		}
	}
}

func TestAdviseUsesNoParameterAsConstant(t *testing.T) {
	w := advisor.Workload{{SQL: `SELECT note FROM orders WHERE state = $1 AND customer = $2`, Args: [][]any{{"open", 7}}}}
	a, err := advisor.Advise(t.Context(), shop(t, dbindex.Postgres(15)), w, advisor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if text := a.Plan().String(); text == "" || strings.Contains(text, "open") {
		t.Errorf("advice is %q; want an index without the argument", text)
	}
}

func TestAdviseBudgets(t *testing.T) {
	queries := []string{`SELECT note FROM orders WHERE customer = $1`, `SELECT note FROM orders WHERE placed > $1 AND state = $2`, `SELECT id FROM customers WHERE email = $1`}
	all := advise(t, dbindex.Postgres(15), advisor.Options{}, queries...)
	if len(all.Create) < 3 {
		t.Fatalf("without budget %d proposals; want 3", len(all.Create))
	}
	if a := advise(t, dbindex.Postgres(15), advisor.Options{MaxIndexes: 1}, queries...); len(a.Create) != 1 {
		t.Errorf("MaxIndexes 1: %d proposals", len(a.Create))
	}
	a := advise(t, dbindex.Postgres(15), advisor.Options{MaxBytes: all.Bytes / 2}, queries...)
	if a.Bytes > all.Bytes/2 || len(a.Create) == 0 {
		t.Errorf("MaxBytes %d: %d bytes in %d proposals", all.Bytes/2, a.Bytes, len(a.Create))
	}
	if a := advise(t, dbindex.Postgres(15), advisor.Options{MaxWriteGrowth: all.WriteGrowth / 2}, queries...); a.WriteGrowth > all.WriteGrowth/2 || len(a.Create) == 0 {
		t.Errorf("MaxWriteGrowth %v: %v in %d proposals", all.WriteGrowth/2, a.WriteGrowth, len(a.Create))
	}
	a = advise(t, dbindex.Postgres(15), advisor.Options{Methods: []dbindex.Method{dbindex.BTree}}, `SELECT id FROM orders WHERE note ILIKE '%x%'`)
	if len(a.Create) != 0 {
		t.Errorf("btree only: %v", a.Indexes())
	}
}

func TestAdviseRefuses(t *testing.T) {
	h := shop(t, dbindex.Postgres(15))
	ok := advisor.Workload{{SQL: "SELECT 1"}}
	for name, o := range map[string]advisor.Options{
		"MaxBytes": {MaxBytes: -1}, "MaxIndexes": {MaxIndexes: -1}, "MaxWriteGrowth": {MaxWriteGrowth: math.NaN()},
		"MaxKeys": {MaxKeys: 17}, "Samples": {Samples: 101},
	} {
		if _, err := advisor.Advise(t.Context(), h, ok, o); !errors.Is(err, advisor.ErrOptions) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v; want ErrOptions with the field's name", name, err)
		}
	}
	for name, w := range map[string]advisor.Workload{"none": nil, "negative": {{SQL: "SELECT 1", Weight: -1}}, "infinite": {{SQL: "SELECT 1", Weight: math.Inf(1)}}} {
		if _, err := advisor.Advise(t.Context(), h, w, advisor.Options{}); !errors.Is(err, advisor.ErrOptions) {
			t.Errorf("workload %s: %v; want ErrOptions", name, err)
		}
	}
	if _, err := advisor.NewHeuristic(dbindex.Dialect{}, []advisor.Table{{}}); !errors.Is(err, advisor.ErrOptions) {
		t.Errorf("NewHeuristic of nothing: %v; want ErrOptions", err)
	}
}

func TestParseWorkload(t *testing.T) {
	w, err := advisor.ParseWorkload(`
-- name: a weight: 2.5
SELECT ';' FROM t -- ; no end
 WHERE x = $$a;b$$;
SELECT "a;b" /* ; /* nested ; */ */ FROM u;;
-- name: last
SELECT (1;`)
	if err != nil {
		t.Fatal(err)
	}
	if len(w) != 3 || w[0].Name != "a" || w[0].Weight != 2.5 || w[2].Name != "last" || !strings.HasSuffix(w[0].SQL, "$$a;b$$") || !strings.HasPrefix(w[1].SQL, `SELECT "a;b"`) {
		t.Errorf("ParseWorkload = %+v", w)
	}
	for _, bad := range []string{"0", "-1", "x", "NaN", "Inf"} {
		if _, err := advisor.ParseWorkload("-- name: a weight: " + bad + "\nSELECT 1;"); !errors.Is(err, advisor.ErrOptions) {
			t.Errorf("weight %s: %v; want ErrOptions", bad, err)
		}
	}
}

// FuzzAdvise gives any text to the offline path, which reads it all.
func FuzzAdvise(f *testing.F) {
	for _, s := range []string{`SELECT note FROM orders o WHERE o.customer = $1 AND (state = 'x' OR note LIKE 'a%') ORDER BY placed DESC NULLS LAST`,
		`select * from orders where not (((state)::text = any ('{a,b}'::text[])))`, `UPDATE orders SET note = '' WHERE id BETWEEN 1 AND 2`,
		"((((", `SELECT "`, "/*", "$$", `E'\`, "a.b.c.d", "where", "order by", "from orders where is null", "\x00", "from orders,orders.id where id.=id"} {
		f.Add(s)
	}
	var backends []*advisor.Heuristic
	for _, d := range []dbindex.Dialect{dbindex.Postgres(15), dbindex.MySQL(8, 0)} {
		backends = append(backends, shop(f, d))
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 2000 {
			return // long texts have a test of their own
		}
		w, err := advisor.ParseWorkload(s)
		if err != nil || len(w) == 0 {
			w = advisor.Workload{{SQL: s}}
		}
		for _, h := range backends {
			a, err := advisor.Advise(t.Context(), h, w[:min(len(w), 2)], advisor.Options{MaxIndexes: 1, MaxKeys: 2})
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range a.Queries {
				if q.Candidates == 0 && q.Reason == "" {
					t.Errorf("%q: neither candidates nor a reason", s)
				}
			}
		}
	})
}

// TestAdviseLongTexts takes long texts that are hostile to recursion and to
// whatever looks for an end.
func TestAdviseLongTexts(t *testing.T) {
	h := shop(t, dbindex.Postgres(15))
	for _, part := range []string{"(", "/*", "$$", "'", "where ", "on note = ", "select ", "note and ", "not ", "order by note,", "a.", "\xff", "$a$", "E'\\", "from orders,", "[", "1,", ";"} {
		for _, n := range []int{(1 << 18) / len(part), 3000} { // more than is read, and less
			longText(t, h, part, n)
		}
	}
}

func longText(t *testing.T, h *advisor.Heuristic, part string, n int) {
	t.Helper()
	text := "SELECT note FROM orders WHERE " + strings.Repeat(part, n)
	start := time.Now()
	a, err := advisor.Advise(t.Context(), h, advisor.Workload{{SQL: text}}, advisor.Options{MaxIndexes: 1})
	if err != nil {
		t.Fatal(err)
	}
	if q := a.Queries[0]; q.Candidates == 0 && q.Reason == "" {
		t.Errorf("%q %d times: neither candidates nor a reason", part, n)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("%q %d times: took %v", part, n, d)
	}
	if _, err := advisor.ParseWorkload(text); err != nil {
		t.Errorf("%q %d times: ParseWorkload: %v", part, n, err)
	}
}
