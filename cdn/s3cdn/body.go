package s3cdn

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// encodeCRC is a checksum as S3 writes it: base64 of the big-endian value.
func encodeCRC(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// compositeCRC is S3's checksum of a multipart object: that of the concatenated
// checksums of its parts, with the number of parts.
func compositeCRC(parts []cdn.PartInfo) string {
	var all []byte
	for _, part := range parts {
		all = binary.BigEndian.AppendUint32(all, part.CRC32C)
	}
	sum := crc32.Checksum(all, httpcall.Castagnoli())
	return fmt.Sprintf("%s-%d", encodeCRC(sum), len(parts))
}

// decodeCRC undoes encodeCRC.
func decodeCRC(s string) (uint32, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}
