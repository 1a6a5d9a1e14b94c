package classify_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/perfblocks/perfblocks/resilience"
)

// statusError is what many clients make of a reply that is no success.
type statusError struct{ status int }

func (e *statusError) Error() string       { return "status " + strconv.Itoa(e.status) }
func (e *statusError) HTTPStatusCode() int { return e.status }

// statusRows are variants of one reply, by RFC 9110, 15, where no other is named.
func statusRows(t *testing.T) []row {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Path[1:])
		w.WriteHeader(n)
	}))
	t.Cleanup(s.Close)
	var rows []row
	for _, c := range []struct {
		status int
		ref    string
		class  resilience.Class
		flags  flags
	}{
		{400, "15.5.1", resilience.ClassInvalid, none},
		{401, "15.5.2", resilience.ClassUnauthorized, none},
		{403, "15.5.4", resilience.ClassUnauthorized, none},
		{404, "15.5.5", resilience.ClassNotFound, none},
		{410, "15.5.11", resilience.ClassNotFound, none},
		{412, "15.5.13: a concurrent change; the same request fails again", resilience.ClassConflict, none},
		{413, "15.5.14", resilience.ClassInvalid, none},
		{425, "RFC 8470, 5.2: not processed; a policy on early data, no failure", resilience.ClassUnavailable, retry | notSent},
		{429, "RFC 6585, 4", resilience.ClassThrottled, retry | counts},
		{500, "15.6.1", resilience.ClassInternal, retry | counts},
		{501, "15.6.2", resilience.ClassPermanent, none},
		{503, "15.6.4", resilience.ClassUnavailable, retry | counts},
		{504, "15.6.5", resilience.ClassTimeout, retry | counts},
		{505, "15.6.6", resilience.ClassPermanent, none},
		{511, "RFC 6585, 6", resilience.ClassPermanent, none},
	} {
		code := strconv.Itoa(c.status)
		rows = append(rows, row{"status " + code, "RFC 9110, " + c.ref, code, is(c.class, code, c.flags|variant), func(t *testing.T) error {
			resp := must[*http.Response](t)(s.Client().Get(s.URL + "/" + code))
			defer resp.Body.Close()
			return &statusError{resp.StatusCode}
		}})
	}
	return rows
}
