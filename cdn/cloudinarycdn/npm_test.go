package cloudinarycdn_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/internal/realtest"
)

// npmClient is a session of Cloudinary's own client; it prints what it was told.
const npmClient = `
const fs = require('fs')
const c = require('cloudinary').v2
const say = v => console.log(JSON.stringify(v))
const up = (file, o) => c.uploader.upload(file, o)
;(async () => {
  fs.writeFileSync(process.env.TMP_DIR + '/a.png', Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(100)]))
  fs.writeFileSync(process.env.TMP_DIR + '/big.bin', Buffer.alloc(13 << 20, 'x'))
  const a = await up(process.env.TMP_DIR + '/a.png', { public_id: 'npm/a.png', context: { alt: 'a=b|c' } })
  say([a.public_id, a.resource_type, a.bytes])
  const u = await c.uploader.unsigned_upload(process.env.TMP_DIR + '/a.png', 'open_preset', { public_id: 'npm/unsigned.png' })
  say(u.public_id)
  const big = await new Promise((ok, no) => c.uploader.upload_large(process.env.TMP_DIR + '/big.bin',
    { public_id: 'npm/big.bin', resource_type: 'raw', chunk_size: 6000000 }, (e, r) => e ? no(e) : ok(r)))
  say([big.public_id, big.bytes])
  say((await c.uploader.destroy('npm/a.png')).result)
  say((await c.uploader.destroy('npm/never.png')).result)
})().catch(e => say(e))
`

// TestOfficialClient lets Cloudinary's own client work with the server of these tests,
// which checks its signatures: so the server speaks the protocol that our client is
// tested with.
func TestOfficialClient(t *testing.T) {
	dir := realtest.NPM(t, "cloudinary")
	s, ts := newServer(t)
	s.mu.Lock()
	s.chunked = true
	s.mu.Unlock()
	cmd := exec.Command("node", "-e", npmClient)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "TMP_DIR="+t.TempDir(), // the prefix is read when the module is loaded, or never
		"CLOUDINARY_URL=cloudinary://"+testKey+":"+testSecret+"@"+testCloud+"?upload_prefix="+ts.URL)
	out, err := cmd.Output()
	var got []string
	for line := range strings.Lines(string(out)) {
		var v json.RawMessage
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		got = append(got, string(v))
	}
	want := []string{`["npm/a.png","image",108]`, `"npm/unsigned.png"`, `["npm/big.bin",13631488]`, `"ok"`, `"not found"`}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("the official client: %q, %v; want %q", got, err, want)
	}
}
