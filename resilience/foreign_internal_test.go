package resilience

import (
	"reflect"
	"strconv"
	"testing"
)

// serverError has the fields of mysql.MySQLError.
type serverError struct {
	Number   uint16
	SQLState [5]byte
}

func (*serverError) Error() string { return "server" }

func state(s string) [5]byte { return [5]byte([]byte(s)) }

// TestMySQLState falls back to the SQLSTATE for a number that is not in the table.
func TestMySQLState(t *testing.T) {
	for n, k := range mysqlCodes {
		if k.code != strconv.FormatInt(n, 10) || k.class == ClassUnknown {
			t.Errorf("row %d = %+v", n, k)
		}
	}
	for _, c := range []struct {
		err  *serverError
		want Class
	}{
		{&serverError{1213, state("40001")}, ClassConflict},
		{&serverError{9999, state("42000")}, ClassInvalid},
		{&serverError{9999, state("08S01")}, ClassUnavailable},
		{&serverError{9999, state("HY000")}, ClassUnknown},
		{&serverError{9999, [5]byte{}}, ClassUnknown},
	} {
		if i := mysqlInfo(c.err, int64(c.err.Number)); i.Class != c.want || i.Code != strconv.Itoa(int(c.err.Number)) {
			t.Errorf("%+v = %v %q; want %v", c.err, i.Class, i.Code, c.want)
		}
	}
}

// TestSQLiteExtended covers extended codes and those of mattn's two fields.
func TestSQLiteExtended(t *testing.T) {
	for n, want := range map[int64]Class{
		5: ClassConflict, 517: ClassConflict, 2067: ClassInvalid, 3082: ClassOverloaded, 266: ClassInternal,
		4: ClassCanceled, 516: ClassConflict, 13: ClassOverloaded, 99: ClassUnknown,
	} {
		if i := sqliteInfo(nil, n); i.Class != want {
			t.Errorf("sqliteInfo(%d) = %v; want %v", n, i.Class, want)
		}
	}
	if i := mattnInfo(mattnErr{Code: 4, ExtendedCode: 516}, 4); i.Class != ClassConflict {
		t.Errorf("mattn = %v; want the extended code's class", i.Class)
	}
}

type mattnErr struct{ Code, ExtendedCode int }

func (mattnErr) Error() string { return "sqlite" }

// TestPathTo reads numbers through pointers and gives a type up that has changed.
func TestPathTo(t *testing.T) {
	type inner struct{ Code int32 }
	type outer struct{ s *inner }
	e := &outer{s: &inner{Code: 14}}
	path, ok := pathTo(reflect.TypeFor[*outer](), []string{"s", "Code"})
	if n, found := readNumber(reflect.ValueOf(e), path); !ok || !found || n != 14 {
		t.Errorf("readNumber = %d, %v, %v; want 14", n, ok, found)
	}
	if _, found := readNumber(reflect.ValueOf(&outer{}), path); found {
		t.Error("a number behind a nil pointer")
	}
	for _, names := range [][]string{{"none"}, {"s"}, {"s", "Code", "x"}} {
		if _, ok := pathTo(reflect.TypeFor[*outer](), names); ok {
			t.Errorf("pathTo(%v) is ok", names)
		}
	}
}

// TestHTTP2Codes covers codes that net/http answers by itself before a user sees them.
func TestHTTP2Codes(t *testing.T) {
	if i := streamInfo(nil, 7); i.Class != ClassUnavailable || !i.NotSent || !i.Retryable {
		t.Errorf("REFUSED_STREAM = %+v; want unavailable, not sent (RFC 9113, 8.7)", i)
	}
	if i := goAwayInfo(nil, 7); i.NotSent {
		t.Errorf("GOAWAY with REFUSED_STREAM = %+v; its stream may have been processed", i)
	}
	if i := streamInfo(nil, 99); i.Code != "INTERNAL_ERROR" {
		t.Errorf("unknown code = %+v; want INTERNAL_ERROR", i)
	}
}

// TestDriverTypes covers the types that are told by name in whatever major version.
func TestDriverTypes(t *testing.T) {
	for _, c := range []struct {
		path, name string
		class      Class
		unsent     bool
	}{
		{"github.com/jackc/pgx/v5/pgconn", "ConnectError", ClassUnavailable, true},
		{"github.com/jackc/pgx/v4/pgconn", "ParseConfigError", ClassInvalid, true},
		{"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology", "ServerSelectionError", ClassUnavailable, true},
		{"go.mongodb.org/mongo-driver/x/mongo/driver/topology", "ConnectionError", ClassUnavailable, false},
		{"github.com/aws/smithy-go/transport/http", "RequestSendError", ClassUnavailable, false},
	} {
		i, ok := driverType(c.path, c.name)
		if !ok || i.class != c.class || (i.unsent || i.dial) != c.unsent {
			t.Errorf("%s.%s = %+v, %v; want %v, %v", c.path, c.name, i, ok, c.class, c.unsent)
		}
	}
	if _, ok := driverType("example.com/x", "ConnectError"); ok {
		t.Error("a type of another package is known")
	}
}
