package dbindex

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// RawSQL is SQL text written by the programmer: an expression key or a predicate.
// It is the one place where text reaches the database unquoted, so each use is
// tokenised first by the rules of the dialect and refused with a [*RawSQLError] when
// it holds a semicolon, a comment, unbalanced quotes or brackets, dollar quotes,
// parameters, control characters or NUL. Whitespace outside quotes is collapsed.
// Never build it from user input: the check stops a second statement, not a
// different meaning.
type RawSQL string

// String returns the text as written.
func (r RawSQL) String() string { return string(r) }

// Check reports whether the text would be accepted in the dialect: nil, a
// [*RawSQLError], or an error matching [ErrOptions] for a zero Dialect.
func (r RawSQL) Check(d Dialect) error {
	if err := d.check(); err != nil {
		return err
	}
	_, err := d.rawText(r)
	return err
}

// write makes RawSQL a Pred.
func (r RawSQL) write(w *writer, _ int) { w.raw(r) }

// rawText returns the text with whitespace collapsed, once it is found harmless.
func (d Dialect) rawText(r RawSQL) (string, error) {
	toks, err := d.tokenize(string(r))
	if err != nil {
		return "", err
	}
	if len(toks) == 0 {
		return "", &RawSQLError{Reason: "nothing"}
	}
	return joinText(toks), nil
}

type tokenKind uint8

const (
	word   tokenKind = iota // bare identifier or keyword
	quoted                  // quoted identifier; val is the name
	str                     // string constant with its prefix
	number
	symbol // operators and punctuation; brackets stand alone
)

type token struct {
	kind  tokenKind
	text  string // as written
	val   string // of words folded to lower case, of quoted identifiers the name
	space bool   // whitespace came before it
	off   int
}

// is reports whether the token is the given keyword, in lower case, or symbol; no
// quoted name and no constant ever is.
func (t token) is(w string) bool {
	return t.kind == word && t.val == w || t.kind == symbol && t.text == w
}

// lexer cuts SQL text into tokens, or stops at the first thing that could end the
// statement, hide text or be read differently by different settings.
type lexer struct {
	d     Dialect
	s     string
	i     int
	depth []byte // open brackets
	toks  []token
	std   bool // PostgreSQL: take backslashes in plain strings as they are, and write E'…'
}

// maxRawBytes bounds one text; PostgreSQL rows of the catalog are far smaller.
const maxRawBytes = 16 << 10

func (d Dialect) tokenize(s string) ([]token, error) { return d.tokenizeAs(s, false) }

// tokenizeAs is tokenize; std says that the text comes from a server or a file
// with standard_conforming_strings on.
func (d Dialect) tokenizeAs(s string, std bool) ([]token, error) {
	if len(s) > maxRawBytes {
		return nil, &RawSQLError{Reason: "more than 16 KiB", Offset: maxRawBytes}
	}
	if !utf8.ValidString(s) {
		return nil, &RawSQLError{Reason: "invalid UTF-8"}
	}
	l := lexer{d: d, s: s, std: std && d.family == postgres}
	for l.i < len(s) {
		if reason, off := l.next(); reason != "" {
			return nil, &RawSQLError{Reason: reason, Offset: off}
		}
	}
	if len(l.depth) > 0 {
		return nil, &RawSQLError{Reason: "an unbalanced parenthesis", Offset: len(s)}
	}
	return l.toks, nil
}

