package s3cdn_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
)

const testKeyPair = "K2JCJMDEHXQW5F"

func newSigning(t *testing.T, publicURL string) (*rsa.PublicKey, *s3cdn.Provider) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s3cdn.New(s3cdn.Options{
		Bucket: testBucket, Region: testRegion, AccessKeyID: testID, SecretAccessKey: testSecret, PublicURL: publicURL,
		CloudFrontKeyID: testKeyPair,
		CloudFrontKey:   pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey, p
}

// decode is CloudFront's base64.
func decode(t *testing.T, s string) []byte {
	t.Helper()
	if strings.ContainsAny(s, "+=/") {
		t.Errorf("%q cannot be in a cookie", s)
	}
	b, err := base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "=", "~", "/").Replace(s))
	if err != nil {
		t.Error(err)
	}
	return b
}

// opens is CloudFront: it returns the policy that the cookies carry or stand for when
// address is asked for, after it has checked the signature.
func opens(t *testing.T, key *rsa.PublicKey, cookies []*http.Cookie, address string) string {
	t.Helper()
	v := map[string]string{}
	for _, c := range cookies {
		v[c.Name] = c.Value
		if err := c.Valid(); err != nil {
			t.Error(err)
		}
	}
	policy := string(decode(t, v["CloudFront-Policy"]))
	if until := v["CloudFront-Expires"]; until != "" {
		policy = `{"Statement":[{"Resource":"` + address + `","Condition":{"DateLessThan":{"AWS:EpochTime":` + until + `}}}]}`
	}
	sum := sha1.Sum([]byte(policy))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], decode(t, v["CloudFront-Signature"])); err != nil {
		t.Errorf("the signature does not fit %s: %v", policy, err)
	}
	if len(v) != 3 || v["CloudFront-Key-Pair-Id"] != testKeyPair {
		t.Errorf("cookies %v; want three", v)
	}
	return policy
}

// TestSignCookiesExample: the cookie of Amazon's manual, "Set signed cookies using a
// custom policy".
func TestSignCookiesExample(t *testing.T) {
	key, p := newSigning(t, "http://d111111abcdef8.cloudfront.net")
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1426500000, 0).Add(-time.Hour)))
		cookies, err := p.SignCookies(s3cdn.CookieRequest{
			Key: "game_download.zip", Expiry: time.Hour, Client: netip.MustParsePrefix("192.0.2.0/24"), Domain: "d111111abcdef8.cloudfront.net",
		})
		if err != nil {
			t.Fatal(err)
		}
		const want = "eyJTdGF0ZW1lbnQiOlt7IlJlc291cmNlIjoiaHR0cDovL2QxMTExMTFhYmNkZWY4LmNsb3VkZnJvbnQubmV0L2dhbWVfZG93bmxvYWQuemlwIiwiQ29uZGl0aW9uIjp7IklwQWRkcmVzcyI6eyJBV1M6U291cmNlSXAiOiIxOTIuMC4yLjAvMjQifSwiRGF0ZUxlc3NUaGFuIjp7IkFXUzpFcG9jaFRpbWUiOjE0MjY1MDAwMDB9fX1dfQ__"
		if c := cookies[0]; c.Name != "CloudFront-Policy" || c.Value != want || c.Secure {
			t.Errorf("first cookie %v; want the policy %s", c, want)
		}
		opens(t, key, cookies, "")
	})
}

