package dbindex

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity ranks a [Finding].
type Severity uint8

// The severities.
const (
	Info    Severity = iota // may be meant; look at it once
	Warning                 // costs writes, space or reads for nothing
	Error                   // wrong: fails, or is never used
)

var severityNames = [...]string{"info", "warning", "error"}

// String returns "info", "warning" or "error".
func (s Severity) String() string { return enumString(severityNames[:], s) }

// MarshalText writes the name that [Severity.String] gives; a value outside the
// declared ones gives an error matching [ErrOptions].
func (s Severity) MarshalText() ([]byte, error) { return enumMarshal("severity", severityNames[:], s) }

// UnmarshalText reads the names that [Severity.String] gives; others give an error
// matching [ErrOptions] and leave the value as it was.
func (s *Severity) UnmarshalText(text []byte) error {
	return enumUnmarshal("severity", severityNames[:], s, text)
}

// The stable ids of findings. Numbers that are missing here are reserved.
const (
	RuleDuplicate   = "DBX001" // two indexes with the same keys
	RuleRedundant   = "DBX002" // the keys are the first keys of another index
	RuleForeignKey  = "DBX003" // a foreign key without an index on its columns
	RuleWide        = "DBX004" // more columns than LintOptions.MaxColumns
	RuleName        = "DBX006" // a name too long, refused, or used twice
	RuleUnsupported = "DBX009" // the dialect lacks a feature
	RuleInvalid     = "DBX010" // a live index that no query uses
	RuleDefinition  = "DBX015" // raw SQL that is refused, or a contradiction
	RulePrisma      = "DBX017" // schema.prisma cannot express it
	RuleRepeated    = "DBX018" // a column twice in one index
)

// Finding is one result of [Lint]. It marshals to JSON with lower-case names.
type Finding struct {
	// ID is stable across releases, such as "DBX001".
	ID string `json:"id"`
	// Severity ranks the finding.
	Severity Severity `json:"severity"`
	// Table that the finding is about.
	Table string `json:"table"`
	// Index that the finding is about; empty for a missing one.
	Index string `json:"index,omitempty"`
	// Other is the index that it is compared with, if any.
	Other string `json:"other,omitempty"`
	// Message explains the finding in a sentence.
	Message string `json:"message"`
	// Fix is a statement that would repair it, empty when there is no safe one.
	Fix string `json:"fix,omitempty"`
}

// String returns one line: id, severity, table and message.
func (f Finding) String() string {
	return fmt.Sprintf("%s %s %s: %s", f.ID, f.Severity, f.Table, f.Message)
}

// LintOptions configures [Lint]. The zero value runs every rule but Prisma's.
type LintOptions struct {
	// MaxColumns is the number of keys and included columns above which an index
	// counts as wide. Default 5, negative turns the rule off.
	MaxColumns int
	// Prisma adds a finding for each index that schema.prisma cannot express.
	Prisma bool
	// Ignore lists ids that are left out.
	Ignore []string
}

// Lint returns what is wrong or wasteful about the indexes of a schema, declared or
// from live.Inspect, sorted by severity, table, index and id. It needs no database. A
// zero Dialect gives one finding that says so. Partial indexes beside a wider or
// full one are not reported: they are small and usually meant.
func Lint(d Dialect, s Schema, o LintOptions) []Finding {
	if err := d.check(); err != nil {
		return []Finding{{ID: RuleDefinition, Severity: Error, Message: err.Error()}}
	}
	l := linter{d: d, o: o, indexes: slices.Clone(s.Indexes)}
	if l.o.MaxColumns == 0 {
		l.o.MaxColumns = 5
	}
	for i := range l.indexes {
		l.indexes[i].Name = l.indexes[i].name()
	}
	slices.SortStableFunc(l.indexes, func(a, b Index) int {
		return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Name, b.Name))
	})
	l.names()
	for _, ix := range l.indexes {
		l.single(ix)
	}
	l.pairs()
	l.foreignKeys(s.ForeignKeys)
	out := slices.DeleteFunc(l.out, func(f Finding) bool { return slices.Contains(o.Ignore, f.ID) })
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Table, b.Table),
			cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Other, b.Other))
	})
	return out
}
