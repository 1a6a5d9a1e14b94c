package dbindex

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Pred is the predicate of a partial index. Make it with [IsNull], [NotNull], [Eq]
// and the other constructors, which every dialect with partial indexes can write
// and which can be compared, or use a [RawSQL]. Only this package implements it.
type Pred interface {
	// String returns a readable form that is equal for predicates of equal
	// structure. It is for logs and names, not for a database.
	String() string
	write(w *writer, depth int)
}

// Value is the set of Go types that can stand as a constant in a predicate. Strings
// must be valid UTF-8 without control characters, floats must be finite; anything
// else is refused when the SQL is written.
type Value interface {
	~string | ~bool | ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~float32 | ~float64
}

// IsNull holds for rows whose column is NULL, such as rows not deleted:
// IsNull("deletedAt").
func IsNull(column string) Pred { return compare{op: "IS NULL", column: column} }

// NotNull holds for rows whose column is not NULL.
func NotNull(column string) Pred { return compare{op: "IS NOT NULL", column: column} }

// Eq holds for rows whose column equals v: Eq("status", "PENDING"). Queries use the
// index only when they hold the same constant in their text.
func Eq[T Value](column string, v T) Pred { return newCompare("=", column, v) }

// Ne holds for rows whose column is not NULL and differs from v.
func Ne[T Value](column string, v T) Pred { return newCompare("<>", column, v) }

// Lt holds for rows whose column is less than v.
func Lt[T Value](column string, v T) Pred { return newCompare("<", column, v) }

// Le holds for rows whose column is at most v.
func Le[T Value](column string, v T) Pred { return newCompare("<=", column, v) }

// Gt holds for rows whose column is greater than v.
func Gt[T Value](column string, v T) Pred { return newCompare(">", column, v) }

// Ge holds for rows whose column is at least v.
func Ge[T Value](column string, v T) Pred { return newCompare(">=", column, v) }

// In holds for rows whose column equals one of the values. The order of the values
// and repeats do not matter. An empty list is refused when the SQL is written.
func In[T Value](column string, values ...T) Pred {
	p := compare{op: "IN", column: column}
	for _, v := range values {
		p.values = append(p.values, newLiteral(v))
	}
	sortBy(p.values, literal.compare)
	p.values = slices.Compact(p.values)
	return p
}

// And holds where all of its predicates hold. Order and repeats do not matter;
// nested Ands are flattened. No predicate at all, or a nil one, is refused when the
// SQL is written.
func And(preds ...Pred) Pred { return newLogic("AND", preds) }

// Or holds where at least one of its predicates holds. Order and repeats do not
// matter. SQLite uses such an index only for a query with the same OR.
func Or(preds ...Pred) Pred { return newLogic("OR", preds) }

// Not holds where the predicate is false; as in SQL, not where it is unknown.
func Not(p Pred) Pred { return negation{p} }

// maxPredDepth bounds nesting, against stack exhaustion by hostile predicates.
const maxPredDepth = 64

type compare struct {
	op     string
	column string
	values []literal
}

func newCompare[T Value](op, column string, v T) Pred {
	return compare{op: op, column: column, values: []literal{newLiteral(v)}}
}

func (p compare) String() string { return string(p.append(nil)) }

func (p compare) append(b []byte) []byte {
	b = strconv.AppendQuote(b, p.column)
	b = append(append(b, ' '), p.op...)
	for i, v := range p.values {
		if i > 0 {
			b = append(b, ',')
		}
		b = v.append(append(b, ' '))
	}
	return b
}

func (p compare) write(w *writer, _ int) {
	w.ident("column", p.column)
	w.add(" ", p.op)
	switch {
	case p.op == "IN" && len(p.values) == 0:
		w.must(w.b, fmt.Errorf("%w: In(%q) has no values", ErrIndex, p.column))
	case p.op == "IN":
		w.add(" (")
		for i, v := range p.values {
			w.comma(i)
			w.literal(p.column, v)
		}
		w.add(")")
	case len(p.values) > 0:
		w.add(" ")
		w.literal(p.column, p.values[0])
	}
}

func (w *writer) literal(column string, v literal) {
	s, err := v.render(w.d)
	if err != nil {
		err = fmt.Errorf("predicate on column %q: %w", column, err)
	}
	w.add(s)
	w.must(w.b, err)
}

type logic struct {
	op    string
	preds []Pred
}

