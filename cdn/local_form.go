package cdn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxFormFields = 32      // before the file
	maxFormValue  = 8 << 10 // bytes of one
)

// formPolicy is what a form of PresignForm permits. It travels in the form.
type formPolicy struct {
	Key     string `json:"key"` // with a slash at its end: a folder
	Type    string `json:"type,omitempty"`
	Min     int64  `json:"min,omitempty"`
	Max     int64  `json:"max,omitempty"`
	Status  int    `json:"status"`
	Expires int64  `json:"expires"` // Unix time
}

// signPolicy signs an encoded policy. No signed URL has the same signature, since what
// that signs begins with a quote.
func (l *Local) signPolicy(policy string) string {
	mac := hmac.New(sha256.New, l.opts.SignKey)
	io.WriteString(mac, "form "+policy)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// PresignForm permits uploads by a form that is posted to the handler, as S3 has it, for
// 15 minutes or req.Expiry up to 7 days. Without LocalOptions.SignKey it fails with an
// error matching [ErrInvalid] and errors.ErrUnsupported.
func (l *Local) PresignForm(ctx context.Context, req FormRequest) (DirectUpload, error) {
	const op = "presign"
	req, err := req.Checked()
	life := req.Expiry
	setDefault(&life, defaultExpiry)
	switch {
	case err != nil:
	case len(l.opts.SignKey) == 0:
		err = fmt.Errorf("%w: LocalOptions.SignKey is empty: %w", ErrInvalid, errors.ErrUnsupported)
	case life < time.Second || life > maxExpiry:
		err = fmt.Errorf("%w: expiry %v is not in 1s to %v", ErrInvalid, life, maxExpiry)
	}
	if err != nil {
		return DirectUpload{}, l.opError(op, req.Key, err)
	}
	expires := time.Now().Add(life).Truncate(time.Second)
	text, err := json.Marshal(formPolicy{
		Key: req.Key, Type: req.ContentType, Min: req.MinBytes, Max: req.MaxBytes, Status: req.Status, Expires: expires.Unix(),
	})
	if err != nil {
		return DirectUpload{}, l.opError(op, req.Key, err)
	}
	policy := base64.StdEncoding.EncodeToString(text)
	fields := map[string]string{
		"key": req.Key, "success_action_status": strconv.Itoa(req.Status), "policy": policy, "signature": l.signPolicy(policy),
	}
	if strings.HasSuffix(req.Key, "/") {
		fields["key"] += fileName
	}
	if req.ContentType != "" {
		fields["Content-Type"] = req.ContentType
	}
	return DirectUpload{Method: http.MethodPost, URL: l.base.String(), Fields: fields, FileField: "file", Expires: expires}, nil
}

// fileName in a form's key stands for the name of the file.
const fileName = "${filename}"

// receiveForm takes an upload by a form of PresignForm.
func (l *Local) receiveForm(w http.ResponseWriter, r *http.Request) {
	mr, err := r.MultipartReader()
	if err != nil {
		l.refuse(w, http.StatusBadRequest)
		return
	}
	fields, file, err := readForm(mr)
	var p formPolicy
	if err == nil {
		p, err = l.checkForm(fields, file.FileName())
	}
	if err != nil {
		l.refuseUpload(w, err)
		return
	}
	// The length is known from the boundary behind the file; without that it is cut off.
	e, err := l.take(r.Context(), intake{key: p.Key, claim: p.Type, body: file, length: -1, least: p.Min, most: p.Max})
	if err != nil {
		l.refuseUpload(w, err)
		return
	}
	address, _ := l.URL(Ref{Key: p.Key})
	w.Header().Set("Etag", e.etag())
	w.Header().Set("Location", address)
	if p.Status != http.StatusCreated {
		w.WriteHeader(p.Status)
		return
	}
	text, _ := xml.Marshal(struct {
		XMLName             xml.Name `xml:"PostResponse"`
		Location, Key, ETag string
	}{Location: address, Key: p.Key, ETag: e.etag()})
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append([]byte(xml.Header), text...))
}

// readForm reads the fields up to the file. What follows the file is not read.
func readForm(mr *multipart.Reader) (fields map[string]string, file *multipart.Part, err error) {
	fields = map[string]string{}
	for range maxFormFields {
		part, err := mr.NextPart()
		if err != nil {
			return nil, nil, fmt.Errorf("%w: the form has no file: %w", ErrTruncated, err)
		}
		name := part.FormName()
		if name == "file" {
			return fields, part, nil
		}
		value, err := io.ReadAll(io.LimitReader(part, maxFormValue+1))
		_, twice := fields[name]
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("%w: %w", ErrTruncated, err)
		case twice || len(value) > maxFormValue:
			return nil, nil, fmt.Errorf("%w: a field that is too long or comes twice", ErrInvalid)
		}
		fields[name] = string(value)
	}
	return nil, nil, fmt.Errorf("%w: over %d fields", ErrInvalid, maxFormFields)
}

// checkForm returns the policy of a form that it permits, with the key to store under.
// The name of the file comes from the client.
func (l *Local) checkForm(fields map[string]string, name string) (p formPolicy, err error) {
	if !hmac.Equal([]byte(fields["signature"]), []byte(l.signPolicy(fields["policy"]))) {
		return p, fmt.Errorf("%w: the policy is not signed", ErrAuth)
	}
	text, err := base64.StdEncoding.DecodeString(fields["policy"])
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	key := strings.ReplaceAll(fields["key"], fileName, baseName(name))
	folder := strings.HasSuffix(p.Key, "/")
	switch {
	case err != nil || time.Now().Unix() >= p.Expires:
		return p, fmt.Errorf("%w: the form has expired", ErrAuth)
	case folder && !strings.HasPrefix(key, p.Key), !folder && key != p.Key,
		fields["Content-Type"] != p.Type, fields["success_action_status"] != strconv.Itoa(p.Status):
		return p, fmt.Errorf("%w: the form is not what was permitted", ErrAuth)
	}
	for name := range fields {
		switch name {
		case "key", "Content-Type", "success_action_status", "policy", "signature":
		default:
			if !strings.HasPrefix(name, "x-ignore-") {
				return p, fmt.Errorf("%w: an additional field", ErrAuth)
			}
		}
	}
	p.Key = key
	return p, CheckKey(key)
}
