package dbindex

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// PrismaReport says how indexes look in schema.prisma.
type PrismaReport struct {
	// Models lists the lines to add, by model in the order of their names.
	Models []PrismaModel
	// Gaps lists what schema.prisma cannot express. "prisma migrate dev" may drop or
	// recreate such indexes: keep them in hand-written migrations.
	Gaps []PrismaGap
}

// PrismaModel holds the block attributes of one model.
type PrismaModel struct {
	Table string   // the table, which is the model's name unless it has @@map
	Lines []string // such as @@index([userId, createdAt(sort: Desc)], map: "…")
}

// PrismaGap is one index that schema.prisma cannot express.
type PrismaGap struct {
	Table  string // the table of the index
	Index  string // name of the index
	Reason string // such as "partial (WHERE)"
}

// PrismaSchema returns the @@index and @@unique lines for indexes, and the list of
// those that Prisma's schema cannot express. Field names are taken to equal column
// names. Lines are sorted; the error is that of [Index.Check].
func PrismaSchema(d Dialect, indexes []Index) (PrismaReport, error) {
	if err := d.check(); err != nil {
		return PrismaReport{}, err
	}
	var r PrismaReport
	var errs []error
	models := map[string][]string{}
	for _, ix := range indexes {
		if ix.Constraint != NoConstraint {
			continue
		}
		if err := ix.Check(d); err != nil {
			errs = append(errs, err)
			continue
		}
		line, why := ix.prismaLine(d)
		if why != "" {
			r.Gaps = append(r.Gaps, PrismaGap{Table: ix.Table, Index: ix.name(), Reason: why})
			continue
		}
		models[ix.Table] = append(models[ix.Table], line)
	}
	for _, t := range sortedKeys(models) {
		r.Models = append(r.Models, PrismaModel{Table: t, Lines: slices.Sorted(slices.Values(models[t]))})
	}
	sortBy(r.Gaps, func(a, b PrismaGap) int {
		return strings.Compare(a.Table+"\x00"+a.Index, b.Table+"\x00"+b.Index)
	})
	return r, errors.Join(errs...)
}

// prismaGap returns what Prisma's schema language lacks for the index, or "".
func (ix Index) prismaGap(d Dialect) string {
	var gaps []string
	add := func(is bool, what string) {
		if is && !slices.Contains(gaps, what) {
			gaps = append(gaps, what)
		}
	}
	add(ix.Where != nil, "partial (WHERE)")
	add(len(ix.Include) > 0, "INCLUDE columns")
	add(ix.NullsNotDistinct, "NULLS NOT DISTINCT")
	add(len(ix.With) > 0, "storage parameters")
	add(ix.Tablespace != "", "tablespace")
	for _, k := range ix.Keys {
		add(k.Expr != "", "expression key")
		add(k.Nulls != NullsDefault && (k.Nulls == NullsFirst) != d.nullsFirst(k.Desc), "NULLS FIRST or LAST")
		add(k.Collate != "", "collation of a key")
		add(k.Column != "" && !isPrismaName(k.Column), "column name that is not a Prisma field name")
	}
	return strings.Join(gaps, ", ")
}

func (ix Index) prismaLine(d Dialect) (line, why string) {
	if why = ix.prismaGap(d); why != "" {
		return "", why
	}
	fields := make([]string, len(ix.Keys))
	for i, k := range ix.Keys {
		var args []string
		if k.Prefix > 0 {
			args = append(args, "length: "+strconv.Itoa(k.Prefix))
		}
		if k.Desc {
			args = append(args, "sort: Desc")
		}
		if k.OpClass != "" {
			args = append(args, "ops: raw("+strconv.Quote(k.OpClass)+")")
		}
		if fields[i] = k.Column; len(args) > 0 {
			fields[i] += "(" + strings.Join(args, ", ") + ")"
		}
	}
	kind := "@@index"
	if ix.Unique {
		kind = "@@unique"
	}
	line = fmt.Sprintf("%s([%s], map: %s", kind, strings.Join(fields, ", "), strconv.Quote(ix.name()))
	if ix.Method != BTree && d.family == postgres {
		line += ", type: " + [...]string{"BTree", "Hash", "Gin", "Gist", "Brin", "SpGist"}[ix.Method]
	}
	return line + ")", ""
}

func isPrismaName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || !isWordByte(c) || i == 0 && (c == '_' || isDigit(c)) {
			return false
		}
	}
	return s != ""
}
