package dbindex

import (
	"fmt"
	"slices"
	"strings"
)

// facts runs the rules about what an index holds, as far as the columns are known.
func (l *linter) facts(i int, ix Index) {
	l.longValues(ix)
	l.fewValues(ix)
	l.mutable(ix)
	l.constants(l.where[i], ix, 0)
	l.updated(ix)
}

func (l *linter) fact(ix Index, name string) Column {
	return l.columns[l.column(ix.Schema, ix.Table, name)]
}

// permitted returns the strings that a CHECK constraint permits for the column.
func (d Dialect) permitted(c Column) (values []string) {
	for _, check := range c.Checks {
		in, ok := d.typed(check, 0).(compare)
		if !ok || in.bare() != d.foldColumn(c.Name) || in.op != "IN" && in.op != "=" {
			continue
		}
		for _, v := range in.values {
			if v.kind == 's' {
				values = append(values, v.s)
			}
		}
	}
	return values
}

// width is the sum of the known widths of the columns; known is false when one is not.
func (l *linter) width(ix Index) (sum int, known bool) {
	known = true
	add := func(column string) {
		w := l.fact(ix, column).Width
		sum += w
		known = known && w > 0
	}
	for _, k := range ix.Keys {
		if k.Expr != "" || k.Prefix > 0 {
			known = false
			continue
		}
		add(k.Column)
	}
	for _, c := range ix.Include {
		add(c)
	}
	return sum, known
}

// muchWider reports whether b holds three times as much as a in each entry.
func (l *linter) muchWider(a, b Index) bool {
	const entry = 16 // header and alignment
	wa, ok1 := l.width(a)
	wb, ok2 := l.width(b)
	return ok1 && ok2 && wb+entry > 3*(wa+entry)
}

// longValues reports a btree whose entries do not fit: a third of a page on
// PostgreSQL, the key limit of InnoDB.
func (l *linter) longValues(ix Index) {
	limit, what := 2704, "values take %d bytes on average, and an entry of more than %d bytes cannot be inserted"
	if l.d.isMySQL() {
		limit, what = 3072, "values may take %d bytes, and the limit is %d"
	}
	sum, _ := l.width(ix)
	if ix.Method != BTree || l.d.family == sqlite || sum <= limit {
		return
	}
	alternative := "a Hash index or an expression such as md5(column)"
	if l.d.isMySQL() {
		alternative = "a Prefix"
	}
	l.add(RuleWide, Error, ix, "", "", "index %q: "+what+"; use "+alternative, ix.Name, sum, limit)
}

// fewValues reports an index on one column that tells few rows apart.
func (l *linter) fewValues(ix Index) {
	if len(ix.Keys) != 1 || ix.Keys[0].Column == "" || len(ix.Include) > 0 || ix.Unique || ix.Where != nil ||
		ix.Method != BTree && ix.Method != Hash {
		return
	}
	if slices.ContainsFunc(l.about(ix.Schema, ix.Table).keys, func(fk ForeignKey) bool { return l.serves(ix, fk) }) {
		return
	}
	c := l.fact(ix, ix.Keys[0].Column)
	rows := l.table(ix).Rows
	switch {
	case c.Type == "boolean" || c.Type == "bool" || c.Type == "tinyint(1)":
		l.add(RuleSelectivity, Warning, ix, "", "", "index %q is on a boolean: make it partial for the rarer value, or put the column behind another", ix.Name)
	case c.Distinct > 0 && c.Distinct <= 3 && rows >= 10_000:
		l.add(RuleSelectivity, Info, ix, "", "", "index %q is on a column of about %.0f different values in %d rows: it helps only for a rare one, which a partial index serves at a fraction of the size", ix.Name, c.Distinct, rows)
	}
}

func (l *linter) table(ix Index) Table { return l.about(ix.Schema, ix.Table).table }

// volatile tells whether a word of an expression makes its value depend on more than
// the row: a function when call is set, else a keyword. Some functions do so with one
// argument only, since they then read a setting.
func (d Dialect) volatile(name string, call bool, args int) bool {
	always := []string{"now", "random", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday", "gen_random_uuid",
		"uuid_generate_v4", "nextval", "currval", "lastval", "current_setting", "to_char", "concat", "concat_ws", "format", "version"}
	single := []string{"age", "to_tsvector", "to_tsquery", "plainto_tsquery"}
	keywords := []string{"current_timestamp", "current_date", "current_time", "localtime", "localtimestamp", "current_user", "session_user", "current_role", "current_schema", "current_catalog"}
	switch d.family {
	case sqlite:
		always = []string{"random", "randomblob", "last_insert_rowid", "changes", "total_changes", "sqlite_version"}
		single, keywords = nil, keywords[:3]
	case mysql, mariadb:
		always = []string{"now", "sysdate", "curdate", "curtime", "rand", "uuid", "unix_timestamp", "utc_timestamp", "connection_id", "last_insert_id", "user", "version", "current_timestamp", "current_date", "current_user"}
		single = nil
	}
	if call {
		return slices.Contains(always, name) || args == 1 && slices.Contains(single, name)
	}
	return slices.Contains(keywords, name)
}

