package dbindex

import (
	"fmt"
	"strconv"
	"strings"
)

// Dialect is a database product and its version. Make one with [Postgres],
// [MySQL], [MariaDB] or [SQLite]; the zero value is refused with [ErrOptions]. It
// is a small comparable value.
type Dialect struct {
	family family
	major  int
	minor  int
}

type family uint8

const (
	noFamily family = iota
	postgres
	mysql
	mariadb
	sqlite
)

var familyNames = [...]string{"unknown", "postgres", "mysql", "mariadb", "sqlite"}

// Postgres is PostgreSQL of a major version, such as 15. The version decides on
// INCLUDE (11) and NULLS NOT DISTINCT (15), and the rest. Versions before 10 are
// refused where the Dialect is used.
func Postgres(major int) Dialect { return Dialect{family: postgres, major: major} }

// MySQL is Oracle MySQL, such as MySQL(8, 0). Descending and functional keys need
// 8.0 and mean at least 8.0.13. Generated SQL follows the manual; no test here
// runs it on a MySQL server.
func MySQL(major, minor int) Dialect { return Dialect{family: mysql, major: major, minor: minor} }

// MariaDB is MariaDB Server, such as MariaDB(10, 11). Descending keys need 10.8;
// there are no functional keys in any version.
func MariaDB(major, minor int) Dialect { return Dialect{family: mariadb, major: major, minor: minor} }

// SQLite is SQLite 3.30 or newer: partial, expression, descending and collated
// keys, but no INCLUDE and no access methods.
func SQLite() Dialect { return Dialect{family: sqlite, major: 3} }

// Name returns the product without version: "postgres", "mysql", "mariadb" or
// "sqlite"; "unknown" for the zero Dialect.
func (d Dialect) Name() string { return familyNames[d.family] }

// Version returns the version the Dialect was made with; minor is zero for
// PostgreSQL, and SQLite is 3, 0.
func (d Dialect) Version() (major, minor int) { return d.major, d.minor }

// String returns product and version, such as "postgres 15", "mariadb 10.11" or
// "sqlite".
func (d Dialect) String() string {
	switch d.family {
	case postgres:
		return "postgres " + strconv.Itoa(d.major)
	case mysql, mariadb:
		return fmt.Sprintf("%s %d.%d", d.Name(), d.major, d.minor)
	}
	return d.Name()
}

// MarshalText writes what [Dialect.UnmarshalText] reads, such as "postgres 15".
// The zero Dialect gives an error matching [ErrOptions].
func (d Dialect) MarshalText() ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads "postgres 15", "mysql 8.0", "mariadb 10.11" or "sqlite"; the
// separator may be a space, a slash or a colon. Anything else gives an error
// matching [ErrOptions] and leaves the Dialect as it was.
func (d *Dialect) UnmarshalText(text []byte) error {
	s := string(text)
	name, version := s, ""
	if i := strings.IndexAny(s, " /:"); i >= 0 {
		name, version = s[:i], s[i+1:]
	}
	maj, mnr, hasMinor := strings.Cut(version, ".")
	major, err1 := strconv.Atoi(maj)
	minor, err2 := 0, error(nil)
	if hasMinor {
		minor, err2 = strconv.Atoi(mnr)
	}
	var n Dialect
	switch {
	case name == "sqlite" && version == "":
		n = SQLite()
	case err1 != nil || err2 != nil:
	case name == "postgres" && !hasMinor:
		n = Postgres(major)
	case name == "mysql":
		n = MySQL(major, minor)
	case name == "mariadb":
		n = MariaDB(major, minor)
	}
	if n.check() != nil {
		return fmt.Errorf("%w: dialect %q: want such as \"postgres 15\", \"mysql 8.0\", \"mariadb 10.11\" or \"sqlite\"", ErrOptions, s)
	}
	*d = n
	return nil
}

func (d Dialect) check() error {
	switch {
	case d.family == noFamily:
		return fmt.Errorf("%w: Dialect is zero: use Postgres, MySQL, MariaDB or SQLite", ErrOptions)
	case d.family == postgres && d.major < 10:
		return fmt.Errorf("%w: Dialect %s: PostgreSQL before 10 is not supported", ErrOptions, d)
	case d.family == mysql && !d.atLeast(5, 7):
		return fmt.Errorf("%w: Dialect %s: MySQL before 5.7 is not supported", ErrOptions, d)
	case d.family == mariadb && !d.atLeast(10, 3):
		return fmt.Errorf("%w: Dialect %s: MariaDB before 10.3 is not supported", ErrOptions, d)
	}
	return nil
}

func (d Dialect) atLeast(major, minor int) bool {
	return d.major > major || d.major == major && d.minor >= minor
}

func (d Dialect) isMySQL() bool { return d.family == mysql || d.family == mariadb }

// foldsNames reports whether index names differing only in case are the same.
func (d Dialect) foldsNames() bool { return d.isMySQL() || d.family == sqlite }

// fold writes a name as the dialect compares names that do not tell cases apart: MySQL
// knows all letters, the others those of ASCII only.
func (d Dialect) fold(s string) string {
	if d.isMySQL() {
		return strings.ToLower(s)
	}
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if b[j] >= 'A' && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// nullsFirst reports where NULL sorts when an index key does not say.
func (d Dialect) nullsFirst(desc bool) bool {
	if d.family == postgres {
		return desc
	}
	return !desc
}
