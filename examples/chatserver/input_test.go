package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
)

// TestBadInput sends what must not work, and expects a problem and a service that
// goes on.
func TestBadInput(t *testing.T) {
	s := start(t, nil)
	user, conv := s.busiest()
	messages := "/api/conversations/" + conv.ID + "/messages"
	for _, c := range []struct {
		method, path, contentType, body string
		want                            int
	}{
		{"GET", "/api/users/nobody", "", "", 404},
		{"GET", "/api/users/" + strings.Repeat("x", 5000), "", "", 404},
		{"GET", "/api/users/a%00b", "", "", 404},
		{"GET", "/api/users/%27%20OR%201=1", "", "", 404},
		{"GET", "/api/conversations", "", "", 400},
		{"GET", "/api/conversations?user=nobody", "", "", 404},
		{"GET", "/api/conversations/none/messages", "", "", 404},
		{"GET", messages + "?limit=0", "", "", 400},
		{"GET", messages + "?limit=999999999999", "", "", 400},
		{"GET", messages + "?before=%00", "", "", 400},
		{"GET", messages + "?before=MTIzLg", "", "", 400},
		{"GET", "/api/search?user=" + user + "&q=x", "", "", 400},
		{"GET", "/api/search?user=" + user + "&q=" + strings.Repeat("y", 200), "", "", 400},
		{"GET", "/api/search?user=" + user + "&q=ab%00c", "", "", 400},
		{"GET", "/api/search?user=" + user + "&q=%ff%fe%fd", "", "", 400},
		{"GET", "/api/usage/daily?user=" + strings.Repeat("z", 100), "", "", 404},
		{"POST", messages, "application/json", "{", 400},
		{"POST", messages, "application/json", `{"content":"a"}{}`, 400},
		{"POST", messages, "application/json", `{"content":"a","admin":true}`, 400},
		{"POST", messages, "application/json", `{"content":""}`, 400},
		{"POST", messages, "application/json", `{"content":"a\u0000b"}`, 400},
		{"POST", messages, "application/json", `{"content":"` + strings.Repeat("a", 9000) + `"}`, 400},
		{"POST", messages, "application/json", `{"content":"` + strings.Repeat("a", 100000) + `"}`, 413},
		{"POST", messages, "text/plain", `{"content":"a"}`, 415},
		{"POST", messages, "application/json", `{"content":"a","attachment":{"kind":"image","url":"javascript:alert(1)","bytes":1}}`, 400},
		{"POST", "/api/conversations/none/messages", "application/json", `{"content":"a"}`, 404},
		{"POST", "/api/ask", "application/json", `{"user":"` + user + `","prompt":""}`, 400},
		{"POST", "/api/ask", "application/json", `{"user":"nobody","prompt":"x"}`, 404},
		{"POST", "/api/ask", "application/json", `{"user":"` + user + `","conversation":"none","prompt":"x"}`, 404},
		{"POST", "/api/upload", "application/json", `{}`, 415},
		{"POST", "/api/upload", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\nabc", 400},
		{"POST", "/api/upload", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nabc\r\n--x--\r\n", 400},
		{"GET", "/nothing/here", "", "", 404},
		{"PUT", "/api/upload", "", "", 404},
		{"GET", "/img/?url=photos/fatih.jpg&w=321&q=80", "", "", 400},
	} {
		r := s.do(c.method, c.path, c.contentType, strings.NewReader(c.body))
		if r.StatusCode == 405 && c.want == 404 {
			continue
		}
		s.check(r, c.want, nil)
	}
	for _, path := range []string{"/files/../chat.db", "/files/%2e%2e/chat.db", "/files/..%2fchat.db", "/files/x%00", "/web/home.html", "/web/../main.go",
		"/img/?url=../go.mod&w=320&q=80", "/img/?url=uploads/../../x&w=320&q=80", "/img/?url=http://127.0.0.1/x&w=320&q=80"} {
		if r := s.do("GET", path, "", nil); r.StatusCode < 400 || r.StatusCode >= 500 {
			t.Errorf("GET %s = %d; want 4xx", path, r.StatusCode)
		}
	}
	s.check(s.do("POST", messages, "application/json", strings.NewReader(`{"content":"a"}`), "Origin", "https://evil.example"), 403, nil)
	s.get("/healthz", 200, nil)
	if logs := s.logs.String(); strings.Contains(logs, "panic") {
		t.Errorf("a panic was logged: %s", logs)
	}
}

func TestBadImages(t *testing.T) {
	s := start(t, nil)
	jpg := photo(t, "jon-tyson.jpg")
	for name, c := range map[string]struct {
		data []byte
		want int
	}{
		"text.jpg":       {[]byte("not an image"), 415},
		"empty.jpg":      {nil, 422},
		"cut.jpg":        {jpg[:len(jpg)/2], 422},
		"huge.png":       {hugePNG(20000, 14000), 413},
		"svg.svg":        {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), 415},
		"page.jpg":       {[]byte("<html><script>alert(1)</script>"), 415},
		"twelve-mib.jpg": {append(bytes.Clone(jpg), make([]byte, maxUpload)...), 413},
	} {
		contentType, body := form(t, "file", name, c.data)
		r := s.do("POST", "/api/upload", contentType, body)
		if r.StatusCode != c.want && !(name == "empty.jpg" && r.StatusCode == 415) {
			t.Errorf("%s = %d; want %d: %s", name, r.StatusCode, c.want, r.body)
		}
	}
	// A name is a label only.
	up := s.upload("../../etc/passwd.jpg", jpg, 200)
	if strings.Contains(up.Key, "..") || !strings.HasPrefix(up.Key, "uploads/") {
		t.Errorf("key = %q", up.Key)
	}
	if n := s.app.images.Stats().Memory; n != 0 {
		t.Errorf("%d bytes still booked", n)
	}
	if n := s.app.uploads.Stats().InUse; n != 0 {
		t.Errorf("%d bytes of the upload semaphore still held", n)
	}
}

// hugePNG is a PNG that says it has that size, with next to no pixels.
func hugePNG(w, h uint32) []byte {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	b := []byte("\x89PNG\r\n\x1a\n")
	for _, chunk := range []struct {
		name string
		data []byte
	}{{"IHDR", append(header, 8, 2, 0, 0, 0)}, {"IDAT", make([]byte, 100)}, {"IEND", nil}} {
		body := append([]byte(chunk.name), chunk.data...)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(chunk.data))), body...)
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(body))
	}
	return b
}

