package vercelcdn_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// npmClient is a session of Vercel's own client; it prints what it was told.
const npmClient = `
import { put, head, list, del, copy } from '@vercel/blob'
const o = { access: 'public', addRandomSuffix: false, allowOverwrite: true, contentType: 'text/plain', cacheControlMaxAge: 3600 }
const say = v => console.log(JSON.stringify(v))
const a = await put('npm/a b+ü.txt', 'hello from npm', o)
say(a.pathname)
say((await head(a.url)).size)
const big = await put('npm/big.bin', Buffer.alloc(20 << 20, 'x'), { ...o, multipart: true })
say((await head(big.url)).size)
say((await copy(a.url, 'npm/copy.txt', o)).pathname)
say((await list({ prefix: 'npm/', limit: 1000 })).blobs.length)
await del([a.url, big.url])
say(await head(a.url).catch(e => e.name))
say(await put('npm/copy.txt', 'x', { ...o, allowOverwrite: false }).catch(e => e.message.includes('already exists')))
`

// TestOfficialClient lets Vercel's own client work with the server of these tests, which
// shows that it speaks the protocol, and compares what it sends with what we send.
func TestOfficialClient(t *testing.T) {
	dir := realtest.NPM(t, "@vercel/blob")
	s, ts := newServer(t)
	s.mu.Lock()
	s.page = 1000
	s.mu.Unlock()
	seen := map[string]map[string]string{} // by who and call
	who := "npm"
	s.setFault(func(_ http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) bool {
		h := map[string]string{}
		for k, v := range r.Header {
			if strings.HasPrefix(k, "X-") && !slices.Contains(varies, k) {
				h[k] = v[0]
			}
		}
		call := who + ": " + r.Method + " " + r.URL.Path + " " + r.Header.Get("X-Mpu-Action")
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := seen[call]; !ok {
			seen[call] = h
		}
		return false
	})
	cmd := exec.Command("node", "--input-type=module", "-e", npmClient)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "VERCEL_BLOB_API_URL="+ts.URL+"/api/blob", "VERCEL_BLOB_RETRIES=0", "BLOB_READ_WRITE_TOKEN="+testToken)
	out, err := cmd.Output()
	want := []any{"npm/a b+ü.txt", 14.0, float64(20 << 20), "npm/copy.txt", 3.0, "Error", true}
	var got []any
	for line := range strings.Lines(string(out)) {
		var v any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("the official client: %v, %v; want %v", got, err, want)
	}
	who = "ours"
	p := newProvider(t, ts)
	obj := cdn.Object{Key: "npm/a b+ü.txt", Size: 5, ContentType: "text/plain", CacheControl: "max-age=3600"}
	if _, err := p.Put(t.Context(), obj, strings.NewReader("hello")); err != nil {
		t.Fatal(err)
	}
	id, err := p.Begin(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	part, err := p.PutPart(t.Context(), obj, id, cdn.Part{Number: 1, Size: 5, Last: true}, bytes.NewReader([]byte("hello")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Complete(t.Context(), obj, id, []cdn.PartInfo{part}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Copy(t.Context(), cdn.Ref{Key: obj.Key}, cdn.Object{Key: "npm/c", ContentType: "text/plain", CacheControl: "max-age=3600"}); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context(), cdn.Ref{Key: obj.Key}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for call, ours := range seen {
		rest, ok := strings.CutPrefix(call, "ours: ")
		if !ok {
			continue
		}
		n++
		theirs := seen["npm: "+rest]
		for k, v := range theirs {
			if ours[k] != v {
				t.Errorf("%s: %s: %q; the official client sends %q", rest, k, ours[k], v)
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d calls compared", n)
	}
}

// varies are headers of which each request has its own value.
var varies = []string{"X-Api-Blob-Request-Id", "X-Content-Length", "X-Mpu-Upload-Id", "X-Mpu-Key"}
