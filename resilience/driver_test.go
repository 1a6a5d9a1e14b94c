package resilience_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/perfblocks/perfblocks/resilience"
)

// faultError has the methods of a smithy.APIError; ErrorFault has a type of its own.
type (
	fault      int
	faultError struct {
		apiError
		fault fault
	}
)

func (e faultError) ErrorFault() fault { return e.fault }

// mongoServerError has the methods of mongo.ServerError that are asked.
type mongoServerError struct {
	code   int
	labels []string
}

func (e mongoServerError) Error() string               { return fmt.Sprint("mongo: ", e.code) }
func (e mongoServerError) HasErrorCode(code int) bool  { return e.code == code }
func (e mongoServerError) HasErrorLabel(l string) bool { return slices.Contains(e.labels, l) }

type mssqlErr int32

func (e mssqlErr) Error() string         { return "mssql" }
func (e mssqlErr) SQLErrorNumber() int32 { return int32(e) }

// safeErr has the method that pgconn.SafeToRetry asks.
type safeErr struct{ err error }

func (e safeErr) Error() string     { return "pg" }
func (e safeErr) Unwrap() error     { return e.err }
func (e safeErr) SafeToRetry() bool { return true }

// TestClassifyRedis follows the errors of Redis's commands and of its cluster
// specification: what is refused before it is executed is not sent.
func TestClassifyRedis(t *testing.T) {
	for text, want := range map[string]string{
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "unavailable rnc",
		"TRYAGAIN Multiple keys request during rehashing of slot":                          "unavailable rnc",
		"READONLY You can't write against a read only replica.":                            "unavailable rnc",
		"NOREPLICAS Not enough good replicas to write.":                                    "unavailable rnc",
		"MISCONF Redis is configured to save RDB snapshots":                                "unavailable rnc",
		"MOVED 3999 127.0.0.1:6381":                                                        "unavailable rnc",
		"ASK 3999 127.0.0.1:6381":                                                          "unavailable rnc",
		"BUSY Redis is busy running a script.":                                             "overloaded rnc",
		"OOM command not allowed when used memory > 'maxmemory'.":                          "overloaded rnc",
		"ERR max number of clients reached":                                                "overloaded rnc",
		"NOAUTH Authentication required.":                                                  "unauthorized ",
		"WRONGPASS invalid username-password pair or user is disabled.":                    "unauthorized n",
		"NOPERM this user has no permissions to run the 'get' command":                     "unauthorized ",
		"WRONGTYPE Operation against a key holding the wrong kind of value":                "invalid ",
		"NOSCRIPT No matching script.":                                                     "not_found ",
		"EXECABORT Transaction discarded because of previous errors.":                      "invalid ",
		"CROSSSLOT Keys in request don't hash to the same slot":                            "invalid ",
		"BUSYGROUP Consumer Group name already exists":                                     "invalid ",
		"ERR unknown command 'FOO'":                                                        "invalid ",
		"NOGROUP No such key 'x' or consumer group 'g'":                                    "not_found ",
		"redis: transaction failed":                                                        "conflict r",
		"STRANGE something new":                                                            "unknown rc",
	} {
		i := resilience.Classify(wrapped(redisErr(text)))
		if got := i.Class.String() + " " + flags(i); got != want {
			t.Errorf("%q = %q; want %q", text, got, want)
		}
	}
}

// TestClassifyAPICodes follows S3's list of error responses and the SDK's standard
// retry mode.
func TestClassifyAPICodes(t *testing.T) {
	for code, want := range map[string]resilience.Class{
		"SlowDown": resilience.ClassThrottled, "Throttling": resilience.ClassThrottled,
		"ThrottledException": resilience.ClassThrottled, "RequestLimitExceeded": resilience.ClassThrottled,
		"ServiceUnavailable": resilience.ClassUnavailable, "InternalError": resilience.ClassInternal,
		"RequestTimeout": resilience.ClassTimeout, "OperationAborted": resilience.ClassConflict,
		"ConditionalRequestConflict": resilience.ClassConflict, "TransactionConflictException": resilience.ClassConflict,
		"AccessDenied": resilience.ClassUnauthorized, "InvalidAccessKeyId": resilience.ClassUnauthorized,
		"ExpiredToken": resilience.ClassUnauthorized, "RequestTimeTooSkewed": resilience.ClassUnauthorized,
		"InvalidToken": resilience.ClassUnauthorized, "AuthorizationHeaderMalformed": resilience.ClassUnauthorized,
		"NoSuchKey": resilience.ClassNotFound, "NoSuchBucketPolicy": resilience.ClassNotFound,
		"ReplicationConfigurationNotFoundError": resilience.ClassNotFound, "ResourceNotFoundException": resilience.ClassNotFound,
		"AWS.SimpleQueueService.NonExistentQueue": resilience.ClassNotFound,
		"BadDigest": resilience.ClassInvalid, "EntityTooLarge": resilience.ClassInvalid,
		"InvalidRange": resilience.ClassInvalid, "BucketAlreadyExists": resilience.ClassInvalid,
		"BucketNotEmpty": resilience.ClassInvalid, "MalformedXML": resilience.ClassInvalid,
		"PreconditionFailed": resilience.ClassConflict, "ConditionalCheckFailedException": resilience.ClassInvalid,
		"ValidationException": resilience.ClassInvalid, "NotImplemented": resilience.ClassPermanent,
		"MethodNotAllowed": resilience.ClassInvalid, "Odd": resilience.ClassUnknown,
	} {
		if i := resilience.Classify(apiError{code: code}); i.Class != want {
			t.Errorf("%s = %v; want %v", code, i.Class, want)
		}
	}
	checkReal(t, []real{
		{"server's fault", faultError{apiError{"Odd"}, 1}, resilience.ClassInternal, "rc", "Odd"},
		{"client's fault", faultError{apiError{"Odd"}, 2}, resilience.ClassInvalid, "", "Odd"},
		{"nobody's fault", faultError{apiError{"Odd"}, 0}, resilience.ClassUnknown, "rc", ""},
		{"status over fault", statusErr{404, faultError{apiError{"Odd"}, 1}}, resilience.ClassNotFound, "", "404"},
		{"code over status", statusErr{400, faultError{apiError{"SlowDown"}, 2}}, resilience.ClassThrottled, "rc", "SlowDown"},
	})
}

