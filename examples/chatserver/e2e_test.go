package main

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/emulate"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// lockedBuffer is a buffer for logs.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func after(ms int) <-chan time.Time { return time.After(time.Duration(ms) * time.Millisecond) }

func TestSQLite(t *testing.T) { exercise(t, nil) }

func TestPostgres(t *testing.T) {
	exercise(t, map[string]string{"DATABASE_URL": realtest.Postgres(t)})
}

func TestRedis(t *testing.T) {
	env := map[string]string{"REDIS_URL": realtest.Redis(t)}
	exercise(t, env)
}

// TestTwoNodes runs two services over one database and one Redis: what is posted at
// one is seen at the other.
func TestTwoNodes(t *testing.T) {
	env := map[string]string{"REDIS_URL": realtest.Redis(t), "DATABASE_URL": realtest.Postgres(t)}
	a, b := start(t, env), start(t, env)
	_, conv := a.busiest()
	path := "/api/conversations/" + conv.ID + "/messages"
	for i := range 5 {
		var p page
		b.get(path+"?limit=5", 200, &p) // in the memory of b
		var m store.Message
		a.post(path, map[string]any{"content": strings.Repeat("x", i+1)}, 200, &m)
		eventually(t, "the other node sees the message", func() bool {
			b.get(path+"?limit=5", 200, &p)
			return p.Messages[0].ID == m.ID
		})
	}
}

// exercise uses each endpoint as a client would, on any database and second level.
func exercise(t *testing.T, env map[string]string) {
	s := start(t, env)
	t.Run("read", func(t *testing.T) { testRead(s) })
	t.Run("invalidation", func(t *testing.T) { testInvalidation(s) })
	t.Run("ask", func(t *testing.T) { testAsk(s) })
	t.Run("upload", func(t *testing.T) { testUpload(s) })
	t.Run("observe", func(t *testing.T) { testObserve(s) })
}

func testRead(s *service) {
	user, conv := s.busiest()
	var u profile
	s.get("/api/users/"+user, 200, &u)
	if u.ID != user || !strings.Contains(u.Email, "@") || len(u.Recent) == 0 {
		s.t.Errorf("user = %+v", u)
	}
	// Paging meets each message once.
	seen, next := map[string]bool{}, ""
	for {
		var p page
		s.get("/api/conversations/"+conv.ID+"/messages?limit=3&before="+next, 200, &p)
		for _, m := range p.Messages {
			if seen[m.ID] || m.ConversationID != conv.ID {
				s.t.Fatalf("message %+v twice or of another conversation", m)
			}
			seen[m.ID] = true
		}
		if next = p.Next; next == "" {
			break
		}
	}
	var all page
	s.get("/api/conversations/"+conv.ID+"/messages?limit=200", 200, &all)
	if len(seen) == 0 || len(seen) != len(all.Messages) && all.Next == "" {
		s.t.Errorf("paged through %d messages; want %d", len(seen), len(all.Messages))
	}
	word := all.Messages[0].Content[strings.LastIndex(all.Messages[0].Content, "word"):]
	var found struct{ Hits []store.Hit }
	s.get("/api/search?user="+user+"&q="+strings.ToUpper(strings.Fields(word)[0]), 200, &found)
	if !slices.ContainsFunc(found.Hits, func(h store.Hit) bool { return h.MessageID == all.Messages[0].ID }) {
		s.t.Errorf("search for %q did not find its message", word)
	}
	var use struct{ Days []store.UsageDay }
	s.get("/api/usage/daily?user="+user, 200, &use)
	if len(use.Days) == 0 {
		s.t.Error("no usage")
	}
	home := s.get("/?user="+user, 200, nil)
	for _, want := range []string{"<picture", "srcset=", conv.Title, "640w"} {
		if !strings.Contains(string(home.body), want) {
			s.t.Errorf("home page lacks %q", want)
		}
	}
}