// next reads one token, and returns a reason and place when it must be refused.
func (l *lexer) next() (reason string, off int) {
	space := false
	for l.i < len(l.s) && strings.IndexByte(" \t\r\n", l.s[l.i]) >= 0 {
		l.i, space = l.i+1, true
	}
	if l.i == len(l.s) {
		return "", 0
	}
	start, c := l.i, l.s[l.i]
	kind := symbol
	switch {
	case isWordStart(c):
		kind, reason = l.word()
	case c >= '0' && c <= '9' || c == '.' && l.i+1 < len(l.s) && isDigit(l.s[l.i+1]):
		kind = number
		for l.i < len(l.s) && (isWordByte(l.s[l.i]) || l.s[l.i] == '.') {
			l.i++
		}
	case c == '\'':
		kind, reason = str, l.quotedRun('\'', false)
	case c == '"', c == '`' && l.d.family != postgres:
		kind, reason = quoted, l.quotedRun(c, false)
		if c == '"' && l.d.isMySQL() {
			return "a double quote, whose meaning depends on the SQL mode", start
		}
	default:
		reason = l.symbol(c)
	}
	if reason != "" {
		return reason, start
	}
	t := token{kind: kind, text: l.s[start:l.i], space: space, off: start}
	switch kind {
	case str:
		if l.std && t.text[0] == '\'' && strings.Contains(t.text, `\`) {
			t.text = "E" + strings.ReplaceAll(t.text, `\`, `\\`)
		}
	case word:
		t.val = l.d.fold(t.text)
	case quoted:
		q := t.text[:1]
		t.val = strings.ReplaceAll(t.text[1:len(t.text)-1], q+q, q)
	}
	l.toks = append(l.toks, t)
	return "", 0
}

// word reads a bare word, or a string with a letter prefix such as E'…'.
func (l *lexer) word() (tokenKind, string) {
	start := l.i
	for l.i < len(l.s) && isWordByte(l.s[l.i]) {
		l.i++
	}
	rest := l.s[l.i:]
	if l.d.family == postgres && (strings.HasPrefix(rest, "&'") || strings.HasPrefix(rest, `&"`)) && strings.EqualFold(l.s[start:l.i], "u") {
		return word, "a Unicode escape (U&)"
	}
	if !strings.HasPrefix(rest, "'") {
		return word, ""
	}
	switch p := strings.ToLower(l.s[start:l.i]); {
	case p == "e" && l.d.family == postgres:
		return str, l.quotedRun('\'', true)
	case p == "x", p == "b" && l.d.family != sqlite, p == "n" && l.d.family != sqlite:
		return str, l.quotedRun('\'', false)
	}
	return word, "a word that touches a quote"
}

// quotedRun reads from an opening quote to its closing one; a doubled quote stands
// for itself.
func (l *lexer) quotedRun(q byte, escapes bool) string {
	for l.i++; l.i < len(l.s); l.i++ {
		switch c := l.s[l.i]; {
		case c == q && l.i+1 < len(l.s) && l.s[l.i+1] == q:
			l.i++
		case c == q:
			l.i++
			return ""
		case c < ' ' || c == 0x7f:
			return "a control character inside quotes"
		case c != '\\':
		case escapes && l.i+1 < len(l.s) && l.s[l.i+1] >= ' ':
			l.i++
		case q == '\'' && l.d.family != sqlite && !l.std || q == '"' && l.d.isMySQL():
			return `a backslash in a string, whose meaning depends on server settings (PostgreSQL: write E'\\')`
		}
	}
	return "an unbalanced quote"
}

// symbol reads punctuation: one byte, or two for comments' sake.
func (l *lexer) symbol(c byte) string {
	two := l.s[l.i:min(l.i+2, len(l.s))]
	switch {
	case two == "--" || two == "/*" || two == "*/" || c == '#' && l.d.family != postgres:
		return "a comment"
	case c == ';':
		return "a semicolon"
	case c == '$':
		return "a dollar sign (dollar quote or parameter)"
	case c < ' ' || c == 0x7f:
		return "a control character"
	case c == '\\' || c == '`' || c == '{' || c == '}':
		return "the character " + string(rune(c))
	case strings.IndexByte("?@:[]", c) >= 0 && l.d.family != postgres:
		return "the character " + string(rune(c)) + " (parameter, variable or quote)"
	case c == ':' && two != "::" && (len(l.depth) == 0 || l.depth[len(l.depth)-1] != '['): // in [] it is of a slice
		return "a colon (parameter)"
	case c == '(' || c == '[':
		l.depth = append(l.depth, c)
	case c == ')' || c == ']':
		n := len(l.depth)
		if n == 0 || (l.depth[n-1] == '(') != (c == ')') {
			return "an unbalanced parenthesis"
		}
		l.depth = l.depth[:n-1]
	}
	if l.i++; two == "::" {
		l.i++
	}
	return ""
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isWordStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
func isWordByte(c byte) bool { return isWordStart(c) || isDigit(c) }

// joinText writes tokens back with runs of whitespace made one space.
func joinText(toks []token) string {
	b := strings.Builder{}
	for i, t := range toks {
		if i > 0 && t.space {
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// canonical writes tokens in a form that is equal for texts that differ only in
// spacing, letter case of bare words, needless quotes, outer parentheses and those
// inside a chain of ANDs or ORs; where the dialect folds quoted column names, in their
// letter case too.
func (d Dialect) canonical(toks []token) string {
	toks = flatChains(stripParens(toks))
	b := strings.Builder{}
	for i, t := range toks {
		if i > 0 {
			b.WriteByte(' ')
		}
		if t.kind == quoted {
			t.val = d.foldColumn(t.val)
		}
		switch {
		case t.kind == word, t.kind == quoted && isPlainName(t.val):
			b.WriteString(t.val)
		case t.kind == quoted:
			b.WriteString(`"` + strings.ReplaceAll(t.val, `"`, `""`) + `"`)
		default:
			b.WriteString(t.text)
		}
	}
	return b.String()
}

// stripParens drops pairs of parentheses that enclose everything.
func stripParens(toks []token) []token {
	for len(toks) > 2 && toks[0].is("(") && closing(toks, 0) == len(toks)-1 {
		toks = toks[1 : len(toks)-1]
	}
	return toks
}

// flatChains drops the parentheses of a chain of ANDs inside one of ANDs, and of ORs
// likewise. PostgreSQL prints them where a BETWEEN was, and reads them away.
func flatChains(toks []token) []token {
	out := slices.Clone(toks)
	for i := 0; i < len(out); i++ {
		if !out[i].is("(") {
			continue
		}
		end := closing(out, i)
		before := i == 0 || isAny(out[i-1], "(", ",", "and", "or", "when", "then", "else")
		after := end == len(out)-1 || isAny(out[end+1], ")", ",", "and", "or", "when", "then", "else", "end")
		next := func(op string) bool { return i > 0 && out[i-1].is(op) || end < len(out)-1 && out[end+1].is(op) }
		in := out[i+1 : end]
		ors := len(split(in, "or")) > 1
		ands := len(split(in, "and")) > 1 && !ors && len(split(in, "between")) == 1
		if len(split(in, "case")) == 1 && before && after && (ands && next("and") || ors && next("or") && !next("and")) {
			out = slices.Delete(out, end, end+1)
			out = slices.Delete(out, i, i+1)
			i-- // what begins there now may be a chain too
		}
	}
	return out
}

func isAny(t token, words ...string) bool { return slices.ContainsFunc(words, t.is) }

// closing returns the index of the bracket that closes the one at i; tokens are
// balanced. A quoted token never has a bracket as its text.
func closing(toks []token, i int) int {
	depth := 0
	for j := i; j < len(toks); j++ {
		switch t := toks[j]; {
		case t.is("("), t.is("["):
			depth++
		case t.is(")"), t.is("]"):
			if depth--; depth == 0 {
				return j
			}
		}
	}
	return -1
}

// split cuts tokens at each bare word or symbol outside of brackets.
func split(toks []token, at string) (parts [][]token) {
	start := 0
	for i := 0; i < len(toks); i++ {
		switch {
		case toks[i].is(at):
			parts = append(parts, toks[start:i])
			start = i + 1
		case toks[i].is("(") || toks[i].is("["):
			i = closing(toks, i)
		}
	}
	return append(parts, toks[start:])
}

// isPlainName reports whether a name reads the same without quotes.
func isPlainName(s string) bool {
	if s == "" || isDigit(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' || !isWordByte(c) {
			return false
		}
	}
	switch s {
	case "null", "true", "false", "and", "or", "not", "is", "in", "user", "current_user", "session_user", "current_date", "current_timestamp":
		return false
	}
	return true
}
