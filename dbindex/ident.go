package dbindex

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
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

// quote returns s as a quoted identifier.
func (d Dialect) quote(kind, s string) (string, error) {
	if err := d.checkIdent(kind, s); err != nil {
		return "", err
	}
	if d.isMySQL() {
		return "`" + strings.ReplaceAll(s, "`", "``") + "`", nil
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`, nil
}

// quoteQualified returns schema.name, or name alone when schema is empty.
func (d Dialect) quoteQualified(kind, schema, name string) (string, error) {
	n, err := d.quote(kind, name)
	if err != nil || schema == "" {
		return n, err
	}
	s, err := d.quote("schema", schema)
	return s + "." + n, err
}

// quoteDotted quotes "name" or "schema.name", as operator classes and collations
// are given.
func (d Dialect) quoteDotted(kind, s string) (string, error) {
	if schema, name, ok := strings.Cut(s, "."); ok && schema != "" && name != "" {
		return d.quoteQualified(kind, schema, name)
	}
	return d.quote(kind, s)
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
	b := strings.Builder{}
	b.WriteString("idx_")
	if ix.Unique {
		b.Reset()
		b.WriteString("uq_")
	}
	b.WriteString(ix.Table)
	plain := ix.Where == nil && len(ix.Include) == 0 && len(ix.With) == 0 &&
		ix.Method == BTree && !ix.NullsNotDistinct && ix.Tablespace == ""
	for _, k := range ix.Keys {
		name := k.Column
		if k.Expr != "" {
			name = "expr"
		}
		b.WriteString("_" + name)
		if k.Desc {
			b.WriteString("_desc")
		}
		plain = plain && k.Expr == "" && k.Nulls == NullsDefault && k.OpClass == "" && k.Collate == "" && k.Prefix == 0
	}
	return fitName(b.String(), ix.identity(), !plain)
}

// fitName cuts name at a rune boundary to make room for a hash of identity, when
// it is too long or always is set.
func fitName(name, identity string, always bool) string {
	if !always && len(name) <= maxNameBytes {
		return name
	}
	sum := sha256.Sum256([]byte(identity))
	suffix := "_" + hex.EncodeToString(sum[:4])
	room := maxNameBytes - len(suffix)
	if len(name) > room {
		for room > 0 && !utf8.RuneStart(name[room]) {
			room--
		}
		name = name[:room]
	}
	return name + suffix
}

// name is Name or the derived name.
func (ix Index) name() string {
	if ix.Name != "" {
		return ix.Name
	}
	return ix.DerivedName()
}

// identity is a text that differs whenever two definitions differ, names aside.
func (ix Index) identity() string {
	b := fmt.Appendf(nil, "%q %q %v %v %v %q", ix.Schema, ix.Table, ix.Unique, ix.NullsNotDistinct, ix.Method, ix.Tablespace)
	for _, k := range ix.Keys {
		b = fmt.Appendf(b, " key %q %q %v %v %q %q %d", k.Column, string(k.Expr), k.Desc, k.Nulls, k.OpClass, k.Collate, k.Prefix)
	}
	for _, c := range slices.Sorted(slices.Values(ix.Include)) {
		b = fmt.Appendf(b, " include %q", c)
	}
	if ix.Where != nil {
		b = fmt.Appendf(b, " where %s", predString(ix.Where))
	}
	for _, k := range sortedKeys(ix.With) {
		b = fmt.Appendf(b, " with %q %q", k, ix.With[k])
	}
	return string(b)
}
