package realtest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/internal/realtest"
)

// signed sends a request with a signature of AWS version 4, of which only what
// these tests need is here: a plain path, no query.
func signed(t *testing.T, s realtest.S3Server, method, path, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	date, sum := now.Format("20060102T150405Z"), hash(body)
	scope := date[:8] + "/" + s.Region + "/s3/aws4_request"
	canonical := strings.Join([]string{
		method, (&url.URL{Path: path}).EscapedPath(), "",
		"host:" + req.URL.Host, "x-amz-content-sha256:" + sum, "x-amz-date:" + date, "",
		"host;x-amz-content-sha256;x-amz-date", sum,
	}, "\n")
	key := []byte("AWS4" + s.SecretKey)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	signature := hex.EncodeToString(mac(key, strings.Join([]string{"AWS4-HMAC-SHA256", date, scope, hash(canonical)}, "\n")))
	req.Header.Set("X-Amz-Date", date)
	req.Header.Set("X-Amz-Content-Sha256", sum)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.AccessKey+"/"+scope+
		",SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature="+signature)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}
