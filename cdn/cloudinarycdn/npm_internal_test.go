package cloudinarycdn

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// npmOracle answers for Cloudinary's own client: one line of JSON for each line.
const npmOracle = `
const c = require('cloudinary').v2
require('readline').createInterface({input: process.stdin}).on('line', l => {
  const q = JSON.parse(l)
  if (q.params) { console.log(JSON.stringify(c.utils.api_sign_request(q.params, q.secret))); return }
  c.config({cloud_name: 'demo', api_key: '1', api_secret: 'abcd', secure: true, urlAnalytics: false, analytics: false})
  console.log(JSON.stringify(c.url(q.id, q.options)))
})`

// askNPM runs the official client over the questions.
func askNPM(t *testing.T, questions []any) []string {
	t.Helper()
	dir := realtest.NPM(t, "cloudinary")
	var in, out bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, q := range questions {
		if err := enc.Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("node", "-e", npmOracle)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, &in, &out, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	var answers []string
	for line := range strings.Lines(out.String()) {
		var s string
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, s)
	}
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(answers), len(questions))
	}
	return answers
}

// TestSignParamsNPM signs 10,000 random sets of parameters as the official client does.
func TestSignParamsNPM(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	letters := []rune("abcXYZ019_-=&%|,./ +ü日\"\\<>#?")
	word := func(n int) string {
		var b strings.Builder
		for range rng.IntN(n) {
			b.WriteRune(letters[rng.IntN(len(letters))])
		}
		return b.String()
	}
	names := []string{"public_id", "timestamp", "eager", "tags", "context", "folder", "overwrite", "invalidate", "type", "transformation", "format"}
	var questions []any
	var sets []map[string]string
	for range 10_000 {
		m := map[string]string{}
		for range 1 + rng.IntN(6) {
			m[names[rng.IntN(len(names))]] = word(20)
		}
		sets = append(sets, m)
		questions = append(questions, map[string]any{"params": m, "secret": "s3cr&t"})
	}
	p := &Provider{opts: Options{APISecret: "s3cr&t"}}
	bad := 0
	for i, want := range askNPM(t, questions) {
		if got := p.signParams(sets[i]); got != want && bad < 5 {
			bad++
			t.Errorf("signParams(%q) = %s; the official client has %s", sets[i], got, want)
		}
	}
}

// TestTransformURLNPM makes 5,000 delivery URLs as the official client does.
func TestTransformURLNPM(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(s ...string) string { return s[rng.IntN(len(s))] }
	var questions []any
	var got []string
	for range 5_000 {
		signed := rng.IntN(2) == 0
		p, err := New(Options{CloudName: "demo", APIKey: "1", APISecret: "abcd", SignURLs: signed})
		if err != nil {
			t.Fatal(err)
		}
		key := pick("", "dir/", "a b/ü/") + pick("x", "photo 1", "été", "a+b", "a&b=c", "日本", "(1)", "it's", "a!*", "a,b;c:d@e$f") + pick(".jpg", ".png", "")
		tr := cdn.Transform{Width: rng.IntN(3) * 100, Height: rng.IntN(3) * 50, Quality: rng.IntN(3) * 40}
		tr.Fit, tr.Format = pick("", "contain", "cover"), pick("", "auto", "jpeg", "webp", "avif")
		version, format := rng.IntN(3), pick("jpg", "png")
		u, err := p.TransformURL(cdn.Ref{Key: key, Handle: fmt.Sprintf("image/upload/v%d/%s", version, format)}, tr)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, u)
		id, err := publicID(key)
		if err != nil {
			t.Fatal(err)
		}
		o := map[string]any{"secure": true, "sign_url": signed, "resource_type": "image", "type": "upload", "format": format}
		if version > 0 {
			o["version"] = version
		}
		if tr.Width > 0 || tr.Height > 0 {
			o["crop"] = map[string]string{"": "limit", "contain": "fit", "cover": "fill"}[tr.Fit]
		}
		for k, v := range map[string]int{"width": tr.Width, "height": tr.Height, "quality": tr.Quality} {
			if v > 0 {
				o[k] = v
			}
		}
		switch tr.Format {
		case "":
		case "auto":
			o["fetch_format"] = "auto"
		default:
			o["format"] = formatOf(tr.Format)
		}
		questions = append(questions, map[string]any{"id": id, "options": o})
	}
	bad := 0
	for i, want := range askNPM(t, questions) {
		if got[i] != want && bad < 8 {
			bad++
			t.Errorf("TransformURL = %s; the official client has %s", got[i], want)
		}
	}
}
