package resilience

import (
	"reflect"
	"strings"
)

// typeInfo is what is known of the errors of one type: known, or what describe
// makes of the error and of the number that its fields lead to.
type typeInfo struct {
	known
	rank     rank
	dial     bool     // such an error happens while connecting
	unsent   bool     // such an error happens before anything was sent
	fields   []string // the names of the fields that lead to the number; empty: the error is the number
	describe func(err error, n int64) Info
}

// lookupType finds a type by its name. It is called once for each type.
func lookupType(t reflect.Type) (typeInfo, bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	path, name := t.PkgPath(), t.Name()
	if k, ok := standardTypes[path+"."+name]; ok {
		return typeInfo{known: k, rank: rankCode, unsent: k.effect&unsent != 0}, true
	}
	if i, ok := numberType(path, name); ok {
		return i, true
	}
	return driverType(path, name)
}

// numberType knows the types of protocols and databases that hold a number.
func numberType(path, name string) (typeInfo, bool) {
	number := func(describe func(error, int64) Info, fields ...string) (typeInfo, bool) {
		return typeInfo{rank: rankDriver, fields: append([]string{}, fields...), describe: describe}, true
	}
	switch path + "." + name {
	case "crypto/tls.alert", "crypto/tls.AlertError":
		return number(alertInfo)
	case "net/http.http2StreamError", "golang.org/x/net/http2.StreamError":
		return number(streamInfo, "Code")
	case "net/http.http2GoAwayError", "golang.org/x/net/http2.GoAwayError":
		return number(goAwayInfo, "ErrCode")
	case "net/http.http2ConnectionError", "golang.org/x/net/http2.ConnectionError":
		return number(connectionInfo)
	case "net/http.http2connError", "golang.org/x/net/http2.connError":
		return number(connectionInfo, "Code")
	case "net/textproto.Error":
		return number(replyInfo, "Code")
	case "crypto/tls.RecordHeaderError":
		return typeInfo{rank: rankCode, describe: recordInfo}, true
	case "net/http.ProtocolError":
		return typeInfo{rank: rankCode, describe: protocolInfo}, true
	case "github.com/go-sql-driver/mysql.MySQLError":
		return number(mysqlInfo, "Number")
	case "modernc.org/sqlite.Error", "github.com/ncruces/go-sqlite3.Error":
		return number(sqliteInfo, "code")
	case "github.com/mattn/go-sqlite3.Error":
		return number(mattnInfo, "Code")
	case "google.golang.org/grpc/internal/status.Error":
		return number(grpcInfo, "s", "s", "Code")
	case "connectrpc.com/connect.Error":
		return number(connectInfo, "code")
	case "google.golang.org/api/googleapi.Error":
		return number(statusInfo, "Code")
	case "k8s.io/apimachinery/pkg/api/errors.StatusError":
		return number(statusInfo, "ErrStatus", "Code")
	case "github.com/Azure/azure-sdk-for-go/sdk/azcore/internal/exported.ResponseError":
		return number(statusInfo, "StatusCode")
	}
	return typeInfo{}, false
}

// statusInfo describes the error of an HTTP API that keeps the status in a field.
func statusInfo(_ error, n int64) Info {
	if n < 400 || n > 599 {
		return Info{}
	}
	return ClassifyHTTP(int(n), "")
}

// driverType knows the types that say where in a driver a failure happened. The
// major version in the path does not matter.
func driverType(path, name string) (typeInfo, bool) {
	carrier := func(c Class, source string) typeInfo {
		return typeInfo{known: known{class: c, source: source}, rank: rankCarrier}
	}
	coded := func(c Class, e effect, code, source string) typeInfo {
		return typeInfo{known: known{c, e, code, source}, rank: rankCode, unsent: e&unsent != 0}
	}
	switch {
	case strings.HasPrefix(path, "github.com/jackc/pgx/"):
		return pgxType(name, carrier, coded)
	case strings.HasPrefix(path, "go.mongodb.org/mongo-driver/"):
		return mongoType(name, carrier, coded)
	}
	switch path + "." + name {
	case "github.com/aws/smithy-go/transport/http.RequestSendError":
		return carrier(ClassUnavailable, "api"), true
	case "github.com/aws/smithy-go/transport/http.ResponseError":
		return carrier(ClassUnknown, "api"), true
	case "github.com/aws/smithy-go.InvalidParamsError", "github.com/aws/smithy-go.ParamRequiredError":
		return coded(ClassInvalid, unsent, "params", "api"), true
	case "github.com/aws/smithy-go.DeserializationError":
		return coded(ClassInternal, 0, "malformed", "api"), true
	case "github.com/aws/aws-sdk-go-v2/aws/signer/v4.HashComputationError":
		return coded(ClassInvalid, unsent, "payload_hash", "api"), true
	case "github.com/aws/smithy-go.SerializationError":
		i := carrier(ClassInvalid, "api")
		i.unsent = true
		return i, true
	case "github.com/aws/aws-sdk-go-v2/aws.MissingRegionError":
		return coded(ClassInvalid, unsent, "missing_region", "api"), true
	case "github.com/aws/aws-sdk-go-v2/aws/signer/v4.SigningError":
		i := carrier(ClassUnauthorized, "api")
		i.unsent = true
		return i, true
	}
	return typeInfo{}, false
}