func TestSignCookies(t *testing.T) {
	const base = "https://cdn.example.com/as%20sets"
	key, p := newSigning(t, base)
	tomorrow := time.Now().Add(24 * time.Hour)
	for _, c := range []struct {
		name   string
		req    s3cdn.CookieRequest
		policy string // without its date
		path   string
	}{
		{"one object", s3cdn.CookieRequest{Key: "a b.png"}, `{"Statement":[{"Resource":"` + base + `/a%20b.png","Condition":{`, "/as%20sets/a%20b.png"},
		{"a folder", s3cdn.CookieRequest{Key: "m/"}, `{"Statement":[{"Resource":"` + base + `/m/*","Condition":{`, "/as%20sets/m/"},
		{"all", s3cdn.CookieRequest{Key: "/"}, `{"Statement":[{"Resource":"` + base + `/*","Condition":{`, "/as%20sets/"},
		{"no wildcards of a key", s3cdn.CookieRequest{Key: "*?/"}, `{"Statement":[{"Resource":"` + base + `/%2A%3F/*","Condition":{`, "/as%20sets/%2A%3F/"},
		{"later", s3cdn.CookieRequest{Key: "m/", NotBefore: tomorrow, Expiry: 48 * time.Hour},
			`{"Statement":[{"Resource":"` + base + `/m/*","Condition":{"DateGreaterThan":{"AWS:EpochTime":`, "/as%20sets/m/"},
	} {
		cookies, err := p.SignCookies(c.req)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if policy := opens(t, key, cookies, base+"/a%20b.png"); !strings.HasPrefix(policy, c.policy) {
			t.Errorf("%s: policy %s; want %s", c.name, policy, c.policy)
		}
		for _, k := range cookies {
			if k.Path != c.path || k.Domain != "" || !k.Secure || !k.HttpOnly || k.SameSite != http.SameSiteLaxMode || k.MaxAge != 0 || !k.Expires.IsZero() {
				t.Errorf("%s: cookie %v; want path %s", c.name, k, c.path)
			}
		}
	}
	for _, domain := range []string{"example.com", "cdn.example.com"} {
		cookies, err := p.SignCookies(s3cdn.CookieRequest{Key: "/", Domain: domain})
		if err != nil || !strings.Contains(cookies[1].String(), "; Domain="+domain+"; HttpOnly; Secure; SameSite=Lax") {
			t.Errorf("domain %s: %v, %v", domain, cookies, err)
		}
	}
}

func TestSignCookiesRefuses(t *testing.T) {
	_, p := newSigning(t, "https://cdn.example.com")
	for _, c := range []struct {
		req  s3cdn.CookieRequest
		kind error
	}{
		{s3cdn.CookieRequest{}, cdn.ErrKey},
		{s3cdn.CookieRequest{Key: "../"}, cdn.ErrKey},
		{s3cdn.CookieRequest{Key: "a//"}, cdn.ErrKey},
		{s3cdn.CookieRequest{Key: "k", Expiry: -1}, cdn.ErrInvalid},
		{s3cdn.CookieRequest{Key: "k", Expiry: 8 * 24 * time.Hour}, cdn.ErrInvalid},
		{s3cdn.CookieRequest{Key: "k", NotBefore: time.Now().Add(time.Hour)}, cdn.ErrInvalid},
		{s3cdn.CookieRequest{Key: "k", Client: netip.MustParsePrefix("2001:db8::/32")}, cdn.ErrInvalid},
		{s3cdn.CookieRequest{Key: "k", Domain: "evil.com"}, cdn.ErrInvalid},
		{s3cdn.CookieRequest{Key: "k", Domain: "ample.com"}, cdn.ErrInvalid},
		{s3cdn.CookieRequest{Key: "k", Domain: "com"}, cdn.ErrInvalid},
		{s3cdn.CookieRequest{Key: "k", Domain: "www.cdn.example.com"}, cdn.ErrInvalid},
		{s3cdn.CookieRequest{Key: "k", Domain: "x; Path=/.example.com"}, cdn.ErrInvalid},
	} {
		if cookies, err := p.SignCookies(c.req); !errors.Is(err, c.kind) {
			t.Errorf("SignCookies(%+v) = %v, %v; want %v", c.req, cookies, err, c.kind)
		}
	}
	_, ts := newServer(t, false)
	if _, err := newProvider(t, ts).SignCookies(s3cdn.CookieRequest{Key: "k"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SignCookies without a key = %v; want errors.ErrUnsupported", err)
	}
}
