package resilience

import (
	"strconv"
	"strings"
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
	i.HTTPStatus, i.Source, i.Code = status, "http", strconv.Itoa(status)
	switch status {
	case 425: // Too Early: the server refused to process it yet (RFC 8470).
		i.NotSent, i.Counts = true, false
	case 501, 505, 506, 508, 510, 511:
		i.Retryable = false
	}
	if retryAfter != "" {
		if d, ok := ParseRetryAfter(retryAfter, time.Now()); ok {
			i.RetryAfter = d
		}
	}
	return i
}

func httpClass(status int) Class {
	switch status {
	case 401, 403, 407, 511:
		return ClassUnauthorized
	case 404, 410:
		return ClassNotFound
	case 408, 504:
		return ClassTimeout
	case 409, 412, 423:
		return ClassInvalid // The state does not allow it; the same request again does not help.
	case 425, 502, 503:
		return ClassUnavailable
	case 429:
		return ClassThrottled
	case 501, 505, 506, 508, 510:
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
	case "08001", "08004", "53300", "57P03": // Refused while connecting.
		i.NotSent = true
	case "57014": // Cancelled by us or by statement_timeout; which one is not told.
		i.Retryable = false
	case "53100", "53400": // Disk full and the like do not pass by themselves soon.
		i.Retryable = false
	}
	return i
}

func sqlClass(code string) Class {
	switch code {
	case "40001", "40P01", "55006", "55P03", "72000":
		return ClassConflict
	case "HV00N":
		return ClassUnavailable
	case "P0002":
		return ClassNotFound
	case "57P01", "57P02", "57P03", "57P05", "25006":
		return ClassUnavailable
	case "57014", "25P03", "25P04":
		return ClassTimeout
	case "42501":
		return ClassUnauthorized
	}
	if len(code) != 5 {
		return ClassUnknown
	}
	switch code[:2] {
	case "08":
		return ClassUnavailable
	case "02":
		return ClassNotFound
	case "40":
		return ClassConflict
	case "53":
		return ClassOverloaded
	case "28":
		return ClassUnauthorized
	case "03", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "20", "21", "22", "23", "24", "25", "26", "27", "2B",
		"2D", "2F", "34", "38", "39", "3B", "3D", "3F", "42", "44", "54", "55", "P0":
		return ClassInvalid // A healthy server refused this statement, or what it calls did.
	case "58", "F0", "HV", "XX":
		return ClassInternal
	}
	return ClassUnknown
}

// classifyAPICode knows the error codes of AWS and of services that copy them.
func classifyAPICode(code string) Info {
	c := ClassUnknown
	switch code {
	case "SlowDown", "RequestLimitExceeded", "ProvisionedThroughputExceededException", "BandwidthLimitExceeded",
		"TooManyRequestsException", "PriorRequestNotComplete", "LimitExceededException", "RequestThrottled",
		"RequestThrottledException", "EC2ThrottledException", "TransactionInProgressException":
		c = ClassThrottled
	case "RequestTimeout", "RequestTimeoutException":
		c = ClassTimeout
	case "InternalError", "InternalFailure", "InternalServerError":
		c = ClassInternal
	case "ServiceUnavailable", "ServiceUnavailableException":
		c = ClassUnavailable
	case "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId",
		"SignatureDoesNotMatch", "UnauthorizedOperation", "UnrecognizedClientException", "RequestTimeTooSkewed":
		c = ClassUnauthorized
	case "NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NotFound", "ResourceNotFoundException":
		c = ClassNotFound
	default:
		if strings.HasPrefix(code, "Throttl") { // Throttling, ThrottlingException, ThrottledException
			c = ClassThrottled
		}
	}
	i := c.defaults()
	i.Code, i.Source = code, "api"
	return i
}

// classifyRedis knows the error prefixes of Redis.
func classifyRedis(text string) Info {
	prefix, _, _ := strings.Cut(text, " ")
	c, sent := ClassUnknown, true
	switch prefix {
	case "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY":
		c, sent = ClassUnavailable, false // Refused before execution.
	case "BUSY", "OOM":
		c, sent = ClassOverloaded, false
	case "NOAUTH", "WRONGPASS", "NOPERM":
		c = ClassUnauthorized
	case "WRONGTYPE", "EXECABORT", "NOSCRIPT":
		c = ClassInvalid
	case "redis:":
		if text == "redis: nil" {
			c, prefix = ClassNotFound, "nil"
		}
	}
	i := c.defaults()
	i.Code, i.Source, i.NotSent = prefix, "redis", !sent
	return i
}
