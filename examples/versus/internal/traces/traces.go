package traces

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Request is one access.
type Request struct {
	Key  uint64
	Size int64 // in bytes; 1 where the trace has no sizes
}

// format decodes a trace, calling emit for each access until that returns false.
type format func(r *bufio.Reader, emit func(Request) bool) error

// Open reads at most limit requests of the file of that name in dir; limit 0 means
// all. Names and formats are those of the trace folder's README. An error matches
// fs.ErrNotExist if the file is absent.
func Open(dir, name string, limit int) ([]Request, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	requests, err := Read(f, name, limit)
	if err != nil {
		return nil, fmt.Errorf("traces: read %s: %w", name, err)
	}
	return requests, nil
}

// Read is Open on what r holds; name tells compression and format.
func Read(r io.Reader, name string, limit int) ([]Request, error) {
	plain, closer, err := decompress(bufio.NewReader(r), name)
	if err != nil {
		return nil, err
	}
	defer closer()
	decode := formatOf(name)
	if decode == nil {
		return nil, errors.New("unknown format")
	}
	var requests []Request
	err = decode(bufio.NewReaderSize(plain, 1<<16), func(q Request) bool {
		requests = append(requests, q)
		return limit == 0 || len(requests) < limit
	})
	return requests, err
}

func decompress(r io.Reader, name string) (io.Reader, func(), error) {
	switch filepath.Ext(name) {
	case ".gz":
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	case ".xz":
		z, err := xz.NewReader(r)
		return z, func() {}, err
	case ".zst":
		z, err := zstd.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return r, func() {}, nil
}

func formatOf(name string) format {
	switch {
	case strings.HasPrefix(name, "arc-"):
		return readRanges
	case strings.HasPrefix(name, "lirs-"):
		return readLines
	case strings.HasPrefix(name, "cache2k-"):
		return readInt32
	case strings.HasPrefix(name, "corda-"):
		return readInt64
	case strings.HasPrefix(name, "adaptsize-"):
		return readSized
	}
	return nil
}

// numbers calls f with the first n numbers of each line that is not a remark.
func numbers(r *bufio.Reader, n int, f func([]uint64) bool) error {
	lines := bufio.NewScanner(r)
	values := make([]uint64, n)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "*") {
			continue
		}
		if len(fields) < n {
			return fmt.Errorf("line %q has fewer than %d numbers", lines.Text(), n)
		}
		for i := range values {
			v, err := strconv.ParseUint(fields[i], 10, 64)
			if err != nil {
				return err
			}
			values[i] = v
		}
		if !f(values) {
			return nil
		}
	}
	return lines.Err()
}

// readRanges reads ARC's "start count …", count accesses to consecutive blocks.
func readRanges(r *bufio.Reader, emit func(Request) bool) error {
	return numbers(r, 2, func(v []uint64) bool {
		for i := range v[1] {
			if !emit(Request{v[0] + i, 1}) {
				return false
			}
		}
		return true
	})
}

func readLines(r *bufio.Reader, emit func(Request) bool) error {
	return numbers(r, 1, func(v []uint64) bool { return emit(Request{v[0], 1}) })
}

// readSized reads AdaptSize's "time key size".
func readSized(r *bufio.Reader, emit func(Request) bool) error {
	return numbers(r, 3, func(v []uint64) bool { return emit(Request{v[1], int64(v[2])}) })
}

func readInt32(r *bufio.Reader, emit func(Request) bool) error {
	return words(r, 4, func(b []byte) uint64 { return uint64(binary.BigEndian.Uint32(b)) }, emit)
}

func readInt64(r *bufio.Reader, emit func(Request) bool) error {
	return words(r, 8, binary.BigEndian.Uint64, emit)
}

func words(r io.Reader, size int, value func([]byte) uint64, emit func(Request) bool) error {
	b := make([]byte, size)
	for {
		switch _, err := io.ReadFull(r, b); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if !emit(Request{value(b), 1}) {
			return nil
		}
	}
}