// TestClassifyDatabases follows the error references of the servers.
func TestClassifyDatabases(t *testing.T) {
	checkReal(t, []real{
		{"mongo duplicate", mongoServerError{code: 11000}, resilience.ClassInvalid, "", "DuplicateKey"},
		{"mongo write conflict", mongoServerError{code: 112, labels: []string{"TransientTransactionError"}}, resilience.ClassConflict, "r", "TransientTransactionError"},
		{"mongo stepped down", mongoServerError{code: 189, labels: []string{"RetryableWriteError"}}, resilience.ClassUnavailable, "rc", "PrimarySteppedDown"},
		{"mongo time", mongoServerError{code: 50}, resilience.ClassTimeout, "rc", "MaxTimeMSExpired"},
		{"mongo auth", mongoServerError{code: 18}, resilience.ClassUnauthorized, "", "AuthenticationFailed"},
		{"mongo unknown code", mongoServerError{code: 424242}, resilience.ClassUnknown, "rc", ""},
		{"mongo nothing", errors.New("mongo: no documents in result"), resilience.ClassNotFound, "", "no_documents"},
		{"mssql deadlock", mssqlErr(1205), resilience.ClassConflict, "r", "1205"},
		{"azure busy", mssqlErr(40501), resilience.ClassThrottled, "rc", "40501"},
		{"azure moving", mssqlErr(40613), resilience.ClassUnavailable, "rc", "40613"},
		{"mssql duplicate", mssqlErr(2627), resilience.ClassInvalid, "", "2627"},
		{"pg safe", safeErr{sqlState("57P01")}, resilience.ClassUnavailable, "rnc", "57P01"},
		{"pg unknown, safe", safeErr{errBoom}, resilience.ClassUnknown, "rnc", ""},
		{"pool of redis", errors.New("redis: connection pool timeout"), resilience.ClassOverloaded, "rn", "pool"},
		{"text within a text", errors.New("x: redis: connection pool timeout"), resilience.ClassUnknown, "rc", ""},
	})
}

// TestClassifySQLStates covers each class of SQLSTATE once.
func TestClassifySQLStates(t *testing.T) {
	for code, want := range map[string]string{
		"08000": "unavailable rc", "08001": "unavailable rnc", "08006": "unavailable rc", "08P01": "unavailable rc",
		"40001": "conflict r", "40P01": "conflict r", "40002": "invalid ", "40003": "conflict r", "55P03": "conflict r",
		"53000": "overloaded rc", "53100": "overloaded c", "53200": "overloaded rc", "53300": "overloaded rnc",
		"57000": "unavailable rc", "57P01": "unavailable rc", "57P03": "unavailable rnc", "57P04": "not_found ",
		"57P05": "unavailable rc", "57014": "timeout rc", "25P03": "timeout rc", "25006": "unavailable rc",
		"25P02": "invalid ", "22001": "invalid ", "23505": "invalid ", "42601": "invalid ", "0A000": "permanent ",
		"P0001": "invalid ", "P0002": "not_found ", "02000": "not_found ", "28P01": "unauthorized n", "42501": "unauthorized ",
		"58030": "internal rc", "XX000": "internal rc", "XX001": "internal c", "HV000": "internal rc", "F0001": "internal rc",
		"HYT00": "timeout rc", "HY000": "unknown rc", "45000": "invalid ", "00000": "unknown rc", "ZZ999": "unknown rc",
	} {
		i := resilience.ClassifySQLState(code)
		if got := i.Class.String() + " " + flags(i); got != want || i.Code != code {
			t.Errorf("%s = %q %q; want %q", code, got, i.Code, want)
		}
	}
}
