package advisor

import "strings"

// tokenKind tells what a token is.
type tokenKind uint8

const (
	word   tokenKind = iota // bare identifier or keyword; val is folded
	quoted                  // quoted identifier; val is the name
	str                     // string constant; val is its content
	number
	param  // $1, ?, :name or @name
	symbol // operators and punctuation
)

type token struct {
	kind     tokenKind
	text     string // as written
	val      string
	off, end int // bytes of the source
}

func (t token) isWord(w string) bool   { return t.kind == word && t.val == w }
func (t token) isSymbol(s string) bool { return t.kind == symbol && t.text == s }
func (t token) isName() bool           { return t.kind == word || t.kind == quoted }

// lex cuts SQL text into tokens. It takes every text: what is left open ends with
// the text, and comments are left out. It knows enough of PostgreSQL's and SQLite's
// rules to find statements and names, not to judge them.
func lex(s string) []token {
	l := lexer{s: s}
	var toks []token
	for {
		l.skip()
		if l.i >= len(s) {
			return toks
		}
		start := l.i
		t := l.next()
		t.off, t.end, t.text = start, l.i, s[start:l.i]
		toks = append(toks, t)
	}
}

type lexer struct {
	s string
	i int
}

// skip passes whitespace and comments.
func (l *lexer) skip() {
	for l.i < len(l.s) {
		rest := l.s[l.i:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			l.i++
		case strings.HasPrefix(rest, "--"):
			n := strings.IndexAny(rest, "\r\n") // PostgreSQL ends comments at both
			if n < 0 {
				n = len(rest)
			}
			l.i += n
		case strings.HasPrefix(rest, "/*"):
			l.i += commentLen(rest)
		default:
			return
		}
	}
}

// commentLen is the length of a block comment, which may hold others.
func commentLen(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(s[i:], "*/"):
			i++
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

const operatorBytes = "+-*/<>=~!@#%^&|?`"

func (l *lexer) next() token {
	switch c := l.s[l.i]; {
	case isWordByte(c) && !isDigit(c):
		return l.word()
	case isDigit(c) || c == '.' && l.i+1 < len(l.s) && isDigit(l.s[l.i+1]):
		for l.i < len(l.s) && (isWordByte(l.s[l.i]) || l.s[l.i] == '.') {
			l.i++
		}
		return token{kind: number}
	case c == '\'':
		return token{kind: str, val: l.quotedRun('\'', false)}
	case c == '"':
		return token{kind: quoted, val: l.quotedRun(c, false)}
	case c == '$':
		return l.dollar()
	case c == ':' && strings.HasPrefix(l.s[l.i:], "::"):
		l.i += 2
		return token{kind: symbol}
	case strings.IndexByte(operatorBytes, c) >= 0:
		return l.operator()
	}
	l.i++
	return token{kind: symbol}
}

// operator reads a run of operator characters; a comment ends it.
func (l *lexer) operator() token {
	start := l.i
	for l.i < len(l.s) && strings.IndexByte(operatorBytes, l.s[l.i]) >= 0 {
		if rest := l.s[l.i:]; l.i > start && (strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "/*")) {
			break
		}
		if l.s[l.i] == '?' && compares(l.s[start:l.i]) {
			break // x=? is a parameter of SQLite and MySQL, no operator
		}
		l.i++
	}
	if l.s[start:l.i] == "?" {
		return token{kind: param}
	}
	return token{kind: symbol}
}

func compares(op string) bool {
	switch op {
	case "=", "==", "<", ">", "<=", ">=", "<>", "!=":
		return true
	}
	return false
}

// word reads a bare word, or a string constant with a letter before it.
func (l *lexer) word() token {
	start := l.i
	for l.i < len(l.s) && (isWordByte(l.s[l.i]) || l.s[l.i] == '$') {
		l.i++
	}
	w := strings.ToLower(l.s[start:l.i])
	if l.i < len(l.s) && l.s[l.i] == '\'' && (w == "e" || w == "b" || w == "x" || w == "n") {
		return token{kind: str, val: l.quotedRun('\'', w == "e")}
	}
	return token{kind: word, val: w}
}

// quotedRun reads to the closing quote and returns the content.
func (l *lexer) quotedRun(q byte, escapes bool) string {
	var b strings.Builder
	for l.i++; l.i < len(l.s); l.i++ {
		c := l.s[l.i]
		switch {
		case escapes && c == '\\' && l.i+1 < len(l.s):
			l.i++
			c = l.s[l.i]
		case c == q && l.i+1 < len(l.s) && l.s[l.i+1] == q:
			l.i++
		case c == q:
			l.i++
			return b.String()
		}
		b.WriteByte(c)
	}
	return b.String()
}

// dollar reads a parameter such as $1, or a dollar-quoted string.
func (l *lexer) dollar() token {
	rest := l.s[l.i:]
	n := 1
	for n < len(rest) && isDigit(rest[n]) {
		n++
	}
	if n > 1 {
		l.i += n
		return token{kind: param}
	}
	for n < len(rest) && isWordByte(rest[n]) {
		n++
	}
	if n == len(rest) || rest[n] != '$' {
		l.i++
		return token{kind: symbol}
	}
	tag := rest[:n+1]
	body := rest[len(tag):]
	end := strings.Index(body, tag)
	if end < 0 {
		l.i = len(l.s)
		return token{kind: str, val: body}
	}
	l.i += len(tag)*2 + end
	return token{kind: str, val: body[:end]}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWordByte(c byte) bool {
	return c == '_' || isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

// joinTokens writes tokens with single spaces where the source had some.
func joinTokens(toks []token) string {
	var b strings.Builder
	for i, t := range toks {
		if i > 0 && toks[i-1].end < t.off {
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// closing returns the index of the bracket that closes the one at i, or -1.
func closing(toks []token, i int) int {
	depth := 0
	for j := i; j < len(toks); j++ {
		switch {
		case toks[j].isSymbol("(") || toks[j].isSymbol("["):
			depth++
		case toks[j].isSymbol(")") || toks[j].isSymbol("]"):
			if depth--; depth == 0 {
				return j
			}
		}
	}
	return -1
}

// stripParens removes brackets around the whole.
func stripParens(toks []token) []token {
	for len(toks) > 1 && toks[0].isSymbol("(") && closing(toks, 0) == len(toks)-1 {
		toks = toks[1 : len(toks)-1]
	}
	return toks
}

// splitAt cuts tokens at those outside brackets for which is holds.
func splitAt(toks []token, is func(token) bool) (parts [][]token) {
	depth, start := 0, 0
	for i, t := range toks {
		switch {
		case t.isSymbol("(") || t.isSymbol("["):
			depth++
		case t.isSymbol(")") || t.isSymbol("]"):
			depth--
		case depth == 0 && is(t):
			parts = append(parts, toks[start:i])
			start = i + 1
		}
	}
	return append(parts, toks[start:])
}