// testInvalidation posts a message and expects every view that shows the old state
// to show the new one at the next read.
func testInvalidation(s *service) {
	user, conv := s.busiest()
	var before page
	var u profile
	s.get("/api/conversations/"+conv.ID+"/messages?limit=5", 200, &before) // cached now
	s.get("/api/users/"+user, 200, &u)
	for i := range 3 {
		text := strings.Repeat("xin chào ", i+1)
		var m store.Message
		s.post("/api/conversations/"+conv.ID+"/messages", map[string]any{"content": text}, 200, &m)
		var p page
		s.get("/api/conversations/"+conv.ID+"/messages?limit=5", 200, &p)
		if p.Messages[0].ID != m.ID || p.Messages[0].Content != text {
			s.t.Fatalf("page shows %+v; want the message just posted", p.Messages[0])
		}
		var list struct{ Conversations []store.Conversation }
		s.get("/api/conversations?user="+user, 200, &list)
		if c := list.Conversations[0]; c.ID != conv.ID || !strings.HasPrefix(c.LastMessage, strings.TrimSpace(text)) {
			s.t.Fatalf("list begins with %+v; want the conversation just posted to", c)
		}
		s.get("/api/users/"+user, 200, &u)
		if u.Recent[0].ID != conv.ID || !u.Recent[0].UpdatedAt.Equal(m.CreatedAt) {
			s.t.Fatalf("profile shows %+v; want the conversation just posted to", u.Recent[0])
		}
	}
	if !s.app.cfg.off["cache"] {
		testWhatStays(s, user, conv)
	}
}

// testWhatStays posts a message and expects what it does not change to be served from
// memory: the pages before the newest, and the user.
func testWhatStays(s *service, user string, conv store.Conversation) {
	pages := "/api/conversations/" + conv.ID + "/messages?limit=2"
	var newest, older page
	s.get(pages, 200, &newest)
	asked := func() (n int64) {
		s.get(pages+"&before="+newest.Next, 200, &older)
		s.get("/api/usage/daily?user="+user, 200, nil) // asks for the user
		for _, c := range s.app.store.Calls() {
			if c.Name == "page" || c.Name == "user" || c.Name == "conversation" {
				n += c.Queries
			}
		}
		return n
	}
	before := asked()
	s.post("/api/conversations/"+conv.ID+"/messages", map[string]any{"content": "one more"}, 200, nil)
	if after := asked(); after != before {
		s.t.Errorf("%d queries for what a message does not change", after-before)
	}
}

func testAsk(s *service) {
	user, conv := s.busiest()
	var before, now struct{ Days []store.UsageDay }
	s.get("/api/usage/daily?user="+user, 200, &before)
	var a answer
	s.post("/api/ask", map[string]string{"user": user, "conversation": conv.ID, "prompt": "what is a cache"}, 200, &a)
	if a.Degraded || !strings.Contains(a.Answer, "what is a cache") {
		s.t.Errorf("answer = %+v", a)
	}
	s.get("/api/usage/daily?user="+user, 200, &now)
	if now.Days[0].Model != "emulated-1" {
		s.t.Errorf("usage after the answer = %+v; want its model first", now.Days[0])
	}
	var p page
	s.get("/api/conversations/"+conv.ID+"/messages?limit=1", 200, &p)
	if p.Messages[0].Content != a.Answer || p.Messages[0].Role != "ASSISTANT" {
		s.t.Errorf("newest message = %+v; want the answer", p.Messages[0])
	}
	other := s.app.busiest[1]
	s.post("/api/ask", map[string]string{"user": other, "conversation": conv.ID, "prompt": "x"}, 404, nil)
}

func testUpload(s *service) {
	up := s.upload("jon tyson.jpg", photo(s.t, "jon-tyson.jpg"), 200)
	if up.Fallback || up.Width != 2560 || len(up.Variants) != 4 || up.Placeholder == "" || up.SavedPercent < 50 {
		s.t.Errorf("upload = %+v", up)
	}
	for _, v := range up.Variants {
		s.fetch(v)
		if !strings.Contains(up.SrcSet, v.URL) {
			s.t.Errorf("srcset lacks %s", v.URL)
		}
	}
	// The optimiser serves the upload in other sizes.
	r := s.get("/img/?url="+up.Key+"&w=384&q=80", 200, nil)
	if c, _, err := image.DecodeConfig(bytes.NewReader(r.body)); err != nil || c.Width != 384 {
		s.t.Errorf("optimised upload: %v, %v", c, err)
	}
	// A message can show it.
	_, conv := s.busiest()
	var m store.Message
	s.post("/api/conversations/"+conv.ID+"/messages", map[string]any{"content": "look", "attachment": map[string]any{"kind": "image", "url": up.URL, "bytes": up.Bytes}}, 200, &m)
	var p page
	s.get("/api/conversations/"+conv.ID+"/messages?limit=1", 200, &p)
	if len(p.Messages[0].Attachments) != 1 || p.Messages[0].Attachments[0].URL != up.URL {
		s.t.Errorf("message = %+v; want the attachment", p.Messages[0])
	}
}

