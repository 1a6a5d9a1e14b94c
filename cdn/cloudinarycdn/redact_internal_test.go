package cloudinarycdn

import "testing"

func TestRedact(t *testing.T) {
	p := &Provider{opts: Options{APIKey: "akey", APISecret: "topsecret"}}
	for in, want := range map[string]string{
		"plain":                            "plain",
		"Invalid Signature 12ab. String":   "invalid signature",
		"no akey with topsecret":           "no *** with ***",
		"no /image/s--AbCd_1-x--/v1/a.png": "no /image/***/v1/a.png",
		"no /s--AbCd_1-x--/a, /s--Wx--/b":  "no /***/a, ",
		"no /image/s--AbCd":                "no /image/***",
	} {
		if got := p.redact(in); got != want {
			t.Errorf("redact(%q) = %q; want %q", in, got, want)
		}
	}
}
