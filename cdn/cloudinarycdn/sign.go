package cloudinarycdn

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"maps"
	"slices"
	"strconv"
	"strings"
)

func (p *Provider) hash() hash.Hash {
	if p.opts.SHA256 {
		return sha256.New()
	}
	return sha1.New()
}

func (p *Provider) digest(s string) []byte {
	h := p.hash()
	h.Write([]byte(s))
	h.Write([]byte(p.opts.APISecret))
	return h.Sum(nil)
}

// signParams is Cloudinary's request signature, version 2: the non-empty parameters
// sorted by name, as k=v joined by &, with an & inside a value as %26, and the
// secret appended.
func (p *Provider) signParams(params map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(params)) {
		if params[k] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(k)
		b.WriteByte('=')
		b.WriteString(strings.ReplaceAll(params[k], "&", "%26"))
	}
	return hex.EncodeToString(p.digest(b.String()))
}

// validReply checks the signature of an upload's reply, which is of version 1:
// nothing is escaped in it.
func (p *Provider) validReply(publicID string, version int64, signature string) bool {
	want := hex.EncodeToString(p.digest("public_id=" + publicID + "&version=" + strconv.FormatInt(version, 10)))
	return subtle.ConstantTimeCompare([]byte(want), []byte(signature)) == 1
}

// signPath is the path element s--…-- that signs a delivery URL: a digest of
// everything behind it but the version, with the secret appended.
func (p *Provider) signPath(transformation, source string) string {
	if transformation != "" {
		source = transformation + "/" + source
	}
	n := 8
	if p.opts.SHA256 {
		n = 32
	}
	return "s--" + base64.URLEncoding.EncodeToString(p.digest(source))[:n] + "--"
}
