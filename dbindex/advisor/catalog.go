package advisor

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// column is what is known of one column.
type column struct {
	name     string
	kind     string  // type, as the database prints it without modifiers
	width    float64 // mean bytes
	distinct float64 // number of values, 0 when unknown
	nulls    float64 // share of NULL
	corr     float64 // correlation of value and place, -1 to 1
	notNull  bool
}

// table is what is known of one table.
type table struct {
	schema  string // empty: the current one
	name    string
	rows    float64
	pages   float64
	refused string // why no index is proposed, or empty
	columns []*column
	byName  map[string]*column
	fold    bool             // names differ in more than case
	indexes []dbindex.Index  // those that exist
	sizes   map[string]int64 // of those, in bytes, by name
	writes  float64          // rows written in the time of the statistics
}

func (t *table) column(name string) *column {
	if t.fold {
		name = strings.ToLower(name)
	}
	return t.byName[name]
}

// catalog is what is known of the tables of a workload.
type catalog struct {
	dialect dbindex.Dialect
	current string            // current schema
	tables  map[string]*table // by schema and name
	opclass map[string]string // operator classes that exist, with schema when needed
	locale  bool              // text sorts by a language, so that LIKE needs an operator class
	foreign []dbindex.ForeignKey
}

func tableKey(schema, name string) string { return schema + "\x00" + name }

// table finds a table as a plan names it.
func (c *catalog) table(schema, name string) *table {
	if schema == c.current {
		schema = ""
	}
	return c.tables[tableKey(schema, name)]
}

// of returns the table of an index.
func (c *catalog) of(ix dbindex.Index) *table { return c.tables[tableKey(ix.Schema, ix.Table)] }

// sorted returns the tables by name.
func (c *catalog) sorted() []*table {
	var list []*table
	for _, key := range slices.Sorted(maps.Keys(c.tables)) {
		list = append(list, c.tables[key])
	}
	return list
}

// lowCardinality bounds the columns whose constants may stand in a predicate.
const lowCardinality = 20

// constantPred is column = value, when the column has so few values that the
// predicate will serve other queries too; else nil.
func constantPred(c *column, value string) dbindex.Pred {
	if c.distinct <= 0 || c.distinct > lowCardinality {
		return nil
	}
	switch c.kind {
	case "text", "character varying", "character", "name", "TEXT", "VARCHAR":
		return dbindex.Eq(c.name, value)
	case "smallint", "integer", "bigint", "INTEGER", "INT", "BIGINT":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			return dbindex.Eq(c.name, n)
		}
	case "boolean", "BOOLEAN":
		if b, err := strconv.ParseBool(value); err == nil {
			return dbindex.Eq(c.name, b)
		}
	}
	if strings.HasPrefix(c.kind, "enum ") {
		return dbindex.Eq(c.name, value)
	}
	return nil
}

// distinctOf estimates the number of different keys.
func (t *table) distinctOf(keys []dbindex.Key) float64 {
	n := 1.0
	for _, k := range keys {
		c := t.column(k.Column)
		if c == nil || c.distinct <= 0 {
			return t.rows
		}
		n *= c.distinct
	}
	return min(n, max(t.rows, 1))
}

// btreeBytes estimates the size of a btree of that many entries. Equal keys of a
// plain index are stored once, with six bytes for each row.
func (t *table) btreeBytes(ix dbindex.Index, entries float64) int64 {
	// Of a full page a tenth is left free, and one in a hundred only leads to others.
	const pageFill, perTuple, perRow = 0.9 / 1.01, 4, 6
	width := 8.0 // what each entry begins with
	dedup := len(ix.Include) == 0 && !ix.Unique
	add := func(name string) {
		w, unit := 16.0, 1.0
		if c := t.column(name); c != nil {
			w, unit = c.width, alignment(c.kind)
			switch c.kind {
			case "numeric", "real", "double precision", "jsonb":
				dedup = false
			}
		}
		width = math.Ceil(width/unit)*unit + w
	}
	for _, k := range ix.Keys {
		add(k.Column)
	}
	for _, c := range ix.Include {
		add(c)
	}
	width = math.Ceil(width/8) * 8
	full := entries * (width + perTuple)
	if dedup {
		share := entries / max(t.rows, 1)
		distinct := min(t.distinctOf(ix.Keys)*max(share, 0.01), entries)
		full = min(full, distinct*(width+perTuple)+entries*perRow)
	}
	return int64(full/pageFill) + 16384
}

// alignment is the number of bytes whose multiple a value of the type begins at.
func alignment(kind string) float64 {
	switch kind {
	case "bigint", "double precision", "timestamp with time zone", "timestamp without time zone", "time without time zone":
		return 8
	case "integer", "real", "date", "oid":
		return 4
	case "smallint":
		return 2
	}
	return 1 // short texts and numbers of any length have one byte for it
}

// ordered reports whether a big table's rows lie in the order of a column, so that a
// summary of ranges finds few others.
func (t *table) ordered(name string) bool {
	c := t.column(name)
	return c != nil && math.Abs(c.corr) > 0.9 && t.pages >= 1000
}

// brinBytes is the size of a block range index: some tuples for 128 blocks each.
func (t *table) brinBytes() int64 { return int64(t.pages/128*40) + 24576 }

// uniquePrefix reports whether the first keys of ix hold all columns of a unique
// index, so that no further key or predicate can make it find less.
func (t *table) uniquePrefix(ix dbindex.Index) bool {
	for _, u := range t.indexes {
		if !u.Unique || u.Where != nil || len(u.Keys) > len(ix.Keys) {
			continue
		}
		all := true
		for _, k := range u.Keys {
			found := false
			for _, have := range ix.Keys[:len(u.Keys)] {
				found = found || have.Column == k.Column && k.Column != ""
			}
			all = all && found
		}
		if all {
			return true
		}
	}
	return false
}
