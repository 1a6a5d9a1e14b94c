package dbindex

import (
	"slices"
	"strings"
)

// sqlStatement is one statement of a migration file.
type sqlStatement struct {
	text string // comments are spaces; without the final semicolon
	file string
	line int // where it begins, from 1
}

// splitter cuts a file into statements. It knows what can hide a semicolon: quotes,
// comments, dollar quotes, and the fences of goose.
type splitter struct {
	d     Dialect
	s     string
	i     int
	line  int
	fence bool // inside StatementBegin … StatementEnd
	start int  // line of the statement's first token
	b     strings.Builder
	out   []sqlStatement
	// mark is called with each line comment and the number of statements before it.
	mark func(comment string)
}

// splitSQL returns the statements of a file in order.
func splitSQL(d Dialect, file, text string, mark func(comment string, before int)) []sqlStatement {
	sp := splitter{d: d, s: text, line: 1}
	sp.mark = func(c string) {
		switch {
		case strings.HasPrefix(c, "-- +goose StatementBegin"):
			sp.end()
			sp.fence = true
		case strings.HasPrefix(c, "-- +goose StatementEnd"):
			sp.fence = false
			sp.end()
		case strings.HasPrefix(c, "-- +goose"):
			sp.end()
		}
		if mark != nil {
			mark(c, len(sp.out))
		}
	}
	for sp.i < len(text) {
		sp.next()
	}
	sp.end()
	for i := range sp.out {
		sp.out[i].file = file
	}
	return sp.out
}

// end closes the statement that was being read.
func (sp *splitter) end() {
	if text := strings.TrimSpace(sp.b.String()); text != "" {
		sp.out = append(sp.out, sqlStatement{text: text, line: sp.start})
	}
	sp.b.Reset()
	sp.start = 0
}

// take moves to the given offset; what lies between belongs to the statement when
// keep is set, and is a space otherwise.
func (sp *splitter) take(to int, keep bool) {
	part := sp.s[sp.i:to]
	if keep && sp.start == 0 && strings.TrimSpace(part) != "" {
		sp.start = sp.line
	}
	sp.line += strings.Count(part, "\n")
	if keep {
		sp.b.WriteString(part)
	} else {
		sp.b.WriteByte(' ')
	}
	sp.i = to
}

func (sp *splitter) next() {
	rest := sp.s[sp.i:]
	c := rest[0]
	my := sp.d.isMySQL()
	switch {
	case strings.HasPrefix(rest, "--") && (!my || len(rest) == 2 || rest[2] <= ' '), my && c == '#':
		comment, _, _ := strings.Cut(rest, "\n")
		sp.mark(strings.TrimSpace(comment))
		sp.take(sp.i+len(comment), false)
	case my && runsComment(rest) > 0: // the server runs what is in it
		sp.take(sp.i+runsComment(rest), false)
	case my && strings.HasPrefix(rest, "*/"):
		sp.take(sp.i+2, false)
	case strings.HasPrefix(rest, "/*"):
		sp.take(sp.i+blockComment(rest, sp.d.family == postgres), false)
	case c == '\'':
		escapes := my || sp.i > 0 && (sp.s[sp.i-1] == 'E' || sp.s[sp.i-1] == 'e') && (sp.i < 2 || !isWordByte(sp.s[sp.i-2]))
		sp.take(sp.i+quoteEnd(rest, c, escapes && sp.d.family != sqlite), true)
	case c == '"', c == '`':
		sp.take(sp.i+quoteEnd(rest, c, my && c == '"'), true)
	case c == '$' && sp.d.family == postgres && (sp.i == 0 || !isWordByte(sp.s[sp.i-1])):
		sp.take(sp.i+dollarEnd(rest), true)
	case c == ';' && sp.fence:
		sp.take(sp.i+1, true)
	case c == ';':
		copied := sp.d.family == postgres && copies(sp.b.String())
		sp.i++
		sp.end()
		if end := strings.Index(sp.s[sp.i:], "\n\\."); copied && end >= 0 {
			sp.take(sp.i+end+len("\n\\."), false)
		}
	case c == '\\' && strings.TrimSpace(sp.b.String()) == "": // a command of psql
		line, _, _ := strings.Cut(rest, "\n")
		sp.take(sp.i+len(line), false)
	default:
		sp.take(sp.i+1, true)
	}
}

// copies reports whether the statement is a COPY whose data follow it in the file.
func copies(text string) bool {
	f := strings.Fields(text)
	if len(f) < 4 || !strings.EqualFold(f[0], "copy") {
		return false
	}
	return slices.ContainsFunc(f, func(w string) bool { return strings.EqualFold(w, "stdin") })
}

// runsComment returns the length of MySQL's or MariaDB's /*!50100, or 0.
func runsComment(s string) int {
	n := 3
	if strings.HasPrefix(s, "/*M!") {
		n = 4
	} else if !strings.HasPrefix(s, "/*!") {
		return 0
	}
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// blockComment returns the length of the comment that s begins with.
func blockComment(s string, nested bool) int {
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch {
		case s[i:i+2] == "/*" && (nested || depth == 0):
			depth++
			i++
		case s[i:i+2] == "*/":
			if depth--; depth == 0 {
				return i + 2
			}
			i++
		}
	}
	return len(s)
}

// quoteEnd returns the length of the quoted run that s begins with.
func quoteEnd(s string, q byte, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && escapes:
			i++
		case s[i] == q && i+1 < len(s) && s[i+1] == q:
			i++
		case s[i] == q:
			return i + 1
		}
	}
	return len(s)
}

// dollarEnd returns the length of the dollar-quoted text that s begins with, or 1.
func dollarEnd(s string) int {
	n := 1
	for n < len(s) && isWordByte(s[n]) {
		n++
	}
	if n == len(s) || s[n] != '$' || n > 1 && isDigit(s[1]) {
		return 1
	}
	tag := s[:n+1]
	end := strings.Index(s[n+1:], tag)
	if end < 0 {
		return len(s)
	}
	return n + 1 + end + len(tag)
}
