package resilience

import "reflect"

// sqliteInfo knows the result codes of SQLite: a few extended ones, and the primary
// ones, the low byte, for the others.
func sqliteInfo(_ error, n int64) Info {
	switch n {
	case 3082: // SQLITE_IOERR_NOMEM
		return with(ClassOverloaded, "SQLITE_IOERR", "sql")
	case 516: // SQLITE_ABORT_ROLLBACK: another statement rolled the transaction back.
		return with(ClassConflict, "SQLITE_ABORT", "sql")
	}
	if k, ok := sqliteCodes[n&0xff]; ok {
		return k.info()
	}
	return with(ClassUnknown, "", "sql")
}

// mattnInfo prefers the extended code, which mattn/go-sqlite3 keeps beside the other.
func mattnInfo(err error, n int64) Info {
	v := reflect.ValueOf(err)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if x := v.FieldByName("ExtendedCode"); x.IsValid() && x.CanInt() && x.Int() != 0 {
		n = x.Int()
	}
	return sqliteInfo(err, n)
}

// sqliteCodes is by https://sqlite.org/rescode.html.
var sqliteCodes = map[int64]known{
	1:  {ClassInvalid, 0, "SQLITE_ERROR", "sql"},
	2:  {ClassInternal, 0, "SQLITE_INTERNAL", "sql"},
	3:  {ClassUnauthorized, 0, "SQLITE_PERM", "sql"},
	4:  {ClassCanceled, 0, "SQLITE_ABORT", "sql"},
	5:  {ClassConflict, 0, "SQLITE_BUSY", "sql"},
	6:  {ClassConflict, 0, "SQLITE_LOCKED", "sql"},
	7:  {ClassOverloaded, 0, "SQLITE_NOMEM", "sql"},
	8:  {ClassPermanent, 0, "SQLITE_READONLY", "sql"},
	9:  {ClassCanceled, 0, "SQLITE_INTERRUPT", "sql"},
	10: {ClassInternal, 0, "SQLITE_IOERR", "sql"},
	11: {ClassPermanent, 0, "SQLITE_CORRUPT", "sql"},
	12: {ClassNotFound, 0, "SQLITE_NOTFOUND", "sql"},
	13: {ClassOverloaded, final | quiet, "SQLITE_FULL", "sql"},
	14: {ClassUnavailable, 0, "SQLITE_CANTOPEN", "sql"},
	15: {ClassConflict, 0, "SQLITE_PROTOCOL", "sql"},
	17: {ClassConflict, 0, "SQLITE_SCHEMA", "sql"},
	18: {ClassInvalid, 0, "SQLITE_TOOBIG", "sql"},
	19: {ClassInvalid, 0, "SQLITE_CONSTRAINT", "sql"},
	20: {ClassInvalid, 0, "SQLITE_MISMATCH", "sql"},
	21: {ClassInvalid, 0, "SQLITE_MISUSE", "sql"},
	22: {ClassPermanent, 0, "SQLITE_NOLFS", "sql"},
	23: {ClassUnauthorized, 0, "SQLITE_AUTH", "sql"},
	25: {ClassInvalid, 0, "SQLITE_RANGE", "sql"},
	26: {ClassPermanent, 0, "SQLITE_NOTADB", "sql"},
}
