package emulate

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestScriptCycles(t *testing.T) {
	s := Script{{For: 10 * time.Second}, {For: 5 * time.Second, Down: true}}
	for elapsed, down := range map[time.Duration]bool{0: false, 9 * time.Second: false, 10 * time.Second: true, 14 * time.Second: true, 15 * time.Second: false, 26 * time.Second: true} {
		if got := s.at(elapsed).Down; got != down {
			t.Errorf("at %v: down %v; want %v", elapsed, got, down)
		}
	}
	if (Script{}).at(time.Hour) != (Phase{}) {
		t.Error("the empty script is not healthy")
	}
}

func do(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestObjects(t *testing.T) {
	o := NewObjects(t.TempDir(), nil)
	auth := []string{"Authorization", "AWS4-HMAC-SHA256 Credential=" + AccessKey + "/x"}
	put := func(body string, header ...string) int {
		return do(o, "PUT", "/chat/a/b%20c.txt", body, append(header, auth...)...).Code
	}
	if got := put("hello", "X-Amz-Checksum-Crc32c", checksum([]byte("other"))); got != http.StatusBadRequest {
		t.Errorf("PUT with a wrong checksum = %d; want 400", got)
	}
	if got := do(o, "PUT", "/chat/k", "x").Code; got != http.StatusForbidden {
		t.Errorf("PUT without credentials = %d; want 403", got)
	}
	if got := put("hello", "Content-Type", "text/x-a", "X-Amz-Checksum-Crc32c", checksum([]byte("hello"))); got != http.StatusOK {
		t.Errorf("PUT = %d; want 200", got)
	}
	if got := put("again", "If-None-Match", "*"); got != http.StatusPreconditionFailed {
		t.Errorf("create-only PUT = %d; want 412", got)
	}
	w := do(o, "GET", "/chat/a/b%20c.txt", "", "Range", "bytes=1-2")
	if w.Code != http.StatusPartialContent || w.Body.String() != "el" || w.Header().Get("Content-Type") != "text/x-a" {
		t.Errorf("GET range = %d %q %v", w.Code, w.Body, w.Header())
	}
	o.Force(Phase{Down: true})
	if got := do(o, "GET", "/chat/a/b%20c.txt", "").Code; got != http.StatusServiceUnavailable {
		t.Errorf("GET while down = %d; want 503", got)
	}
	o.Release()
	do(o, "DELETE", "/chat/a/b%20c.txt", "", auth...)
	if got := do(o, "GET", "/chat/a/b%20c.txt", "").Code; got != http.StatusNotFound {
		t.Errorf("GET after DELETE = %d; want 404", got)
	}
}

func TestAI(t *testing.T) {
	a := NewAI(nil)
	if w := do(a, "POST", "/v1/answers", `{"prompt":"what is an index"}`); w.Code != 200 || !strings.Contains(w.Body.String(), "what is an index") {
		t.Errorf("answer = %d %s", w.Code, w.Body)
	}
	if w := do(a, "POST", "/v1/answers", `{}`); w.Code != 400 {
		t.Errorf("no prompt = %d; want 400", w.Code)
	}
	a.Force(Phase{Down: true})
	if w := do(a, "POST", "/v1/answers", `{"prompt":"x"}`); w.Code != 503 {
		t.Errorf("while down = %d; want 503", w.Code)
	}
}
