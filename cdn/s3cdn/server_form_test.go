package s3cdn_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// form is a browser's upload by POST policy. It refuses what S3 refuses: a signature
// that is not of this policy, day, region and key, fields that no condition covers, and
// conditions that are not met.
func (s *server) form(w http.ResponseWriter, r *http.Request, body []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err := r.ParseMultipartForm(1 << 20); err != nil || len(r.MultipartForm.File["file"]) != 1 {
		refuse(400, "MalformedPOSTRequest", "not a form with one file").write(w)
		return
	}
	if r.URL.Path != "/"+testBucket {
		refuse(405, "MethodNotAllowed", "not the bucket").write(w)
		return
	}
	head := r.MultipartForm.File["file"][0]
	f, _ := head.Open()
	data, _ := io.ReadAll(f)
	fields := map[string]string{"bucket": testBucket}
	for k, v := range r.MultipartForm.Value {
		fields[strings.ToLower(k)] = strings.ReplaceAll(v[0], "${filename}", head.Filename)
	}
	if e := checkPolicy(fields, len(data), time.Now().Add(s.clock)); e != nil {
		e.write(w)
		return
	}
	contentType := fields["content-type"]
	if contentType == "" {
		contentType = "binary/octet-stream"
	}
	s.objects[fields["key"]] = object{data: data, header: http.Header{"Content-Type": {contentType}}, at: time.Now()}
	w.Header().Set("Location", "http://"+r.Host+"/"+testBucket+"/"+fields["key"])
	switch fields["success_action_status"] {
	case "200":
	case "201":
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func checkPolicy(fields map[string]string, size int, now time.Time) *s3Error {
	scope := strings.Split(fields["x-amz-credential"], "/")
	at, err := time.Parse("20060102T150405Z", fields["x-amz-date"])
	if err != nil || now.Sub(at).Abs() > 7*24*time.Hour {
		return refuse(403, "RequestTimeTooSkewed", "the date of the signature")
	}
	if len(scope) != 5 || scope[0] != testID || scope[1] != at.Format("20060102") || scope[2] != testRegion ||
		scope[3] != "s3" || scope[4] != "aws4_request" || fields["x-amz-algorithm"] != "AWS4-HMAC-SHA256" {
		return refuse(403, "InvalidAccessKeyId", "the scope is not ours")
	}
	sum := []byte("AWS4" + testSecret)
	for _, v := range append(scope[1:], fields["policy"]) {
		m := hmac.New(sha256.New, sum)
		m.Write([]byte(v))
		sum = m.Sum(nil)
	}
	if !hmac.Equal([]byte(hex.EncodeToString(sum)), []byte(fields["x-amz-signature"])) {
		return refuse(403, "SignatureDoesNotMatch", "the policy")
	}
	text, _ := base64.StdEncoding.DecodeString(fields["policy"])
	var doc struct {
		Expiration string
		Conditions []any
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err = d.Decode(&doc)
	until, terr := time.Parse("2006-01-02T15:04:05.000Z", doc.Expiration)
	if err != nil || terr != nil {
		return refuse(400, "InvalidPolicyDocument", fmt.Sprint(err, terr))
	}
	if now.After(until) {
		return refuse(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
	}
	covered := map[string]bool{"policy": true, "x-amz-signature": true}
	for _, c := range doc.Conditions {
		name, value, op := "", "", "eq"
		switch c := c.(type) {
		case map[string]any:
			for k, v := range c {
				name, value = k, v.(string)
			}
		case []any:
			if op = c[0].(string); op == "content-length-range" {
				if n := float64(size); n < c[1].(float64) {
					return refuse(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
				} else if n > c[2].(float64) {
					return refuse(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
				}
				continue
			}
			name, value = strings.TrimPrefix(c[1].(string), "$"), c[2].(string)
		}
		name = strings.ToLower(name)
		covered[name] = true
		if got, ok := fields[name]; !ok || op == "eq" && got != value || op == "starts-with" && !strings.HasPrefix(got, value) {
			return refuse(403, "AccessDenied", "Invalid according to Policy: Policy Condition failed: "+name)
		}
	}
	for name := range fields {
		if !covered[name] && !strings.HasPrefix(name, "x-ignore-") {
			return refuse(403, "AccessDenied", "Invalid according to Policy: Extra input fields: "+name)
		}
	}
	return nil
}
