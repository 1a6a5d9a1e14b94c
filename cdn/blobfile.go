package cdn

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// blobFile identifies a file below blobs/: the hash of its content and the generation of
// its write, so that no two writes ever share a file and a directory walk finds the newest.
type blobFile struct {
	sum hexSum
	gen uint64
}

// dir is the directory of the file.
func (b blobFile) dir() string { return fmt.Sprintf("blobs/%x", b.sum[0]>>4) }

// name is the file below the root.
func (b blobFile) name() string { return fmt.Sprintf("%s/%x-%016x", b.dir(), b.sum[:], b.gen) }

// parseBlobName reads the name of a file in its directory. Only the very names that are
// made here are ours.
func parseBlobName(name string) (b blobFile, ok bool) {
	h, g, _ := strings.Cut(name, "-")
	if len(g) != 16 || hex.EncodedLen(len(b.sum)) != len(h) || name != strings.ToLower(name) {
		return b, false
	}
	if _, err := hex.Decode(b.sum[:], []byte(h)); err != nil {
		return b, false
	}
	gen, err := strconv.ParseUint(g, 16, 64)
	b.gen = gen
	return b, err == nil
}
