package s3cdn_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

func (s *server) begin(w http.ResponseWriter, r *http.Request, key string, _ []byte) *s3Error {
	crc := r.Header.Get("X-Amz-Checksum-Algorithm") == "CRC32C"
	if crc && s.refuseCRC && !s.beginTakes {
		return refuse(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
	}
	id := fmt.Sprintf("upload-%d", len(s.uploads)+1)
	s.uploads[id] = &upload{key: key, meta: kept(r.Header), parts: map[int]object{}, at: time.Now()}
	s.uploads[id].crc = crc && !s.refuseCRC
	return reply(w, struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		UploadId string
	}{UploadId: id})
}

func (s *server) find(r *http.Request, key string) (*upload, *s3Error) {
	u := s.uploads[r.URL.Query().Get("uploadId")]
	if u == nil || u.key != key {
		return nil, refuse(404, "NoSuchUpload", "The specified upload does not exist.")
	}
	return u, nil
}

func (s *server) part(w http.ResponseWriter, r *http.Request, key string, body []byte) *s3Error {
	u, e := s.find(r, key)
	if e != nil {
		return e
	}
	o, e := s.content(r, body)
	if e != nil {
		return e
	}
	if u.crc != (r.Header.Get("X-Amz-Checksum-Crc32c") != "") {
		return refuse(400, "InvalidRequest", "Checksum Type mismatch occurred")
	}
	n, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
	if err != nil || n < 1 || n > 10_000 {
		return refuse(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
	}
	u.parts[n] = o
	w.Header().Set("ETag", o.etag)
	if o.crc != "" {
		w.Header().Set("X-Amz-Checksum-Crc32c", o.crc)
	}
	return nil
}

type partEntry struct {
	PartNumber     int
	Size           int    `xml:",omitempty"`
	ETag           string `xml:"ETag"`
	ChecksumCRC32C string `xml:",omitempty"`
}

func (s *server) parts(w http.ResponseWriter, r *http.Request, key string, _ []byte) *s3Error {
	if s.noListParts {
		return refuse(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	}
	u, e := s.find(r, key)
	if e != nil {
		return e
	}
	var out struct {
		XMLName              xml.Name `xml:"ListPartsResult"`
		IsTruncated          bool
		NextPartNumberMarker int
		Part                 []partEntry
	}
	marker, _ := strconv.Atoi(r.URL.Query().Get("part-number-marker"))
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		if n <= marker {
			continue
		}
		if len(out.Part) == s.pageSize {
			out.IsTruncated, out.NextPartNumberMarker = true, out.Part[s.pageSize-1].PartNumber
			break
		}
		out.Part = append(out.Part, partEntry{n, len(u.parts[n].data), u.parts[n].etag, u.parts[n].crc})
	}
	return reply(w, out)
}

func (s *server) complete(w http.ResponseWriter, r *http.Request, key string, body []byte) *s3Error {
	u, e := s.find(r, key)
	if e != nil {
		return e
	}
	var in struct{ Part []partEntry }
	if err := xml.Unmarshal(body, &in); err != nil || len(in.Part) == 0 {
		return refuse(400, "MalformedXML", "The XML you provided was not well-formed")
	}
	if _, taken := s.objects[key]; taken && r.Header.Get("If-None-Match") == "*" {
		return refuse(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	}
	o := object{header: u.meta, at: time.Now().Truncate(time.Second)}
	var sums, crcs []byte
	last := 0
	for i, p := range in.Part {
		have, ok := u.parts[p.PartNumber]
		if !ok || have.etag != p.ETag || have.crc != p.ChecksumCRC32C && !s.ignoreCRC {
			return refuse(400, "InvalidPart", "One or more of the specified parts could not be found.")
		}
		if p.PartNumber <= last {
			return refuse(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
		}
		if i < len(in.Part)-1 && len(have.data) < s.minPart {
			return refuse(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
		}
		last = p.PartNumber
		sum := md5.Sum(have.data)
		sums = append(sums, sum[:]...)
		crc, _ := base64.StdEncoding.DecodeString(have.crc)
		crcs = append(crcs, crc...)
		o.data = append(o.data, have.data...)
	}
	sum := md5.Sum(sums)
	o.etag = fmt.Sprintf(`"%s-%d"`, hex.EncodeToString(sum[:]), len(in.Part))
	if u.crc && !s.ignoreCRC {
		o.crc = fmt.Sprintf("%s-%d", crcOf(crcs), len(in.Part))
	}
	s.objects[key] = o
	delete(s.uploads, r.URL.Query().Get("uploadId"))
	return reply(w, struct {
		XMLName        xml.Name `xml:"CompleteMultipartUploadResult"`
		ETag           string   `xml:"ETag"`
		ChecksumCRC32C string   `xml:",omitempty"`
		ChecksumType   string   `xml:",omitempty"`
	}{ETag: o.etag, ChecksumCRC32C: o.crc, ChecksumType: "COMPOSITE"})
}

func (s *server) abort(w http.ResponseWriter, r *http.Request, key string, _ []byte) *s3Error {
	if _, e := s.find(r, key); e != nil {
		return e
	}
	delete(s.uploads, r.URL.Query().Get("uploadId"))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) listUploads(w http.ResponseWriter, r *http.Request, _ string, _ []byte) *s3Error {
	type entry struct {
		Key, UploadId, Initiated string
	}
	var out struct {
		XMLName     xml.Name `xml:"ListMultipartUploadsResult"`
		IsTruncated bool
		Upload      []entry
	}
	for id, u := range s.uploads {
		if bytes.HasPrefix([]byte(u.key), []byte(r.URL.Query().Get("prefix"))) {
			out.Upload = append(out.Upload, entry{u.key, id, u.at.UTC().Format(time.RFC3339)})
		}
	}
	return reply(w, out)
}
