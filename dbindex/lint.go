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

// The stable ids of findings.
const (
	RuleDuplicate   = "DBX001" // two indexes with the same keys
	RuleRedundant   = "DBX002" // the keys are the first keys of another index
	RuleForeignKey  = "DBX003" // a foreign key without an index on its columns
	RuleWide        = "DBX004" // many columns, or values too long for a page
	RuleBlocking    = "DBX005" // a migration whose index statement blocks writes
	RuleName        = "DBX006" // a name too long, refused, or used twice
	RuleSelectivity = "DBX007" // one column with few different values
	RuleImmutable   = "DBX008" // an expression whose value depends on more than the row
	RuleUnsupported = "DBX009" // the dialect lacks a feature
	RuleInvalid     = "DBX010" // a live index that no query uses
	RuleConstant    = "DBX011" // a predicate with a constant that the column cannot have
	RuleTransaction = "DBX012" // a migration that runs CONCURRENTLY in a transaction
	RuleIfNotExists = "DBX013" // CONCURRENTLY IF NOT EXISTS, which takes an invalid index for good
	RuleTimeout     = "DBX014" // CONCURRENTLY under a short timeout, which leaves an invalid index
	RuleDefinition  = "DBX015" // raw SQL that is refused, or a contradiction
	RuleHot         = "DBX016" // updates that the indexes make dear
	RulePrisma      = "DBX017" // schema.prisma cannot express it
	RuleRepeated    = "DBX018" // a column twice in one index
)

// Finding is one result of [Lint]. It marshals to JSON with lower-case names.
type Finding struct {
	// ID is stable across releases, such as "DBX001".
	ID string `json:"id"`
	// Severity ranks the finding.
	Severity Severity `json:"severity"`
	// Schema of the table; empty is the current one.
	Schema string `json:"schema,omitempty"`
	// Table that the finding is about; empty when a statement names none.
	Table string `json:"table"`
	// Index that the finding is about; empty for a missing one.
	Index string `json:"index,omitempty"`
	// Other is the index that it is compared with, if any.
	Other string `json:"other,omitempty"`
	// Message explains the finding in a sentence.
	Message string `json:"message"`
	// Fix is a statement that would repair it, empty when there is no safe one.
	Fix string `json:"fix,omitempty"`
	// File says where the statement stands, for findings of [LintFiles].
	File string `json:"file,omitempty"`
	// Line is the line in File at which it begins, from 1; 0 without a file.
	Line int `json:"line,omitempty"`
}

// String returns one line: place if there is one, id, severity, table and message.
func (f Finding) String() string {
	if f.File != "" {
		return fmt.Sprintf("%s:%d: %s %s %s: %s", f.File, f.Line, f.ID, f.Severity, f.Table, f.Message)
	}
	return fmt.Sprintf("%s %s %s: %s", f.ID, f.Severity, f.Table, f.Message)
}

// LintOptions configures [Lint]. The zero value runs every rule but Prisma's.
type LintOptions struct {
	// MaxColumns is the number of keys and included columns above which an index
	// counts as wide. Default 5, negative turns the rule off.
	MaxColumns int
	// Prisma adds a finding for each index that schema.prisma cannot express.
	Prisma bool
	// Applied is the path of the last migration file that has run everywhere; those up
	// to it are read by [LintFiles] and not reported on. Empty reports on all.
	Applied string
	// Ignore lists ids that are left out.
	Ignore []string
}

// Lint returns what is wrong or wasteful about the indexes of a schema, declared or
// from live.Inspect, sorted by severity, table, index and id. It needs no database. A
// zero Dialect gives one finding that says so. A partial index beside one that holds
// more rows is not reported: it is small and usually meant.
func Lint(d Dialect, s Schema, o LintOptions) []Finding {
	if err := d.check(); err != nil {
		return []Finding{{ID: RuleDefinition, Severity: Error, Message: err.Error()}}
	}
	l := newLinter(d, s, o)
	l.schema()
	return l.findings()
}

func newLinter(d Dialect, s Schema, o LintOptions) *linter {
	l := &linter{d: d, o: o, s: s, indexes: slices.Clone(s.Indexes), columns: map[columnKey]Column{}}
	if l.o.MaxColumns == 0 {
		l.o.MaxColumns = 5
	}
	if l.s.Current == "" {
		switch d.family {
		case postgres:
			l.s.Current = "public"
		case sqlite:
			l.s.Current = "main"
		}
	}
	for i := range l.indexes {
		l.indexes[i].Name = l.indexes[i].name()
	}
	sortBy(l.indexes, func(a, b Index) int {
		return cmp.Or(cmp.Compare(l.schemaOf(a.Schema), l.schemaOf(b.Schema)), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Name, b.Name))
	})
	for _, ix := range l.indexes {
		l.where = append(l.where, d.typed(ix.Where, 0))
	}
	for _, c := range s.Columns {
		if c.Values == nil {
			c.Values = d.permitted(c)
		}
		l.columns[l.column(c.Schema, c.Table, c.Name)] = c
	}
	l.group()
	return l
}

// schema runs all rules that look at indexes and tables.
func (l *linter) schema() {
	l.names()
	for i, ix := range l.indexes {
		l.single(i, ix)
	}
	l.pairs()
	l.foreignKeys()
	l.statistics()
}

// findings returns what was found and not ignored, in order.
func (l *linter) findings() []Finding {
	out := slices.DeleteFunc(l.out, func(f Finding) bool { return slices.Contains(l.o.Ignore, f.ID) })
	sortBy(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Table, b.Table),
			cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Other, b.Other), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return out
}
