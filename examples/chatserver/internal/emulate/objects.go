package emulate

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// AccessKey and SecretKey are what the object store expects. It checks the key
// that a request names, not its signature: it is a stage prop, not a safe.
const (
	AccessKey = "emulated"
	SecretKey = "emulated-secret"
	Bucket    = "chat"
)

const maxObject = 64 << 20 // bytes

// Objects is an S3-compatible store of one bucket in a directory: PUT, GET, HEAD
// and DELETE of whole objects at /chat/KEY, with CRC32C checksums. Reads are
// public, as behind a CDN. It fails on its script.
type Objects struct {
	mood
	dir string
}

// NewObjects returns a store in dir, which must exist.
func NewObjects(dir string, script Script) *Objects {
	return &Objects{mood: mood{script: script, start: time.Now()}, dir: dir}
}

// kept are the headers that an object comes back with.
var kept = []string{"Content-Type", "Cache-Control", "Content-Disposition"}

// ServeHTTP implements [http.Handler].
func (o *Objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, ok := strings.CutPrefix(r.URL.Path, "/"+Bucket+"/")
	w.Header().Set("x-amz-request-id", strconv.FormatUint(rand.Uint64(), 36))
	phase := o.now()
	switch {
	case phase.Down || rand.Float64() < phase.Errors:
		xmlError(w, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
	case !ok || key == "":
		xmlError(w, http.StatusNotFound, "NoSuchBucket", "Only objects in the bucket "+Bucket+" are served.")
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		o.get(w, r, key)
	case !strings.Contains(r.Header.Get("Authorization"), "Credential="+AccessKey+"/"):
		xmlError(w, http.StatusForbidden, "InvalidAccessKeyId", "The access key does not exist.")
	case r.URL.Query().Has("uploads"), r.URL.Query().Has("uploadId"):
		xmlError(w, http.StatusNotImplemented, "NotImplemented", "No multipart uploads.")
	case r.Method == http.MethodPut:
		o.put(w, r, key)
	case r.Method == http.MethodDelete:
		if err := os.Remove(o.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			xmlError(w, http.StatusInternalServerError, "InternalError", "delete failed")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		xmlError(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "method not allowed")
	}
}

// path hashes the key, so that no key can name a file of its choice.
func (o *Objects) path(key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(o.dir, hex.EncodeToString(sum[:]))
}

func (o *Objects) put(w http.ResponseWriter, r *http.Request, key string) {
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		xmlError(w, http.StatusNotImplemented, "NotImplemented", "No chunked payloads.")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxObject))
	if err != nil {
		xmlError(w, http.StatusBadRequest, "IncompleteBody", "The body ended early or is too large.")
		return
	}
	crc := checksum(body)
	if sent := r.Header.Get("X-Amz-Checksum-Crc32c"); sent != "" && sent != crc {
		xmlError(w, http.StatusBadRequest, "BadDigest", "The CRC32C did not match the content.")
		return
	}
	if _, err := os.Stat(o.path(key)); err == nil && r.Header.Get("If-None-Match") == "*" {
		xmlError(w, http.StatusPreconditionFailed, "PreconditionFailed", "The object exists.")
		return
	}
	head := map[string]string{"ETag": fmt.Sprintf(`"%x"`, md5.Sum(body)), "X-Amz-Checksum-Crc32c": crc}
	for name, v := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			head[name] = v[0]
		}
	}
	for _, name := range kept {
		if v := r.Header.Get(name); v != "" {
			head[name] = v
		}
	}
	if err := o.write(key, head, body); err != nil {
		xmlError(w, http.StatusInternalServerError, "InternalError", "write failed")
		return
	}
	w.Header().Set("ETag", head["ETag"])
	w.Header().Set("X-Amz-Checksum-Crc32c", crc)
}

// write stores the headers as length-prefixed JSON before the content.
func (o *Objects) write(key string, head map[string]string, body []byte) error {
	j, err := json.Marshal(head)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(o.dir, "put-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already after the rename
	_, err = f.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(j))), j...))
	if err == nil {
		_, err = f.Write(body)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), o.path(key))
}

func (o *Objects) get(w http.ResponseWriter, r *http.Request, key string) {
	f, err := os.Open(o.path(key))
	if err != nil {
		xmlError(w, http.StatusNotFound, "NoSuchKey", "The key does not exist.")
		return
	}
	defer f.Close()
	var n [4]byte
	var head map[string]string
	st, err := f.Stat()
	if err == nil {
		_, err = io.ReadFull(f, n[:])
	}
	at := int64(4 + binary.BigEndian.Uint32(n[:]))
	if err == nil && at <= st.Size() {
		err = json.NewDecoder(io.NewSectionReader(f, 4, at-4)).Decode(&head)
	}
	if err != nil || head == nil {
		xmlError(w, http.StatusInternalServerError, "InternalError", "damaged object")
		return
	}
	for name, v := range maps.All(head) {
		w.Header().Set(name, v)
	}
	if r.Header.Get("X-Amz-Checksum-Mode") != "ENABLED" || r.Header.Get("Range") != "" {
		w.Header().Del("X-Amz-Checksum-Crc32c")
	}
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", st.ModTime(), io.NewSectionReader(f, at, st.Size()-at))
}

func checksum(body []byte) string {
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func xmlError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}
