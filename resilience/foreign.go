package resilience

import (
	"reflect"
	"strconv"
	"sync"
)

// foreign says how to read the code of an error whose type offers no interface
// that can be named without importing its package.
type foreign struct {
	describe func(err error, n int64) Info // nil: nothing is known of the type
	path     []int                         // fields that lead to the number; nil: the text tells
}

// foreignTypes caches, for each type of error met, how to read it.
var foreignTypes sync.Map // reflect.Type → *foreign

// foreignInfo asks errors of known types for their codes, by reflection.
func foreignInfo(err error) (Info, bool) {
	t := reflect.TypeOf(err)
	v, ok := foreignTypes.Load(t)
	if !ok {
		v, _ = foreignTypes.LoadOrStore(t, planFor(t))
	}
	p := v.(*foreign)
	if p.describe == nil {
		return Info{}, false
	}
	var n int64
	if p.path != nil {
		n, ok = readNumber(reflect.ValueOf(err), p.path)
		if !ok {
			return Info{}, false
		}
	}
	i := p.describe(err, n)
	return i, i.Source != ""
}

// planFor recognises a type by name and by the fields it must have.
func planFor(t reflect.Type) *foreign {
	base := t
	if base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	none := &foreign{}
	switch base.PkgPath() + "." + base.Name() {
	case "github.com/go-sql-driver/mysql.MySQLError":
		return numbered(base, none, mysqlInfo, "Number")
	case "modernc.org/sqlite.Error":
		return numbered(base, none, sqliteInfo, "code")
	case "github.com/mattn/go-sqlite3.Error":
		return numbered(base, none, sqliteInfo, "Code")
	case "google.golang.org/grpc/internal/status.Error":
		return numbered(base, none, grpcInfo, "s", "s", "Code")
	case "connectrpc.com/connect.Error":
		return numbered(base, none, connectInfo, "code")
	case "net/http.MaxBytesError":
		return &foreign{describe: func(error, int64) Info { return with(ClassInvalid, "too_large", "http") }}
	case "errors.errorString":
		return &foreign{describe: textInfo}
	}
	return none
}

// numbered finds the fields by name; it gives none when the type has changed.
func numbered(t reflect.Type, none *foreign, describe func(error, int64) Info, names ...string) *foreign {
	p := &foreign{describe: describe}
	for _, name := range names {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return none
		}
		field, ok := t.FieldByName(name)
		if !ok || len(field.Index) != 1 {
			return none
		}
		p.path, t = append(p.path, field.Index[0]), field.Type
	}
	if !reflect.Zero(t).CanInt() && !reflect.Zero(t).CanUint() {
		return none
	}
	return p
}

// readNumber follows the fields and stops at nil.
func readNumber(v reflect.Value, path []int) (int64, bool) {
	for _, field := range path {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if !v.IsValid() {
			return 0, false
		}
		v = v.Field(field)
	}
	if v.CanUint() {
		return int64(v.Uint()), true // codes have at most 32 bits
	}
	return v.Int(), true
}

// textInfo knows the one error that has no mark but its text and matters: a
// connection of go-sql-driver/mysql that broke amid a statement.
func textInfo(err error, _ int64) Info {
	if err.Error() == "invalid connection" {
		return with(ClassUnavailable, "", "sql")
	}
	return Info{}
}

// mysqlInfo knows the numbers of MySQL and MariaDB.
func mysqlInfo(_ error, n int64) Info {
	i := mysqlClass(n).defaults()
	i.Code, i.Source = strconv.FormatInt(n, 10), "sql"
	switch n {
	case 1040, 1129, 1203: // Refused while connecting.
		i.NotSent = true
	case 1021, 1114: // Full disks and tables do not pass by themselves soon.
		i.Retryable = false
	}
	return i
}

func mysqlClass(n int64) Class {
	switch n {
	case 1020, 1205, 1213:
		return ClassConflict
	case 1021, 1037, 1038, 1040, 1041, 1114, 1129, 1135, 1203, 1226:
		return ClassOverloaded
	case 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1290, 1792, 1836, 1927, 2002, 2003, 2006, 2013:
		return ClassUnavailable
	case 1317:
		return ClassCanceled
	case 1969, 3024:
		return ClassTimeout
	case 1044, 1045, 1130, 1142, 1143, 1227, 1698, 1820, 1862, 1873:
		return ClassUnauthorized
	case 1022, 1048, 1049, 1050, 1051, 1052, 1054, 1062, 1064, 1091, 1136, 1146, 1153, 1169, 1216, 1217, 1264,
		1265, 1292, 1305, 1364, 1365, 1366, 1406, 1451, 1452, 1557, 1586, 1644, 1690, 3819, 4025:
		return ClassInvalid
	}
	return ClassUnknown
}

