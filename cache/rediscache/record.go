package rediscache

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

// A record in Redis, numbers big-endian:
//
//	4 magic "PBr1"
//	4 CRC-32C of the key and of all that follows this field
//	4 incarnation, 4 count: the position
//	4 number of tags, then for each 4 length and its bytes
//	8 version, 8 fresh in ns, 8 keep in ns
//	4 length of the codec's name and its bytes
//	the rest: data
//
// The script reads it up to the tags; a change there is a new magic. The sum covers
// the key, so that a record under a wrong key is garbage.
const (
	recordMagic  = "PBr1"
	recordHead   = 4 + 4 + 4 + 4 + 4 // up to the number of tags
	recordMiddle = 8 + 8 + 8 + 4     // from the version to the length of the codec's name
)

var errRecord = errors.New("rediscache: not a record")

func encodedSize(rec *cache.Record) int {
	n := recordHead + recordMiddle + len(rec.Codec) + len(rec.Data)
	for _, tag := range rec.Tags {
		n += 4 + len(tag)
	}
	return n
}

func encodeRecord(key string, rec *cache.Record) string {
	b := make([]byte, 0, encodedSize(rec))
	b = append(b, recordMagic...)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, rec.Position)
	b = binary.BigEndian.AppendUint32(b, uint32(len(rec.Tags)))
	for _, tag := range rec.Tags {
		b = appendString(b, tag)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(rec.Version))
	b = binary.BigEndian.AppendUint64(b, uint64(rec.Fresh))
	b = binary.BigEndian.AppendUint64(b, uint64(rec.Keep))
	b = appendString(b, rec.Codec)
	b = append(b, rec.Data...)
	binary.BigEndian.PutUint32(b[4:], checksum(key, b[8:]))
	return string(b)
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func checksum(key string, rest []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once by the library
	return crc32.Update(crc32.Checksum([]byte(key), table), table, rest)
}

// decodeRecord reads what Redis holds for key, with the time that is left to it.
func decodeRecord(key, blob string, left time.Duration) (*cache.Record, error) {
	b := []byte(blob) // the record owns its bytes
	if len(b) < recordHead+recordMiddle || string(b[:4]) != recordMagic ||
		binary.BigEndian.Uint32(b[4:]) != checksum(key, b[8:]) {
		return nil, errRecord
	}
	rec := &cache.Record{Position: binary.BigEndian.Uint64(b[8:])}
	n := binary.BigEndian.Uint32(b[16:])
	b = b[recordHead:]
	if uint64(n)*4 > uint64(len(b)) {
		return nil, errRecord
	}
	rec.Tags = make([]string, n)
	var ok bool
	for i := range rec.Tags {
		if rec.Tags[i], b, ok = cutString(b); !ok {
			return nil, errRecord
		}
	}
	if len(b) < recordMiddle {
		return nil, errRecord
	}
	version := int64(binary.BigEndian.Uint64(b))
	if version > math.MaxInt || version < math.MinInt { // written on a larger machine
		return nil, errRecord
	}
	rec.Version = int(version)
	rec.Fresh = time.Duration(binary.BigEndian.Uint64(b[8:]))
	rec.Keep = time.Duration(binary.BigEndian.Uint64(b[16:]))
	if rec.Codec, rec.Data, ok = cutString(b[24:]); !ok {
		return nil, errRecord
	}
	// Without an expiry, or with a longer one than it was given, its age is unknown.
	rec.Age = rec.Keep.Truncate(time.Millisecond) - left
	if left <= 0 || rec.Age < 0 {
		return nil, errRecord
	}
	return rec, nil
}

// cutString cuts a string with its length off b.
func cutString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) {
		return "", nil, false
	}
	return string(b[:n]), b[n:], true
}
