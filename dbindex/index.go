package dbindex

// Index declares one index as a plain literal. Table and Keys are required, the
// zero of every other field is the database's default. Diff, Lint and the others
// never modify an Index and keep no reference to its slices after they return,
// except in the values that they return.
type Index struct {
	// Name of the index, at most 63 bytes (64 characters on MySQL and MariaDB).
	// Empty means [Index.DerivedName].
	Name string
	// Schema of the table: a PostgreSQL schema, a MySQL database, an attached
	// SQLite database. Empty means the connection's current one.
	Schema string
	// Table as stored in the database, without quotes: "Message".
	Table string
	// Keys in order, at least one, at most 32.
	Keys []Key
	// Include lists payload columns kept in the index but not ordered (PostgreSQL).
	Include []string
	// Where makes the index partial: rows that do not match are left out. Nil
	// means all rows. Use the constructors such as [IsNull], or [RawSQL].
	Where Pred
	// Unique refuses a second row with equal keys.
	Unique bool
	// NullsNotDistinct makes NULL equal to NULL in a Unique index (PostgreSQL 15).
	NullsNotDistinct bool
	// Method is the access method; zero is BTree.
	Method Method
	// With holds storage parameters, such as {"fillfactor": "70"} (PostgreSQL).
	With map[string]string
	// Tablespace to put the index in; empty is the default one (PostgreSQL).
	Tablespace string

	// Ignored keeps the index up to date and hides it from queries, to see what its
	// loss would mean before it is dropped (MariaDB 10.6: IGNORED, MySQL 8: INVISIBLE).
	Ignored bool

	// Constraint says which constraint owns the index. Set by live.Inspect; such an
	// index is never dropped or written by this package, only compared with.
	Constraint Constraint
	// Referenced marks a unique index that foreign keys of other tables refer to, or by
	// which replication tells rows apart (PostgreSQL). Set by live.Inspect; Diff does not
	// drop such an index, and Lint does not advise it.
	Referenced bool
	// Invalid marks an index that writes maintain or not, but no query uses: the
	// leftover of a concurrent build that failed. Set by live.Inspect.
	Invalid bool
}

// Key is one key of an index: a Column or an Expr, never both. Make plain ones with
// [Asc], [Desc] and [Expr], or write the literal for the rest.
type Key struct {
	// Column as stored in the database, without quotes.
	Column string
	// Expr is an expression over the row, such as lower("email"). It must be
	// immutable; the database checks that.
	Expr RawSQL
	// Desc sorts from high to low (BTree only).
	Desc bool
	// Nulls says where NULL sorts; zero is the database's default for the direction.
	Nulls Nulls
	// OpClass is the operator class, such as "gin_trgm_ops" or "public.gin_trgm_ops"
	// (PostgreSQL).
	OpClass string
	// Collate is the collation, such as "C" or "NOCASE" (PostgreSQL, SQLite).
	Collate string
	// Prefix indexes only the first characters or bytes of a long column (MySQL,
	// MariaDB). Zero is the whole column.
	Prefix int
}

// Asc is a key on a column in ascending order.
func Asc(column string) Key { return Key{Column: column} }

// Desc is a key on a column in descending order, for ORDER BY column DESC next to
// keys that ascend. A single descending key gives nothing: any btree reads backward.
func Desc(column string) Key { return Key{Column: column, Desc: true} }

// Expr is a key on an expression, such as Expr(`lower("email")`). See [RawSQL] for
// what is refused.
func Expr(sql RawSQL) Key { return Key{Expr: sql} }

// Method is an index access method. Only BTree exists in every dialect.
type Method uint8

// The access methods.
const (
	BTree  Method = iota // ordered; equality, ranges, sorting
	Hash                 // equality on one key, smaller for long keys (PostgreSQL)
	GIN                  // many values in one row: jsonb, arrays, trigrams, full text (PostgreSQL)
	GiST                 // ranges, geometry, nearest neighbour, exclusion (PostgreSQL)
	BRIN                 // block summaries for columns that follow insert order (PostgreSQL)
	SPGiST               // partitioned search trees: prefixes, points (PostgreSQL)
)

var methodNames = [...]string{"btree", "hash", "gin", "gist", "brin", "spgist"}

// String returns the name used in SQL: "btree", "hash", "gin", "gist", "brin" or
// "spgist".
func (m Method) String() string { return enumString(methodNames[:], m) }

// MarshalText writes the name that [Method.String] gives; a value outside the
// declared ones gives an error matching [ErrOptions].
func (m Method) MarshalText() ([]byte, error) { return enumMarshal("method", methodNames[:], m) }

// UnmarshalText reads the names that [Method.String] gives; others give an error
// matching [ErrOptions] and leave the value as it was.
func (m *Method) UnmarshalText(text []byte) error {
	return enumUnmarshal("method", methodNames[:], m, text)
}