// fetch reads a variant and checks it against what the reply said.
func (s *service) fetch(v variant) []byte {
	s.t.Helper()
	r := s.get(s.absolute(v.URL), 200, nil)
	c, _, err := image.DecodeConfig(bytes.NewReader(r.body))
	if err != nil || c.Width != v.Width || c.Height != v.Height || int64(len(r.body)) != v.Bytes {
		s.t.Errorf("variant %+v is %v, %d bytes, %v", v, c, len(r.body), err)
	}
	return r.body
}

// TestFallback cuts the CDN, uploads, and expects the files here; then at the CDN,
// under the same addresses.
func TestFallback(t *testing.T) {
	s := start(t, nil)
	s.app.emulatedObjects.Force(emulate.Phase{Down: true})
	up := s.upload("a.jpg", photo(t, "fatih.jpg"), 200)
	if !up.Fallback || up.Cause == "" {
		t.Fatalf("upload with the CDN down = %+v; want a fallback", up)
	}
	files := map[string][]byte{}
	for _, v := range up.Variants {
		if !v.Fallback || !strings.HasPrefix(v.URL, "/files/") {
			t.Errorf("variant = %+v; want it served from /files/", v)
		}
		files[v.URL] = s.fetch(v)
	}
	var snap snapshot
	s.get("/debug/performance", 200, &snap)
	if snap.CDN.Fallback != uint64(len(up.Variants)) || snap.CDN.Pending != len(up.Variants) {
		t.Errorf("figures = %+v; want %d fallbacks, all pending", snap.CDN, len(up.Variants))
	}
	s.app.emulatedObjects.Force(emulate.Phase{})
	eventually(t, "the uploads are promoted", func() bool { return s.app.uploader.Stats().Pending == 0 })
	for u, want := range files {
		r := s.get(u, 200, nil)
		if !bytes.Equal(r.body, want) {
			t.Errorf("%s changed by its promotion", u)
		}
		if !strings.HasPrefix(r.Request.URL.Path, "/"+emulate.Bucket+"/") && !strings.HasPrefix(r.Request.URL.Path, "/files/") {
			t.Errorf("%s is served from %s", u, r.Request.URL)
		}
	}
}

func TestUpstreamDown(t *testing.T) {
	s := start(t, nil)
	user, _ := s.busiest()
	s.app.emulatedAI.Force(emulate.Phase{Down: true})
	for range 15 {
		var a answer
		s.post("/api/ask", map[string]string{"user": user, "prompt": "hello"}, 200, &a)
		if !a.Degraded || a.Answer == "" {
			t.Fatalf("answer with the model down = %+v; want a degraded one", a)
		}
	}
	var snap snapshot
	s.get("/debug/performance", 200, &snap)
	ai := snap.Resilience.Upstreams[0]
	if ai.Name != "ai" || ai.Breaker == "closed" || ai.Rejected == 0 || snap.Resilience.Degraded != 15 {
		t.Errorf("figures = %+v; want an open breaker and 15 degraded answers", snap.Resilience)
	}
	if m := string(s.get("/metrics", 200, nil).body); !strings.Contains(m, "chat_degraded_answers_total 15") {
		t.Error("metrics lack the degraded answers")
	}
	s.app.emulatedAI.Force(emulate.Phase{})
	eventually(t, "the breaker closes", func() bool {
		var a answer
		s.post("/api/ask", map[string]string{"user": user, "prompt": "hello"}, 200, &a)
		return !a.Degraded
	})
}