type (
	makeCarrier = func(c Class, source string) typeInfo
	makeCoded   = func(c Class, e effect, code, source string) typeInfo
)

// pgxType knows the types of pgx that have no SQLSTATE.
func pgxType(name string, carrier makeCarrier, coded makeCoded) (typeInfo, bool) {
	switch name {
	case "ConnectError", "perDialConnectError":
		i := carrier(ClassUnavailable, "sql")
		i.dial = true
		return i, true
	case "NotPreferredError":
		return coded(ClassUnavailable, unsent, "not_preferred", "sql"), true
	case "ParseConfigError":
		return coded(ClassInvalid, unsent, "config", "sql"), true
	case "connLockError":
		return coded(ClassUnavailable, unsent, "closed", "sql"), true
	case "ScanArgError":
		return coded(ClassInvalid, 0, "scan", "sql"), true
	}
	return typeInfo{}, false
}

// mongoType knows the types of MongoDB's driver that hold no code of the server.
func mongoType(name string, carrier makeCarrier, coded makeCoded) (typeInfo, bool) {
	switch name {
	case "ServerSelectionError":
		i := carrier(ClassUnavailable, "mongo")
		i.unsent = true
		return i, true
	case "WaitQueueTimeoutError":
		return coded(ClassOverloaded, unsent|quiet, "pool", "mongo"), true
	case "ConnectionError":
		return carrier(ClassUnavailable, "mongo"), true
	case "PoolError", "poolClearedError":
		return coded(ClassUnavailable, unsent, "pool", "mongo"), true
	case "MarshalError":
		return coded(ClassInvalid, unsent, "marshal", "mongo"), true
	}
	return typeInfo{}, false
}

// pathTo finds fields by name; it fails when the type has changed.
func pathTo(t reflect.Type, names []string) (path []int, ok bool) {
	path = []int{}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, name := range names {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return nil, false
		}
		field, found := t.FieldByName(name)
		if !found || len(field.Index) != 1 {
			return nil, false
		}
		path, t = append(path, field.Index[0]), field.Type
	}
	zero := reflect.Zero(t)
	return path, zero.CanInt() || zero.CanUint()
}

// readNumber follows the fields and stops at nil.
func readNumber(v reflect.Value, path []int) (int64, bool) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	for _, field := range path {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if !v.IsValid() {
			return 0, false
		}
		v = v.Field(field)
	}
	switch {
	case v.CanUint():
		return int64(v.Uint()), true // codes have at most 32 bits
	case v.CanInt():
		return v.Int(), true
	}
	return 0, false
}

