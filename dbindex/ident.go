package dbindex

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxNameBytes is PostgreSQL's NAMEDATALEN-1; derived names keep to it everywhere,
// so that one declaration has one name in all dialects.
const maxNameBytes = 63

// checkIdent refuses what the dialect would refuse, shorten or misread.
func (d Dialect) checkIdent(kind, s string) error {
	bad := func(format string, args ...any) error {
		if len(s) > 80 {
			s = s[:80]
		}
		return &IdentError{Kind: kind, Ident: s, Reason: fmt.Sprintf(format, args...)}
	}
	if s == "" {
		return bad("is empty")
	}
	if !utf8.ValidString(s) {
		return bad("is not valid UTF-8")
	}
	for _, r := range s {
		if r >= ' ' && r < 0x7f {
			continue
		}
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r >= 0x80 && r < 0xa0 {
			return bad("holds the control character %U", r)
		}
		if r > 0xffff && d.isMySQL() {
			return bad("holds %U, above the range that %s accepts", r, d.Name())
		}
	}
	if n := utf8.RuneCountInString(s); d.isMySQL() && n > 64 {
		return bad("has %d characters, the limit is 64", n)
	}
	if d.isMySQL() && strings.HasSuffix(s, " ") {
		return bad("ends in a space")
	}
	if d.family == postgres && len(s) > maxNameBytes {
		return bad("is %d bytes long, the limit is %d", len(s), maxNameBytes)
	}
	if d.family == sqlite && len(s) > 1000 {
		return bad("is %d bytes long, the limit is 1000", len(s))
	}
	return nil
}

// appendIdent appends s as a quoted identifier.
func (d Dialect) appendIdent(b []byte, kind, s string) ([]byte, error) {
	if err := d.checkIdent(kind, s); err != nil {
		return b, err
	}
	q := byte('"')
	if d.isMySQL() {
		q = '`'
	}
	b = append(b, q)
	for i := range len(s) {
		if s[i] == q {
			b = append(b, q)
		}
		b = append(b, s[i])
	}
	return append(b, q), nil
}

// quoteQualified returns schema.name, or name alone when schema is empty.
func (d Dialect) quoteQualified(kind, schema, name string) (string, error) {
	w := writer{d: d}
	w.qualified(kind, schema, name)
	return string(w.b), w.err
}

// quoteString returns s as a string literal that reads the same whatever
// standard_conforming_strings or NO_BACKSLASH_ESCAPES say.
func (d Dialect) quoteString(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%w: a string constant is not valid UTF-8", ErrIndex)
	}
	if strings.ContainsFunc(s, isControl) {
		return "", fmt.Errorf("%w: a string constant holds a control character", ErrIndex)
	}
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if !strings.Contains(s, `\`) || d.family == sqlite {
		return q, nil
	}
	if d.family == postgres {
		return "E" + strings.ReplaceAll(q, `\`, `\\`), nil
	}
	return "", fmt.Errorf("%w: a string constant holds a backslash, whose meaning depends on the SQL mode of %s", ErrIndex, d.Name())
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }

// DerivedName returns the name that an index without Name gets in every dialect:
// idx_<table>_<columns>, uq_ when unique, "_desc" behind a descending key. A hash of
// the definition follows when the columns alone do not tell it (a predicate, an
// expression, INCLUDE, a method, …) or when 63 bytes are not enough; equal
// definitions have equal names on every machine.
func (ix Index) DerivedName() string {
	b := make([]byte, 0, 2*maxNameBytes)
	if ix.Unique {
		b = append(b, "uq_"...)
	} else {
		b = append(b, "idx_"...)
	}
	b = append(b, ix.Table...)
	plain := ix.Where == nil && len(ix.Include) == 0 && len(ix.With) == 0 &&
		ix.Method == BTree && !ix.NullsNotDistinct && ix.Tablespace == ""
	for _, k := range ix.Keys {
		b = append(b, '_')
		if k.Expr != "" {
			b = append(b, "expr"...)
		} else {
			b = append(b, k.Column...)
		}
		if k.Desc {
			b = append(b, "_desc"...)
		}
		plain = plain && k.Expr == "" && k.Nulls == NullsDefault && k.OpClass == "" && k.Collate == "" && k.Prefix == 0
	}
	if plain && len(b) <= maxNameBytes {
		return string(b)
	}
	return hashName(b, ix.appendIdentity(make([]byte, 0, 256)))
}

// hashName cuts name at a rune boundary to make room for a hash of identity.
func hashName(name, identity []byte) string {
	sum := sha256(identity)
	const room = maxNameBytes - 1 - 2*hashBytes
	if n := room; len(name) > n {
		for n > 0 && !utf8.RuneStart(name[n]) {
			n--
		}
		name = name[:n]
	}
	return string(hex.AppendEncode(append(name, '_'), sum[:hashBytes]))
}

// hashBytes of a SHA-256 make a name differ.
const hashBytes = 4

// name is Name or the derived name.
func (ix Index) name() string {
	if ix.Name != "" {
		return ix.Name
	}
	return ix.DerivedName()
}

// appendIdentity appends a text that differs whenever two definitions differ, names
// aside. Names that users have depend on its bytes: they must not change.
func (ix Index) appendIdentity(b []byte) []byte {
	quote := func(label, s string) { b = strconv.AppendQuote(append(b, label...), s) }
	flag := func(v bool) { b = strconv.AppendBool(append(b, ' '), v) }
	quote("", ix.Schema)
	quote(" ", ix.Table)
	flag(ix.Unique)
	flag(ix.NullsNotDistinct)
	b = append(append(b, ' '), ix.Method.String()...)
	quote(" ", ix.Tablespace)
	for _, k := range ix.Keys {
		quote(" key ", k.Column)
		quote(" ", string(k.Expr))
		flag(k.Desc)
		b = append(append(b, ' '), k.Nulls.String()...)
		quote(" ", k.OpClass)
		quote(" ", k.Collate)
		b = strconv.AppendInt(append(b, ' '), int64(k.Prefix), 10)
	}
	for _, c := range slices.Sorted(slices.Values(ix.Include)) {
		quote(" include ", c)
	}
	if ix.Where != nil {
		b = appendPred(append(b, " where "...), ix.Where, 0)
	}
	for _, k := range sortedKeys(ix.With) {
		quote(" with ", k)
		quote(" ", ix.With[k])
	}
	return b
}