// Nulls says where NULL sorts among the keys.
type Nulls uint8

// The places for NULL. NullsDefault is last when ascending and first when
// descending on PostgreSQL, and the opposite on SQLite, MySQL and MariaDB.
const (
	NullsDefault Nulls = iota
	NullsFirst
	NullsLast
)

var nullsNames = [...]string{"default", "first", "last"}

// String returns "default", "first" or "last".
func (n Nulls) String() string { return enumString(nullsNames[:], n) }

// MarshalText writes the name that [Nulls.String] gives; a value outside the
// declared ones gives an error matching [ErrOptions].
func (n Nulls) MarshalText() ([]byte, error) { return enumMarshal("nulls", nullsNames[:], n) }

// UnmarshalText reads the names that [Nulls.String] gives; others give an error
// matching [ErrOptions] and leave the value as it was.
func (n *Nulls) UnmarshalText(text []byte) error {
	return enumUnmarshal("nulls", nullsNames[:], n, text)
}

// Constraint says which kind of constraint owns an index.
type Constraint uint8

// The kinds of owner.
const (
	NoConstraint     Constraint = iota // a plain index
	PrimaryKey                         // the table's primary key
	UniqueConstraint                   // UNIQUE in the table definition
	Exclusion                          // EXCLUDE (PostgreSQL)
	Partition                          // part of the index of a partitioned table (PostgreSQL)
	ForeignKeyIndex                    // made by the server for a foreign key (MariaDB)
)

var constraintNames = [...]string{"none", "primary key", "unique", "exclusion", "partition", "foreign key"}

// String returns "none", "primary key", "unique", "exclusion",
// "partition" or "foreign key".
func (c Constraint) String() string { return enumString(constraintNames[:], c) }

// MarshalText writes the name that [Constraint.String] gives; a value outside the
// declared ones gives an error matching [ErrOptions].
func (c Constraint) MarshalText() ([]byte, error) {
	return enumMarshal("constraint", constraintNames[:], c)
}

// UnmarshalText reads the names that [Constraint.String] gives; others give an
// error matching [ErrOptions] and leave the value as it was.
func (c *Constraint) UnmarshalText(text []byte) error {
	return enumUnmarshal("constraint", constraintNames[:], c, text)
}

// ForeignKey is a reference from Table to RefTable, as far as lint needs it.
type ForeignKey struct {
	Name     string   // the constraint's name; may be empty
	Schema   string   // of the referencing table; empty is the current one
	Table    string   // the referencing table
	Columns  []string // the referencing columns, in order
	RefTable string   // the referenced table
	// File is where it was declared, when it was read from migration files.
	File string
	// Line is the line in File, from 1; 0 without a file.
	Line int
}

// Schema is what is known about the indexes of a database, declared by hand or read
// by live.Inspect. It is a plain value; the slices belong to whoever made it.
type Schema struct {
	// Current is the schema that an empty Schema of an index or table means. Default
	// "public" on PostgreSQL, "main" on SQLite. Set by live.Inspect.
	Current string
	// Indexes lists all indexes, those of constraints too.
	Indexes []Index
	// ForeignKeys lists the references whose columns should be indexed.
	ForeignKeys []ForeignKey
	// Unknown lists live indexes that the model cannot express, such as operator
	// classes with parameters. Diff neither compares nor drops them.
	Unknown []Unknown
	// Columns holds what is known of the columns of the tables. Lint's rules about
	// types and values need it; a column that is not listed is not judged by them.
	Columns []Column
	// Tables holds what is known of the tables as a whole.
	Tables []Table
}

// Column is what is known of a column. A zero field is not known.
type Column struct {
	Schema string // of the table; empty is the current one
	Table  string // the table it belongs to
	Name   string // the column
	// Type is the type as the database prints it, such as "boolean" or "text".
	Type string
	// Values lists all values that an enum type or a CHECK permits.
	Values []string
	// Checks holds the CHECK constraints on this column alone. From one such as
	// status IN ('open', 'done') lint learns the values.
	Checks []RawSQL
	// Distinct is about how many different values there are.
	Distinct float64
	// Width is how many bytes a value takes: the average on PostgreSQL, the most that
	// the type permits on MariaDB.
	Width int
	// Updated says that rows are often changed in this column. No database tells; it is
	// for those who know their queries.
	Updated bool
}

// Table is what is known of a table. A zero field is not known.
type Table struct {
	Schema     string // empty is the current one
	Name       string // the table
	Rows       int64  // about how many
	Updates    int64  // rows changed since the counters began
	HotUpdates int64  // those of Updates that touched no index (PostgreSQL)
}

// Unknown is a live index that the model cannot express.
type Unknown struct {
	Schema string // of the table; empty is the current one
	Table  string // the table it is on
	Name   string // the index
	SQL    string // its definition as the database prints it
	Reason string // what could not be read
}