// standardTypes are the error types of the standard library that say all by
// themselves, by name, because most of their packages are not imported here.
var standardTypes = map[string]known{
	"internal/poll.errNetClosing":              {ClassUnavailable, 0, "closed", "net"},
	"internal/poll.DeadlineExceededError":      {ClassTimeout, 0, "io_timeout", "net"},
	"net.AddrError":                            {ClassInvalid, 0, "address", "net"},
	"net.InvalidAddrError":                     {ClassInvalid, 0, "address", "net"},
	"net.UnknownNetworkError":                  {ClassInvalid, 0, "address", "net"},
	"net.ParseError":                           {ClassInvalid, 0, "address", "net"},
	"net/netip.parseAddrError":                 {ClassInvalid, 0, "address", "net"},
	"net/netip.parsePrefixError":               {ClassInvalid, 0, "address", "net"},
	"net/url.EscapeError":                      {ClassInvalid, 0, "url", "net"},
	"net/url.InvalidHostError":                 {ClassInvalid, 0, "url", "net"},
	"crypto/tls.CertificateVerificationError":  {ClassPermanent, unsent | counts, "certificate", "tls"},
	"crypto/tls.ECHRejectionError":             {ClassPermanent, unsent | counts, "ech_rejected", "tls"},
	"crypto/tls.timeoutError":                  {ClassTimeout, unsent, "handshake_timeout", "tls"},
	"crypto/x509.UnknownAuthorityError":        {ClassPermanent, unsent | counts, "unknown_authority", "tls"},
	"crypto/x509.HostnameError":                {ClassPermanent, unsent | counts, "hostname", "tls"},
	"crypto/x509.CertificateInvalidError":      {ClassPermanent, unsent | counts, "certificate_invalid", "tls"},
	"crypto/x509.SystemRootsError":             {ClassPermanent, unsent | counts, "system_roots", "tls"},
	"crypto/x509.ConstraintViolationError":     {ClassPermanent, unsent | counts, "constraint", "tls"},
	"crypto/x509.InsecureAlgorithmError":       {ClassPermanent, unsent | counts, "insecure_algorithm", "tls"},
	"crypto/x509.UnhandledCriticalExtension":   {ClassPermanent, unsent | counts, "critical_extension", "tls"},
	"net/http.tlsHandshakeTimeoutError":        {ClassTimeout, unsent, "handshake_timeout", "tls"},
	"net/http.nothingWrittenError":             {ClassUnknown, unsent, "", ""},
	"net/http.http2noCachedConnError":          {ClassUnavailable, unsent, "closed", "http"},
	"golang.org/x/net/http2.noCachedConnError": {ClassUnavailable, unsent, "closed", "http"},
	"net/http.http2goAwayFlowError":            {ClassUnavailable, 0, "FLOW_CONTROL_ERROR", "http"},
	"net/http.http2pseudoHeaderError":          {ClassInternal, 0, "malformed", "http"},
	"net/http.http2duplicatePseudoHeaderError": {ClassInternal, 0, "malformed", "http"},
	"net/http.http2headerFieldNameError":       {ClassInternal, 0, "malformed", "http"},
	"net/http.http2headerFieldValueError":      {ClassInternal, 0, "malformed", "http"},
	"net/http.unsupportedTEError":              {ClassInternal, 0, "malformed", "http"},
	"net/http.MaxBytesError":                   {ClassInvalid, 0, "too_large", "http"},
	"net/textproto.ProtocolError":              {ClassInternal, 0, "malformed", "http"},
	"os/user.UnknownUserIdError":               {ClassNotFound, 0, "user", "os"},
	"os/user.UnknownUserError":                 {ClassNotFound, 0, "user", "os"},
	"os/user.UnknownGroupIdError":              {ClassNotFound, 0, "group", "os"},
	"os/user.UnknownGroupError":                {ClassNotFound, 0, "group", "os"},
	"strconv.NumError":                         {ClassInvalid, 0, "number", "data"},
	"encoding/csv.ParseError":                  {ClassInvalid, 0, "csv", "data"},
	"time.ParseError":                          {ClassInvalid, 0, "time", "data"},
	"time.parseDurationError":                  {ClassInvalid, 0, "time", "data"},
	"encoding/json.SyntaxError":                {ClassInvalid, 0, "json", "data"},
	"encoding/json.UnmarshalTypeError":         {ClassInvalid, 0, "json", "data"},
	"encoding/json.UnmarshalFieldError":        {ClassInvalid, 0, "json", "data"},
	"encoding/json.InvalidUnmarshalError":      {ClassInvalid, 0, "json", "data"},
	"encoding/json.InvalidUTF8Error":           {ClassInvalid, 0, "json", "data"},
	"encoding/json.UnsupportedTypeError":       {ClassInvalid, 0, "json", "data"},
	"encoding/json.UnsupportedValueError":      {ClassInvalid, 0, "json", "data"},
	"encoding/json.jsonError":                  {ClassInvalid, 0, "json", "data"},
	"encoding/xml.SyntaxError":                 {ClassInvalid, 0, "xml", "data"},
	"encoding/xml.UnmarshalError":              {ClassInvalid, 0, "xml", "data"},
	"encoding/xml.UnsupportedTypeError":        {ClassInvalid, 0, "xml", "data"},
	"encoding/xml.TagPathError":                {ClassInvalid, 0, "xml", "data"},
	"encoding/asn1.StructuralError":            {ClassInvalid, 0, "asn1", "data"},
	"encoding/asn1.SyntaxError":                {ClassInvalid, 0, "asn1", "data"},
	"encoding/ascii85.CorruptInputError":       {ClassInvalid, 0, "ascii85", "data"},
	"encoding/base32.CorruptInputError":        {ClassInvalid, 0, "base32", "data"},
	"encoding/base64.CorruptInputError":        {ClassInvalid, 0, "base64", "data"},
	"encoding/hex.InvalidByteError":            {ClassInvalid, 0, "hex", "data"},
	"compress/bzip2.StructuralError":           {ClassInternal, 0, "bzip2", "data"},
	"compress/flate.CorruptInputError":         {ClassInternal, 0, "flate", "data"},
	"compress/flate.InternalError":             {ClassPermanent, 0, "flate", "data"},
	"archive/tar.headerError":                  {ClassInvalid, 0, "tar", "data"},
	"net/mail.charsetError":                    {ClassInvalid, 0, "mail", "data"},
	"crypto/aes.KeySizeError":                  {ClassInvalid, 0, "key_size", "data"},
	"crypto/des.KeySizeError":                  {ClassInvalid, 0, "key_size", "data"},
	"crypto/rc4.KeySizeError":                  {ClassInvalid, 0, "key_size", "data"},
}