func testObserve(s *service) {
	s.get("/healthz", 200, nil)
	s.get("/debug/vars", 200, &map[string]any{})
	metrics := string(s.get("/metrics", 200, nil).body)
	checkPrometheus(s.t, metrics)
	for _, family := range []string{"cache_", "memory_", "cdn_", "imageopt_", "resilience_", "chat_requests_total"} {
		if !strings.Contains(metrics, "\n"+family) {
			s.t.Errorf("metrics lack %s…", family)
		}
	}
	html := s.do("GET", "/debug/performance", "", nil, "Accept", "text/html")
	if !strings.Contains(string(html.body), `data-v="hit"`) || !strings.Contains(header(html, "Content-Type"), "text/html") {
		s.t.Errorf("page = %s %.80s", header(html, "Content-Type"), html.body)
	}
	var snap, alias snapshot
	s.get("/debug/performance", 200, &snap)
	s.get("/api/debug/performance", 200, &alias)
	if snap.Requests.Total == 0 || snap.Cache.HitRate <= 0 || snap.Database.Queries == 0 || snap.Images.Made == 0 || len(snap.Database.Indexes) == 0 || alias.Requests.Total < snap.Requests.Total {
		s.t.Errorf("snapshot = %+v", snap)
	}
	for _, refused := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}, {"X-Forwarded-For", "203.0.113.9"}, {"Host", "evil.example"},
	} {
		s.check(s.do("DELETE", "/debug/performance", "", nil, refused...), 403, nil)
	}
	s.check(s.do("DELETE", "/debug/performance", "", nil), 204, nil)
	s.get("/debug/performance", 200, &snap)
	if snap.Requests.Total != 0 || snap.Cache.HitRate != 0 || snap.Database.Queries > 10 || snap.Images.Made != 0 {
		s.t.Errorf("snapshot after DELETE = %+v; want zeros", snap)
	}
	if again := string(s.get("/metrics", 200, nil).body); strings.Contains(again, `chat_db_queries_total{statement="page"} 0`+"\n") {
		s.t.Error("DELETE reset a Prometheus counter")
	}
}

func TestResetByToken(t *testing.T) {
	s := start(t, map[string]string{"DEBUG_TOKEN": "sesame"})
	for token, want := range map[string]int{"Bearer sesame": 204, "Bearer wrong": 403, "": 403} {
		r := s.do("DELETE", "/debug/performance", "", nil, "X-Forwarded-For", "203.0.113.9", "Authorization", token)
		s.check(r, want, nil)
	}
}

// TestOff runs the service with each block, and all, passing through.
func TestOff(t *testing.T) {
	small := &bytes.Buffer{}
	if err := jpeg.Encode(small, image.NewGray(image.Rect(0, 0, 800, 600)), nil); err != nil {
		t.Fatal(err)
	}
	for _, off := range append(slices.Clone(blocks), strings.Join(blocks, ",")) {
		t.Run(off, func(t *testing.T) {
			s := start(t, nil, "-off", off)
			testRead(s)
			testInvalidation(s)
			user, _ := s.busiest()
			s.post("/api/ask", map[string]string{"user": user, "prompt": "x"}, 200, nil)
			s.upload("a.jpg", small.Bytes(), 200)
			var snap snapshot
			s.get("/debug/performance", 200, &snap)
			if strings.Join(snap.Off, ",") != off {
				t.Errorf("off = %v; want %s", snap.Off, off)
			}
			if strings.Contains(off, "cache") && snap.Cache.HitRate != 0 {
				t.Errorf("hit rate %v with the cache off", snap.Cache.HitRate)
			}
			s.app.emulatedObjects.Force(emulate.Phase{Down: true})
			if want := map[bool]int{true: 503, false: 200}[strings.Contains(off, "cdn")]; true {
				s.upload("b.jpg", photo(t, "jon-tyson.jpg"), want)
			}
		})
	}
}

func TestRistretto(t *testing.T) {
	s := start(t, nil, "-engine", "ristretto")
	testRead(s)
	testInvalidation(s)
}

func TestNothingLeftBehind(t *testing.T) {
	cfg, err := readConfig([]string{"-users=20"}, func(string) string { return "" }, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a, err := newApp(ctx, cfg, t.TempDir(), &bytes.Buffer{}); err == nil {
		a.Close(t.Context())
		t.Error("newApp with an ended context succeeded")
	}
}