func newLogic(op string, preds []Pred) Pred {
	l := logic{op: op}
	for _, p := range preds {
		if in, ok := p.(logic); ok && in.op == op && len(in.preds) > 0 {
			l.preds = append(l.preds, in.preds...)
			continue
		}
		l.preds = append(l.preds, p)
	}
	byText := make(map[string]Pred, len(l.preds))
	for _, p := range l.preds {
		byText[predString(p)] = p
	}
	l.preds = l.preds[:0]
	for _, text := range sortedKeys(byText) {
		l.preds = append(l.preds, byText[text])
	}
	return l
}

func (p logic) String() string { return predString(p) }

func (p logic) write(w *writer, depth int) {
	if len(p.preds) == 0 {
		w.must(w.b, fmt.Errorf("%w: an empty %s predicate", ErrIndex, p.op))
	}
	for i, q := range p.preds {
		if i > 0 {
			w.add(" ", p.op, " ")
		}
		if len(p.preds) == 1 || isCompare(q) {
			w.pred(q, depth+1)
			continue
		}
		w.add("(")
		w.pred(q, depth+1)
		w.add(")")
	}
}

type negation struct{ pred Pred }

func (p negation) String() string { return predString(p) }

func (p negation) write(w *writer, depth int) {
	w.add("NOT (")
	w.pred(p.pred, depth+1)
	w.add(")")
}

func isCompare(p Pred) bool { _, ok := p.(compare); return ok }

// predString returns a text that differs for predicates of different structure: a
// RawSQL never looks like a typed one. What is nested deeper than can be written is
// left out.
func predString(p Pred) string { return string(appendPred(nil, p, 0)) }

func appendPred(b []byte, p Pred, depth int) []byte {
	if depth > maxPredDepth {
		return append(b, "…"...)
	}
	switch p := p.(type) {
	case nil:
		return append(b, "<nil>"...)
	case RawSQL:
		return fmt.Appendf(b, "raw %q", string(p))
	case negation:
		b = appendPred(append(b, "NOT ("...), p.pred, depth+1)
		return append(b, ')')
	case logic:
		for i, q := range p.preds {
			if i > 0 {
				b = append(b, " "+p.op+" "...)
			}
			b = append(appendPred(append(b, '('), q, depth+1), ')')
		}
		return b
	case compare:
		return p.append(b)
	}
	return append(b, p.String()...)
}

// pred writes a predicate that may stand at the given depth of nesting.
func (w *writer) pred(p Pred, depth int) {
	switch {
	case p == nil:
		w.must(w.b, fmt.Errorf("%w: a nil predicate inside And, Or or Not", ErrIndex))
	case depth > maxPredDepth:
		w.must(w.b, fmt.Errorf("%w: predicate nested deeper than %d", ErrIndex, maxPredDepth))
	default:
		p.write(w, depth)
	}
}

// renderPred returns the text of a predicate.
func renderPred(d Dialect, p Pred) (string, error) {
	w := writer{d: d}
	w.pred(p, 0)
	if w.err != nil {
		return "", w.err
	}
	return string(w.b), nil
}

// literal is one constant. It is comparable; exactly one field besides kind counts.
type literal struct {
	kind byte // 's', 'b', 'i', 'f'
	s    string
	i    int64
	f    float64
}

func newLiteral[T Value](v T) literal {
	switch x := any(v).(type) {
	case string:
		return literal{kind: 's', s: x}
	case bool:
		return boolLiteral(x)
	}
	return namedLiteral(v)
}

func boolLiteral(b bool) literal {
	if b {
		return literal{kind: 'b', i: 1}
	}
	return literal{kind: 'b'}
}

func (v literal) compare(w literal) int {
	return cmp.Or(cmp.Compare(v.kind, w.kind), cmp.Compare(v.s, w.s), cmp.Compare(v.i, w.i), cmp.Compare(v.f, w.f))
}

func (v literal) append(b []byte) []byte {
	switch v.kind {
	case 's':
		return strconv.AppendQuote(b, v.s)
	case 'b':
		return strconv.AppendBool(b, v.i == 1)
	case 'f':
		return append(b, v.float()...)
	}
	return strconv.AppendInt(b, v.i, 10)
}

// float writes a number that no dialect reads as an integer.
func (v literal) float() string {
	s := strconv.FormatFloat(v.f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".eIN") {
		s += ".0"
	}
	return s
}

func (v literal) render(d Dialect) (string, error) {
	switch v.kind {
	case 's':
		return d.quoteString(v.s)
	case 'b':
		if d.family == postgres {
			return strconv.FormatBool(v.i == 1), nil
		}
		return strconv.FormatInt(v.i, 10), nil
	case 'f':
		if math.IsNaN(v.f) || math.IsInf(v.f, 0) {
			return "", fmt.Errorf("%w: %v is not a finite number", ErrIndex, v.f)
		}
		return v.float(), nil
	}
	return strconv.FormatInt(v.i, 10), nil
}
