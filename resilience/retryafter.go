package resilience

import (
	"strings"
	"time"
)

// maxParsedRetryAfter bounds what ParseRetryAfter returns.
const maxParsedRetryAfter = 365 * 24 * time.Hour

// ParseRetryAfter reads the value of a Retry-After header (RFC 9110, 10.2.3): a
// number of seconds, or an HTTP date in any of its three forms, taken as the time
// from now. A date in the past gives 0. More than a year gives a year. Anything
// else, a sign or a fraction included, is not ok.
func ParseRetryAfter(value string, now time.Time) (d time.Duration, ok bool) {
	value = strings.Trim(value, " \t")
	if value == "" {
		return 0, false
	}
	if value[0] >= '0' && value[0] <= '9' {
		return parseSeconds(value)
	}
	for _, layout := range [...]string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, value); err == nil {
			return min(max(0, t.Sub(now)), maxParsedRetryAfter), true
		}
	}
	return 0, false
}

func parseSeconds(digits string) (time.Duration, bool) {
	const most = int64(maxParsedRetryAfter / time.Second)
	var n int64
	for i := range len(digits) {
		c := digits[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(most, n*10+int64(c-'0'))
	}
	return time.Duration(n) * time.Second, true
}
