package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/emulate"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
)

// TestMain runs the program instead of the tests when a test started it for that.
func TestMain(m *testing.M) {
	if os.Getenv("CHATSERVER_TEST_MAIN") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// service is a running service and a client of it.
type service struct {
	t    *testing.T
	app  *app
	url  string
	logs *lockedBuffer
}

// start runs the service with healthy upstreams until the test ends.
func start(t *testing.T, env map[string]string, args ...string) *service {
	t.Helper()
	cfg, err := readConfig(append([]string{"-demo=false", "-users=60"}, args...), func(k string) string { return env[k] }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, logs: &lockedBuffer{}}
	if s.app, err = newApp(t.Context(), cfg, t.TempDir(), s.logs); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.app.Handler())
	s.url = srv.URL
	s.app.emulatedAI.Force(emulate.Phase{})
	if s.app.emulatedObjects != nil {
		s.app.emulatedObjects.Force(emulate.Phase{})
	}
	s.app.Start(s.url)
	t.Cleanup(func() {
		s.app.Stop()
		srv.Close()
		if err := s.app.Close(t.Context()); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return s
}

// response is an answer, read to its end.
type response struct {
	*http.Response
	body []byte
}

func (s *service) do(method, path, contentType string, body io.Reader, header ...string) response {
	s.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = s.url + path
	}
	req, err := http.NewRequest(method, path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response{res, b}
}

// get expects a status and, for 200, decodes JSON into v if v is not nil.
func (s *service) get(path string, want int, v any) response {
	s.t.Helper()
	return s.check(s.do("GET", path, "", nil), want, v)
}

// post sends v as JSON.
func (s *service) post(path string, in any, want int, out any) response {
	s.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.check(s.do("POST", path, "application/json", bytes.NewReader(b)), want, out)
}

// check compares the status; an error must be a problem that says something.
func (s *service) check(r response, want int, v any) response {
	s.t.Helper()
	if r.StatusCode != want {
		s.t.Fatalf("%s %s = %d; want %d: %.300s", r.Request.Method, r.Request.URL.Path, r.StatusCode, want, r.body)
	}
	if want >= 400 && r.Request.Method != http.MethodHead {
		var p struct {
			Title, Detail string
			Status        int
		}
		if r.Header.Get("Content-Type") != "application/problem+json" || json.Unmarshal(r.body, &p) != nil || p.Status != want || p.Title == "" {
			s.t.Errorf("%s %s: not a problem: %s %.300s", r.Request.Method, r.Request.URL.Path, r.Header.Get("Content-Type"), r.body)
		}
	}
	if v != nil {
		if err := json.Unmarshal(r.body, v); err != nil {
			s.t.Fatalf("%s: %v: %.300s", r.Request.URL.Path, err, r.body)
		}
	}
	return r
}

// upload posts a file.
func (s *service) upload(name string, data []byte, want int) (up uploaded) {
	s.t.Helper()
	contentType, body := form(s.t, "file", name, data)
	var v any
	if want == http.StatusOK {
		v = &up
	}
	s.check(s.do("POST", "/api/upload", contentType, body), want, v)
	return up
}

func form(t *testing.T, field, name string, data []byte) (contentType string, body *bytes.Buffer) {
	t.Helper()
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	part, err := w.CreateFormFile(field, name)
	if err == nil {
		_, err = part.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), body
}

// busiest returns a user and one of the user's conversations.
func (s *service) busiest() (user string, conv store.Conversation) {
	s.t.Helper()
	user = s.app.busiest[0]
	var list struct{ Conversations []store.Conversation }
	s.get("/api/conversations?user="+user, 200, &list)
	if len(list.Conversations) == 0 {
		s.t.Fatal("the busiest user has no conversations")
	}
	return user, list.Conversations[len(list.Conversations)-1]
}

func photo(t *testing.T, name string) []byte {
	t.Helper()
	b, err := photoFiles.ReadFile("photos/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// absolute makes the path of a file served here an address.
func (s *service) absolute(u string) string {
	if strings.HasPrefix(u, "/") {
		return s.url + u
	}
	return u
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 400 {
		if ok() {
			return
		}
		<-after(25)
	}
	t.Fatal("not within 10 s: " + what)
}

func header(r response, name string) string { return fmt.Sprint(r.Header.Get(name)) }
