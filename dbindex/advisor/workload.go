package advisor

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var (
	// ErrOptions matches every error about options, budgets and a workload without
	// queries.
	ErrOptions = errors.New("dbindex/advisor: invalid options")

	// ErrPrimary says that a backend was asked to work on a database that may serve
	// others: see [NewHypoPG] and [NewToggle]. Nothing was changed.
	ErrPrimary = errors.New("dbindex/advisor: not a scratch database")
)

// Query is one statement of a workload.
type Query struct {
	// Name stands for the query in reports. Empty means its place, such as "query 3".
	Name string
	// SQL is one statement, with $1 (PostgreSQL) or ? (SQLite) for parameters.
	SQL string
	// Weight is how often it runs, in any unit that is the same for all queries.
	// Zero means 1; negative is refused.
	Weight float64
	// Args are samples of its arguments, one slice for each execution seen. Estimates
	// and runs use the first few ([Options].Samples). A query with parameters and no
	// samples is planned without knowing them, and not run by [Verify].
	Args [][]any
}

// Workload is what the database is asked. It is a plain value; Advise and the rest
// only read it.
type Workload []Query

// ParseWorkload reads SQL text: statements that end in semicolons, each with an
// optional comment before it that names and weighs it:
//
//	-- name: inbox weight: 250
//	SELECT count(*) FROM notification WHERE user_id = 7 AND read_at IS NULL;
//
// It refuses only a weight that is no positive number, with [ErrOptions]: whether the
// statements are SQL is for the database to say.
func ParseWorkload(text string) (Workload, error) {
	var w Workload
	var errs []error
	last := 0
	for _, st := range splitAt(flat(lex(text)), func(t token) bool { return t.text == ";" }) {
		if len(st) == 0 {
			continue
		}
		q := Query{SQL: text[st[0].off:st[len(st)-1].end]}
		var err error
		if q.Name, q.Weight, err = heading(text[last:st[0].off]); err != nil {
			errs = append(errs, err)
		}
		last = st[len(st)-1].end
		w = append(w, q)
	}
	return w, errors.Join(errs...)
}

// flat hides brackets from splitAt, for which a semicolon inside them would not
// count: text with one bracket too many must still be cut into statements.
func flat(toks []token) []token {
	for i := range toks {
		if toks[i].kind == symbol && strings.ContainsAny(toks[i].text, "()[]") {
			toks[i].kind = number
		}
	}
	return toks
}

// heading reads the last comment line "-- name: x weight: n" of the text between two
// statements.
func heading(s string) (name string, weight float64, err error) {
	for line := range strings.Lines(s) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "--")
		if !ok {
			continue
		}
		f := strings.Fields(line)
		for i := 0; i+1 < len(f); i++ {
			switch f[i] {
			case "name:":
				name = f[i+1]
			case "weight:":
				if weight, err = strconv.ParseFloat(f[i+1], 64); err != nil || !(weight > 0 && weight <= maxWeight) {
					return name, 0, fmt.Errorf("%w: weight %q of query %q: want a positive number", ErrOptions, cut(f[i+1], 40), cut(name, 40))
				}
			}
		}
	}
	return name, weight, nil
}

// maxWeight keeps sums of weighted figures finite.
const maxWeight = 1e15

// named returns the workload checked, with names and weights filled in.
func (w Workload) named() (Workload, error) {
	out := make(Workload, len(w))
	var errs []error
	for i, q := range w {
		if q.Name == "" {
			q.Name = "query " + strconv.Itoa(i+1)
		}
		if q.Weight == 0 {
			q.Weight = 1
		}
		if !(q.Weight > 0 && q.Weight <= maxWeight) {
			errs = append(errs, fmt.Errorf("%w: query %q: weight %v: want more than 0", ErrOptions, cut(q.Name, 40), q.Weight))
		}
		out[i] = q
	}
	if len(w) == 0 {
		errs = append(errs, fmt.Errorf("%w: the workload has no queries", ErrOptions))
	}
	return out, errors.Join(errs...)
}

// oneStatement returns the text without comments around it and final semicolons, and
// false when it holds no statement or more than one: drivers may send a text whole,
// and EXPLAIN covers the first alone.
func oneStatement(sql string) (string, []token, bool) {
	if strings.ContainsRune(sql, 0) {
		return "", nil, false
	}
	toks := lex(sql)
	for len(toks) > 0 && toks[len(toks)-1].text == ";" {
		toks = toks[:len(toks)-1]
	}
	for _, t := range toks {
		if t.text == ";" {
			return "", nil, false
		}
	}
	if len(toks) == 0 {
		return "", nil, false
	}
	return sql[toks[0].off:toks[len(toks)-1].end], toks, true
}

// cut shortens what is shown to people at a rune boundary.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