// mutable reports the first such word of the keys and the predicate.
func (l *linter) mutable(ix Index) {
	texts := []RawSQL{}
	for _, k := range ix.Keys {
		texts = append(texts, k.Expr)
	}
	rawParts(ix.Where, 0, &texts)
	for _, text := range texts {
		toks, err := l.d.tokenizeAs(string(text), true)
		if err != nil {
			continue // reported by definition
		}
		for i, t := range toks {
			if t.kind != word || i > 0 && (toks[i-1].text == "::" || toks[i-1].text == ".") {
				continue
			}
			args, call := arguments(toks[i+1:])
			if l.d.volatile(t.val, call, args) {
				l.add(RuleImmutable, Error, ix, "", "", "index %q holds %s, whose value depends on more than the row: the server refuses it, or finds wrong rows later", ix.Name, t.text)
				return
			}
		}
	}
}

// rawParts collects the raw SQL of a predicate.
func rawParts(p Pred, depth int, texts *[]RawSQL) {
	if depth > maxPredDepth {
		return
	}
	switch p := p.(type) {
	case RawSQL:
		*texts = append(*texts, p)
	case logic:
		for _, q := range p.preds {
			rawParts(q, depth+1, texts)
		}
	case negation:
		rawParts(p.pred, depth+1, texts)
	}
}

// arguments counts what stands between the brackets that follow a name.
func arguments(toks []token) (n int, call bool) {
	if len(toks) < 2 || !toks[0].is("(") {
		return 0, false
	}
	end := closing(toks, 0)
	if end == 1 {
		return 0, true
	}
	return len(split(toks[1:end], ",")), true
}

// constants reports comparisons with a string that the column cannot hold.
func (l *linter) constants(p Pred, ix Index, depth int) {
	if depth > maxPredDepth {
		return
	}
	switch p := p.(type) {
	case logic:
		for _, q := range p.preds {
			l.constants(q, ix, depth+1)
		}
	case compare:
		c := l.fact(ix, p.bare())
		for _, v := range p.values {
			if (p.op == "=" || p.op == "IN" || p.op == "<>") && v.kind == 's' && len(c.Values) > 0 && !slices.Contains(c.Values, v.s) {
				l.add(RuleConstant, Error, ix, "", "", "index %q compares column %q with %q, which is none of its values %s", ix.Name, c.Name, short(v.s), listed(c.Values))
			}
		}
	}
}

func listed(values []string) string {
	s := strings.Join(quoteAll(values[:min(len(values), 8)]), ", ")
	if len(values) > 8 {
		s += ", …"
	}
	return s
}

// updated reports an index whose entries change with the rows: such an update writes
// to every index of the table.
func (l *linter) updated(ix Index) {
	if l.d.family != postgres || ix.Method == BRIN {
		return
	}
	for _, c := range ix.Columns() {
		if l.fact(ix, c).Updated {
			l.add(RuleHot, Warning, ix, "", "", "index %q holds column %q, which is often updated: each such update writes to all indexes of the table (it cannot be HOT)", ix.Name, c)
			return
		}
	}
}

// statistics reports tables whose updates seldom are HOT. Which index is to blame is not
// recorded, so it names those that could be.
func (l *linter) statistics() {
	for _, t := range l.s.Tables {
		const enough = 10_000
		if l.d.family != postgres || t.Updates < enough || t.HotUpdates*2 >= t.Updates {
			continue
		}
		var suspects []string
		for _, i := range l.about(t.Schema, t.Name).indexes {
			if ix := l.indexes[i]; ix.Constraint != PrimaryKey && ix.Method != BRIN {
				suspects = append(suspects, ix.Name)
			}
		}
		if len(suspects) == 0 {
			continue // then it is for lack of room in the pages
		}
		l.out = append(l.out, Finding{ID: RuleHot, Severity: Info, Schema: t.Schema, Table: t.Name,
			Message: fmt.Sprintf("%.0f %% of %d updates were HOT; the others wrote to every index: one of %s holds a column that changes, or the pages are full (fillfactor)",
				100*float64(t.HotUpdates)/float64(t.Updates), t.Updates, listed(suspects))})
	}
}
