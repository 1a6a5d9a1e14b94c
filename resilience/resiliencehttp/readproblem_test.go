package resiliencehttp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

func problemResponse(status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

func TestReadProblem(t *testing.T) {
	const kind = "application/problem+json"
	for _, c := range []struct {
		name   string
		resp   *http.Response
		want   resiliencehttp.Problem
		refuse bool
	}{
		{"whole", problemResponse(403, kind, `{"type":"https://x/y","title":"T","status":403,"detail":"D","instance":"/i","code":"c"}`),
			resiliencehttp.Problem{Type: "https://x/y", Title: "T", Status: 403, Detail: "D", Instance: "/i", Code: "c"}, false},
		{"charset and spaces", problemResponse(400, "Application/Problem+JSON; charset=utf-8", " {\n\"title\" : \"T\"} "), resiliencehttp.Problem{Title: "T", Status: 400}, false},
		{"empty object", problemResponse(500, kind, `{}`), resiliencehttp.Problem{Status: 500}, false},
		{"another status inside", problemResponse(404, kind, `{"status":200}`), resiliencehttp.Problem{Status: 404}, false},
		{"wrong types", problemResponse(400, kind, `{"title":7,"detail":null,"status":"x","code":{"a":1},"type":["x"]}`), resiliencehttp.Problem{Status: 400}, false},
		{"unknown members", problemResponse(400, kind, `{"balance":30,"Title":"no","title":"yes"}`), resiliencehttp.Problem{Title: "yes", Status: 400}, false},
		{"success", problemResponse(200, kind, `{}`), resiliencehttp.Problem{}, true},
		{"plain JSON", problemResponse(400, "application/json", `{"title":"T"}`), resiliencehttp.Problem{}, true},
		{"no type", problemResponse(400, "", `{}`), resiliencehttp.Problem{}, true},
		{"array", problemResponse(400, kind, `[]`), resiliencehttp.Problem{}, true},
		{"null", problemResponse(400, kind, `null`), resiliencehttp.Problem{}, true},
		{"two objects", problemResponse(400, kind, `{}{}`), resiliencehttp.Problem{}, true},
		{"cut off", problemResponse(400, kind, `{"title":"secret`), resiliencehttp.Problem{}, true},
		{"no body", &http.Response{StatusCode: 400, Header: http.Header{"Content-Type": {kind}}}, resiliencehttp.Problem{}, true},
		{"too long", problemResponse(400, kind, `{"title":"`+strings.Repeat("x", 64<<10)+`"}`), resiliencehttp.Problem{}, true},
	} {
		got, err := resiliencehttp.ReadProblem(c.resp)
		if got != c.want || c.refuse != errors.Is(err, resiliencehttp.ErrProblem) || c.refuse != (err != nil) {
			t.Errorf("%s: ReadProblem = %+v, %v; want %+v, refused: %v", c.name, got, err, c.want, c.refuse)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v shows the body", c.name, err)
		}
	}
	resp := problemResponse(503, kind, "")
	resp.Body = io.NopCloser(iotest.ErrReader(errReset))
	if _, err := resiliencehttp.ReadProblem(resp); !errors.Is(err, errReset) || errors.Is(err, resiliencehttp.ErrProblem) {
		t.Errorf("a body that breaks: %v; want its error", err)
	}
}

// endless is a body of which no more may be read than it says.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	n := min(len(p), e.left)
	if e.left -= n; n == 0 {
		return 0, errors.New("read too much")
	}
	for i := range n {
		p[i] = ' '
	}
	return n, nil
}

func TestReadProblemIsBounded(t *testing.T) {
	resp := problemResponse(400, "application/problem+json", "")
	resp.Body = io.NopCloser(&endless{left: 80 << 10})
	if _, err := resiliencehttp.ReadProblem(resp); !errors.Is(err, resiliencehttp.ErrProblem) {
		t.Errorf("ReadProblem of an endless body = %v; want ErrProblem", err)
	}
}

// FuzzReadProblem checks that whatever is taken is sent as the same problem again.
func FuzzReadProblem(f *testing.F) {
	f.Add(404, "application/problem+json", "1", []byte(`{"title":"Not Found","status":404}`))
	f.Add(503, "application/problem+json;charset=utf-8", "Wed, 21 Oct 2015 07:28:00 GMT", []byte(`{"detail":"\u0000\ud800","code":"c","status":1e999}`))
	f.Add(500, "application/problem+json", "-1", []byte(`{"title":{"a":[[[[]]]]},"type":"\\","instance":"a\"b"}`))
	f.Add(200, "text/html", "", []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, kind, retryAfter string, body []byte) {
		resp := problemResponse(status, kind, string(body))
		resp.Header.Set("Retry-After", retryAfter)
		p, err := resiliencehttp.ReadProblem(resp)
		if err != nil {
			if p != (resiliencehttp.Problem{}) {
				t.Fatalf("%+v beside %v", p, err)
			}
			return
		}
		if p.Status != status || status < 400 || status > 599 || p.RetryAfter < 0 || p.RetryAfter > 366*24*time.Hour {
			t.Fatalf("%+v of status %d", p, status)
		}
		w := httptest.NewRecorder()
		resiliencehttp.WriteProblem(w, p)
		again, err := resiliencehttp.ReadProblem(w.Result())
		p.RetryAfter = again.RetryAfter // It is rounded up.
		if p.Title == "" && p.Type == "" {
			p.Title = http.StatusText(status)
		}
		if err != nil || again != p {
			t.Fatalf("sent %+v; read %+v, %v", p, again, err)
		}
	})
}