// TestSlowClient sends half a body and stops: nothing may stay held when it leaves.
func TestSlowClient(t *testing.T) {
	s := start(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n--x\r\n")
	eventually(t, "the upload is let in", func() bool { return s.app.uploads.Stats().InUse > 0 })
	conn.Close()
	eventually(t, "the upload is let go", func() bool { return s.app.uploads.Stats().InUse == 0 })
}

var (
	metricLine = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-zA-Z_][a-zA-Z0-9_]*="(\\.|[^"\\])*"(,[a-zA-Z_][a-zA-Z0-9_]*="(\\.|[^"\\])*")*\})? (NaN|[+-]Inf|[-+0-9.eE]+)$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)$`)
)

// checkPrometheus checks the text format: each family once, under its type, no
// series twice.
func checkPrometheus(t *testing.T, text string) {
	t.Helper()
	families, series, family := map[string]bool{}, map[string]bool{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := typeLine.FindStringSubmatch(line); m != nil {
			family = m[1]
			if families[family] {
				t.Errorf("family %s twice", family)
			}
			families[family] = true
			continue
		}
		if !metricLine.MatchString(line) || !strings.HasPrefix(line, family) {
			t.Errorf("bad line %q in family %s", line, family)
		}
		name := line[:strings.LastIndexByte(line, ' ')]
		if series[name] {
			t.Errorf("series %s twice", name)
		}
		series[name] = true
	}
	if len(families) < 20 {
		t.Errorf("only %d families", len(families))
	}
}
