package resilience

import (
	"strconv"
	"time"
)

// ClassifyHTTP says what an HTTP response status means for the caller. The value
// of the Retry-After header, or "", fills in RetryAfter. A status below 400 is the
// zero Info but for HTTPStatus.
func ClassifyHTTP(status int, retryAfter string) Info {
	if status < 400 {
		return Info{HTTPStatus: status}
	}
	i := httpClass(status).defaults()
	i.HTTPStatus, i.Source, i.Code = status, "http", statusCode(status)
	switch status {
	case 425: // Too Early: the server refused to process it yet (RFC 8470).
		i.NotSent, i.Counts = true, false
	case 412, 501, 505, 506, 508, 510, 511:
		i.Retryable = false
	}
	if retryAfter != "" {
		if d, ok := ParseRetryAfter(retryAfter, time.Now()); ok {
			i.RetryAfter = d
		}
	}
	return i
}

// statusCodes are the digits of the numbers from 400 to 599, in a row.
var statusCodes = digitsOf(400, 600)

func digitsOf(from, to int) string {
	var digits []byte
	for n := from; n < to; n++ {
		digits = strconv.AppendInt(digits, int64(n), 10)
	}
	return string(digits)
}

// statusCode is strconv.Itoa that does not allocate for the statuses of failures.
func statusCode(status int) string {
	if status < 400 || status > 599 {
		return strconv.Itoa(status)
	}
	at := (status - 400) * 3
	return statusCodes[at : at+3]
}

func httpClass(status int) Class {
	switch status {
	case 401, 403, 407:
		return ClassUnauthorized
	case 404, 410:
		return ClassNotFound
	case 408, 504:
		return ClassTimeout
	case 412:
		return ClassConflict // A concurrent change came first (RFC 9110, 13.1.1).
	case 409, 423:
		return ClassInvalid // The state does not allow it; the same request again does not help.
	case 425, 502, 503:
		return ClassUnavailable
	case 429:
		return ClassThrottled
	case 501, 505, 506, 508, 510, 511:
		return ClassPermanent
	case 507:
		return ClassOverloaded
	}
	if status >= 500 {
		return ClassInternal
	}
	return ClassInvalid
}

// ClassifySQLState says what a five-character SQLSTATE means, by the code itself or
// by its class, the first two characters. Codes are those of PostgreSQL, which
// include the standard ones.
func ClassifySQLState(code string) Info {
	i := sqlClass(code).defaults()
	i.Code, i.Source = code, "sql"
	switch code {
	case "08001", "08004", "28P01", "53300", "57P03": // Refused while connecting.
		i.NotSent = true
	case "53100", "53400", "57P04", "XX001", "XX002": // Disk full and the like do not pass by themselves soon.
		i.Retryable = false
	}
	return i
}

func sqlClass(code string) Class {
	if len(code) != 5 {
		return ClassUnknown
	}
	switch code {
	case "40001", "40P01", "55006", "55P03", "72000":
		return ClassConflict
	case "HV00N", "25006":
		return ClassUnavailable
	case "P0002", "57P04":
		return ClassNotFound
	case "57014", "25P03", "25P04", "HYT00", "HYT01":
		return ClassTimeout
	case "42501":
		return ClassUnauthorized
	case "40002":
		return ClassInvalid
	case "70100", "HY008": // MySQL's killed query, ODBC's cancelled one.
		return ClassCanceled
	case "HY000":
		return ClassUnknown
	case "HY001", "HV001":
		return ClassOverloaded
	case "HYC00", "0A000":
		return ClassPermanent
	}
	return sqlStateClass(code[0], code[1])
}

// sqlStateClass knows the classes of ISO/IEC 9075-2, 24.1, and PostgreSQL's own.
func sqlStateClass(a, b byte) Class {
	switch string([]byte{a, b}) {
	case "08", "57":
		return ClassUnavailable
	case "02":
		return ClassNotFound
	case "40":
		return ClassConflict
	case "53":
		return ClassOverloaded
	case "28":
		return ClassUnauthorized
	case "58", "F0", "HV", "XX":
		return ClassInternal
	case "00", "01": // It did succeed.
		return ClassUnknown
	case "HY", "IM", "45", // A call of the driver, or what the application raised, was wrong.
		"03", "07", "09", "0A", "0B", "0D", "0E", "0F", "0K", "0L", "0M", "0N", "0P", "0S", "0T", "0U", "0V", "0W", "0X",
		"0Y", "0Z", "10", "20", "21", "22", "23", "24", "25", "26", "27", "2B", "2C", "2D", "2E", "2F", "2H", "30", "33",
		"34", "35", "36", "38", "39", "3B", "3C", "3D", "3F", "42", "44", "46", "54", "55", "P0":
		return ClassInvalid // A healthy server refused this statement, or what it calls did.
	}
	return ClassUnknown
}