// sqliteInfo knows the primary result codes of SQLite, the low byte of the others.
func sqliteInfo(_ error, n int64) Info {
	c, code := ClassUnknown, ""
	switch n & 0xff {
	case 1:
		c, code = ClassInvalid, "SQLITE_ERROR"
	case 3:
		c, code = ClassUnauthorized, "SQLITE_PERM"
	case 5:
		c, code = ClassConflict, "SQLITE_BUSY"
	case 6:
		c, code = ClassConflict, "SQLITE_LOCKED"
	case 7:
		c, code = ClassOverloaded, "SQLITE_NOMEM"
	case 8:
		c, code = ClassPermanent, "SQLITE_READONLY"
	case 9:
		c, code = ClassCanceled, "SQLITE_INTERRUPT"
	case 10:
		c, code = ClassInternal, "SQLITE_IOERR"
	case 11:
		c, code = ClassPermanent, "SQLITE_CORRUPT"
	case 13:
		c, code = ClassOverloaded, "SQLITE_FULL"
	case 14:
		c, code = ClassUnavailable, "SQLITE_CANTOPEN"
	case 18:
		c, code = ClassInvalid, "SQLITE_TOOBIG"
	case 19:
		c, code = ClassInvalid, "SQLITE_CONSTRAINT"
	case 20:
		c, code = ClassInvalid, "SQLITE_MISMATCH"
	case 23:
		c, code = ClassUnauthorized, "SQLITE_AUTH"
	case 26:
		c, code = ClassPermanent, "SQLITE_NOTADB"
	}
	i := with(c, code, "sql")
	if code == "SQLITE_FULL" {
		i.Retryable = false
	}
	return i
}

// rpcCode is what a code of google.rpc means, with its names in gRPC and Connect.
type rpcCode struct {
	class         Class
	grpc, connect string
}

// rpcCodes is immutable and indexed by code.
var rpcCodes = [...]rpcCode{
	1:  {ClassCanceled, "CANCELLED", "canceled"},
	2:  {ClassUnknown, "UNKNOWN", "unknown"},
	3:  {ClassInvalid, "INVALID_ARGUMENT", "invalid_argument"},
	4:  {ClassTimeout, "DEADLINE_EXCEEDED", "deadline_exceeded"},
	5:  {ClassNotFound, "NOT_FOUND", "not_found"},
	6:  {ClassInvalid, "ALREADY_EXISTS", "already_exists"},
	7:  {ClassUnauthorized, "PERMISSION_DENIED", "permission_denied"},
	8:  {ClassThrottled, "RESOURCE_EXHAUSTED", "resource_exhausted"},
	9:  {ClassInvalid, "FAILED_PRECONDITION", "failed_precondition"},
	10: {ClassConflict, "ABORTED", "aborted"},
	11: {ClassInvalid, "OUT_OF_RANGE", "out_of_range"},
	12: {ClassPermanent, "UNIMPLEMENTED", "unimplemented"},
	13: {ClassInternal, "INTERNAL", "internal"},
	14: {ClassUnavailable, "UNAVAILABLE", "unavailable"},
	15: {ClassInternal, "DATA_LOSS", "data_loss"},
	16: {ClassUnauthorized, "UNAUTHENTICATED", "unauthenticated"},
}

func grpcInfo(_ error, n int64) Info { return rpcInfo(n, "grpc") }

func connectInfo(_ error, n int64) Info { return rpcInfo(n, "connect") }

func rpcInfo(n int64, source string) Info {
	if n < 1 || n >= int64(len(rpcCodes)) {
		return Info{}
	}
	c := rpcCodes[n]
	i := with(c.class, c.grpc, source)
	if source == "connect" {
		i.Code = c.connect
	}
	if n == 2 || n == 13 || n == 15 { // The server failed in it; it may have begun.
		i.Retryable = false
	}
	return i
}
