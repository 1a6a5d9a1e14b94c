package s3cdn_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
)

// with changes a field of a form; an empty value takes it away.
func with(up cdn.DirectUpload, name, value string) cdn.DirectUpload {
	fields := map[string]string{}
	maps.Copy(fields, up.Fields)
	if fields[name] = value; value == "" {
		delete(fields, name)
	}
	up.Fields = fields
	return up
}

func TestPresignForm(t *testing.T) {
	s, ts := newServer(t, true)
	p := newProvider(t, ts, func(o *s3cdn.Options) { o.Prefix = "up/" })
	presign := func(req cdn.FormRequest) cdn.DirectUpload {
		t.Helper()
		up, err := p.PresignForm(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return up
	}
	one := presign(cdn.FormRequest{Key: "a b+ü&<.txt", ContentType: "text/plain", MinBytes: 2, MaxBytes: 5})
	folder := presign(cdn.FormRequest{Key: "u/7/", Status: 201})
	for _, c := range []struct {
		name   string
		up     cdn.DirectUpload
		body   string
		status int
		key    string
	}{
		{"as permitted", one, "hello", 204, "up/a b+ü&<.txt"},
		{"shortest", one, "he", 204, "up/a b+ü&<.txt"},
		{"too short", one, "h", 400, ""},
		{"too long", one, "hello!", 400, ""},
		{"other key", with(one, "key", "up/b.txt"), "hello", 403, ""},
		{"other type", with(one, "Content-Type", "text/html"), "hello", 403, ""},
		{"no type", with(one, "Content-Type", ""), "hello", 403, ""},
		{"other status", with(one, "success_action_status", "200"), "hello", 403, ""},
		{"an acl", with(one, "acl", "public-read"), "hello", 403, ""},
		{"other policy", with(one, "policy", folder.Fields["policy"]), "hello", 403, ""},
		{"folder", folder, "hi", 201, "up/u/7/x"},
		{"folder, other key", with(folder, "key", "up/u/8/x"), "hi", 403, ""},
		{"folder, a type", with(folder, "Content-Type", "text/html"), "hi", 403, ""},
		{"empty file", folder, "", 201, "up/u/7/x"},
	} {
		s.mu.Lock()
		delete(s.objects, c.key)
		s.mu.Unlock()
		if got := direct(t, ts.Client(), c.up, []byte(c.body), nil); got != c.status {
			t.Errorf("%s: status %d; want %d", c.name, got, c.status)
		}
		if o, ok := s.stored()[c.key]; c.key != "" && (!ok || string(o.data) != c.body) {
			t.Errorf("%s: stored %q, %v", c.name, o.data, ok)
		}
	}
	if left := time.Until(one.Expires); left <= 14*time.Minute || left > 15*time.Minute {
		t.Errorf("it expires in %v; want 15 minutes", left)
	}
	s.mu.Lock()
	s.clock = 16 * time.Minute
	s.mu.Unlock()
	if got := direct(t, ts.Client(), one, []byte("hello"), nil); got != 403 {
		t.Errorf("after the expiry: status %d; want 403", got)
	}
}

// TestPresignFormPolicy: the policy is one that S3 understands, and binds the token of
// temporary credentials.
func TestPresignFormPolicy(t *testing.T) {
	p, err := s3cdn.New(s3cdn.Options{
		Bucket: testBucket, Region: testRegion, AccessKeyID: testID, SecretAccessKey: testSecret, SessionToken: "a token",
	})
	if err != nil {
		t.Fatal(err)
	}
	up, err := p.PresignForm(t.Context(), cdn.FormRequest{Key: "k", Expiry: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if want := "https://pictures.s3.eu-test-1.amazonaws.com/"; up.URL != want || up.Method != "POST" || up.FileField != "file" {
		t.Errorf("%s to %s, file %q; want POST to %s", up.Method, up.URL, up.FileField, want)
	}
	text, err := base64.StdEncoding.DecodeString(up.Fields["policy"])
	var doc struct {
		Expiration time.Time
		Conditions []any
	}
	if err != nil || json.Unmarshal(text, &doc) != nil || doc.Expiration.Sub(up.Expires).Abs() > time.Second {
		t.Errorf("policy %s, %v", text, err)
	}
	for _, want := range []string{
		`{"bucket":"pictures"}`, `{"key":"k"}`, `["content-length-range",0,5368709120]`, `{"success_action_status":"204"}`,
		`{"X-Amz-Security-Token":"a token"}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the policy lacks %s: %s", want, text)
		}
	}
	if up.Fields["X-Amz-Security-Token"] != "a token" || strings.Contains(string(text), testSecret) {
		t.Errorf("fields %v", up.Fields)
	}
}

func TestPresignFormRefuses(t *testing.T) {
	_, ts := newServer(t, true)
	p := newProvider(t, ts)
	for _, c := range []struct {
		req  cdn.FormRequest
		kind error
	}{
		{cdn.FormRequest{Key: ""}, cdn.ErrKey},
		{cdn.FormRequest{Key: "/"}, cdn.ErrKey},
		{cdn.FormRequest{Key: "a/../b"}, cdn.ErrKey},
		{cdn.FormRequest{Key: "a/${filename}"}, cdn.ErrKey},
		{cdn.FormRequest{Key: "k", Status: 303}, cdn.ErrInvalid},
		{cdn.FormRequest{Key: "k", MinBytes: 9, MaxBytes: 8}, cdn.ErrInvalid},
		{cdn.FormRequest{Key: "k", MaxBytes: 6 << 30}, cdn.ErrTooLarge},
		{cdn.FormRequest{Key: "k", Expiry: 8 * 24 * time.Hour}, cdn.ErrInvalid},
		{cdn.FormRequest{Key: "k", Expiry: -time.Second}, cdn.ErrInvalid},
		{cdn.FormRequest{Key: "k", ContentType: "a\r\nb"}, cdn.ErrInvalid},
	} {
		if up, err := p.PresignForm(t.Context(), c.req); !errors.Is(err, c.kind) {
			t.Errorf("PresignForm(%+v) = %v, %v; want %v", c.req, up, err, c.kind)
		}
	}
	// The same trap by way of PresignPut: S3 would put the name of the file into the key.
	if up, err := p.PresignPut(t.Context(), cdn.PresignRequest{Key: "a/${filename}", MaxBytes: 9}); !errors.Is(err, cdn.ErrKey) {
		t.Errorf("PresignPut = %v, %v; want ErrKey", up, err)
	}
}
