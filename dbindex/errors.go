package dbindex

import (
	"errors"
	"fmt"
)

var (
	// ErrIndex matches every error that says an [Index] cannot be written as it
	// was declared: a bad identifier, refused raw SQL, a contradiction between
	// fields, or two indexes with one name.
	ErrIndex = errors.New("dbindex: invalid index")

	// ErrOptions matches every error about options: a zero [Dialect], a missing
	// [MigrationOptions].At, an unknown [MigrationKind]. All bad fields are
	// reported at once.
	ErrOptions = errors.New("dbindex: invalid options")
)

// FeatureError says that a dialect cannot do what an index asks for, and what to
// do in its place. It matches [errors.ErrUnsupported] under errors.Is.
type FeatureError struct {
	Dialect     Dialect // the target of the statement
	Index       string  // name of the index; empty when no single index is meant
	Feature     string  // what is missing, such as "INCLUDE columns"
	Alternative string  // what works there, as advice in one sentence
}

// Error names the index, the dialect, the missing feature and the alternative.
func (e *FeatureError) Error() string {
	s := "dbindex: " + e.Dialect.String() + " has no " + e.Feature
	if e.Index != "" {
		s = fmt.Sprintf("dbindex: index %q: %s has no %s", e.Index, e.Dialect, e.Feature)
	}
	if e.Alternative != "" {
		s += "; " + e.Alternative
	}
	return s
}

// Is reports true for [errors.ErrUnsupported], so that callers can test for the
// kind without naming this type.
func (e *FeatureError) Is(target error) bool { return target == errors.ErrUnsupported }

// IdentError says that a name cannot be an identifier of the dialect. Names are
// never shortened or cleaned in silence. It matches [ErrIndex] under errors.Is.
type IdentError struct {
	Kind   string // "table", "column", "index", "collation", …
	Ident  string // the name as given, cut after 80 bytes
	Reason string // such as "is 70 bytes long, the limit is 63"
}

// Error quotes the identifier and gives the reason.
func (e *IdentError) Error() string {
	return fmt.Sprintf("dbindex: %s name %q %s", e.Kind, e.Ident, e.Reason)
}

// Is reports true for [ErrIndex], which all definition errors match.
func (e *IdentError) Is(target error) bool { return target == ErrIndex }

// RawSQLError says why a [RawSQL] text was refused. The text itself is not part
// of the error, since it may hold data. It matches [ErrIndex] under errors.Is.
type RawSQLError struct {
	Reason string // such as "a semicolon" or "an unbalanced parenthesis"
	Offset int    // byte offset in the text where it was seen
}

// Error gives the reason and the offset in bytes.
func (e *RawSQLError) Error() string {
	return fmt.Sprintf("dbindex: raw SQL holds %s at byte %d", e.Reason, e.Offset)
}

// Is reports true for [ErrIndex], which all definition errors match.
func (e *RawSQLError) Is(target error) bool { return target == ErrIndex }
