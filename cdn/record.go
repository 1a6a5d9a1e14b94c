package cdn

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"time"
)

// castagnoli is the CRC-32C table, which is immutable.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// objState says what is known of a key. It is written to disk: do not renumber.
type objState uint8

const (
	stateStored  objState = 1 // put into Local as a provider
	statePending objState = 2 // acknowledged, to be promoted
	stateDead    objState = 3 // given up by promotion, kept
	stateDone    objState = 4 // at the provider; the blob may be retained
	stateDelete  objState = 5 // deleted, the provider must still be told
	stateGone    objState = 6 // deleted everywhere: forget the key
)

// entry is the state of one key: a journal record and a blob's manifest. In memory it
// is held as an item. The journal's order decides: an entry replaces the one before it,
// unless If names a generation that is no longer the current one.
type entry struct {
	Key         string            `json:"key"`
	Gen         uint64            `json:"gen"`          // identifies the write
	If          uint64            `json:"if,omitempty"` // applies to this generation only
	State       objState          `json:"state"`
	Blob        bool              `json:"blob,omitempty"` // the file is there
	Size        int64             `json:"size"`
	Sum         hexSum            `json:"sha256"`
	CRC         uint32            `json:"crc32c"`
	Type        string            `json:"type,omitempty"`
	Cache       string            `json:"cache,omitempty"`
	Disposition string            `json:"disposition,omitempty"`
	Meta        map[string]string `json:"meta,omitempty"`
	CreateOnly  bool              `json:"createOnly,omitempty"`
	Derived     bool              `json:"derived,omitempty"` // the key stands for the content
	Transform   *Transform        `json:"transform,omitempty"`
	Time        time.Time         `json:"time"`             // of the write
	Until       time.Time         `json:"until,omitzero"`   // done: retained until
	Handle      string            `json:"handle,omitempty"` // done: the provider's
	URL         string            `json:"url,omitempty"`    // done: at the provider
	Err         string            `json:"err,omitempty"`    // dead: why
}

// hexSum is a SHA-256 that reads as hex in JSON.
type hexSum [32]byte

// MarshalText implements encoding.TextMarshaler.
func (s hexSum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *hexSum) UnmarshalText(b []byte) error {
	if len(b) != 64 {
		return errors.New("not a SHA-256")
	}
	_, err := hex.Decode(s[:], b)
	return err
}

// blobName is the file of e below the root.
func (e *entry) blobName() string { return blobFile{e.Sum, e.Gen}.name() }

// withoutBlob is a promoted e whose local copy goes: what is left is where it is now.
func (e *entry) withoutBlob() entry {
	return entry{Key: e.Key, Gen: e.Gen, State: e.State, Size: e.Size, Sum: e.Sum, CRC: e.CRC, Time: e.Time, Handle: e.Handle, URL: e.URL}
}

func (e *entry) object() Object {
	obj := Object{
		Key: e.Key, Size: e.Size, ContentType: e.Type, CacheControl: e.Cache, Disposition: e.Disposition,
		Metadata: e.Meta, SHA256: e.Sum, CRC32C: e.CRC, HasCRC32C: true, CreateOnly: e.CreateOnly,
	}
	if e.Transform != nil {
		obj.Transform = *e.Transform
	}
	return obj
}

func (e *entry) info() Info {
	return Info{
		Ref: Ref{Key: e.Key, Handle: e.Handle}, Size: e.Size, ContentType: e.Type, CacheControl: e.Cache,
		Disposition: e.Disposition, Metadata: maps.Clone(e.Meta), ETag: e.etag(), SHA256: e.Sum, ModTime: e.Time, Verified: true,
	}
}

func (e *entry) etag() string { return `"` + hex.EncodeToString(e.Sum[:16]) + `"` }

// check refuses an entry that no writer of ours has made.
func (e *entry) check() error {
	if e.State < stateStored || e.State > stateGone {
		return fmt.Errorf("state %d", e.State)
	}
	if e.Gen == 0 || e.Size < 0 {
		return errors.New("generation or size out of range")
	}
	return CheckKey(e.Key)
}

// A record is magic, length and CRC-32C of length and payload (little endian), and
// the payload in JSON. The magic lets recovery find the next record after damage.
const (
	recordMagic  = "\xc5CDN"
	recordHeader = 12
	maxRecord    = 1 << 20
)

// appendRecord appends the record of e to buf.
func appendRecord(buf []byte, e *entry) ([]byte, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return buf, err
	}
	if len(payload) > maxRecord {
		return buf, fmt.Errorf("%w: metadata makes a record of %d bytes", ErrInvalid, len(payload))
	}
	buf = append(buf, recordMagic...)
	n := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	crc := crc32.Update(crc32.Checksum(n, castagnoli), castagnoli, payload)
	buf = append(buf, n...)
	buf = binary.LittleEndian.AppendUint32(buf, crc)
	return append(buf, payload...), nil
}

// errTorn is a record that does not end within the data.
var errTorn = errors.New("cdn: torn record")

// errDamaged is a record that cannot have been written so.
var errDamaged = errors.New("cdn: damaged record")

// decodeRecord reads the record at the start of b and returns its length.
func decodeRecord(b []byte) (*entry, int, error) {
	var d decoder
	n, err := d.decode(b)
	if err != nil {
		return nil, 0, err
	}
	return &d.e, n, nil
}

// replay calls apply for each sound record of b. It returns the length of the sound
// prefix, and damaged when sound records follow unsound bytes; without those the
// rest is a torn tail.
func replay(b []byte, apply func(*entry)) (sound int, damaged bool) {
	for off := 0; off < len(b); {
		e, n, err := decodeRecord(b[off:])
		if err == nil {
			apply(e)
			off += n
			if !damaged {
				sound = off
			}
			continue
		}
		next := nextRecord(b, off+1)
		if next < 0 {
			return sound, damaged
		}
		damaged = true
		off = next
	}
	return sound, damaged
}

// replayFile calls apply for each sound record of r, whose entry is apply's only during
// the call. It returns the length of r and of its sound prefix, and damaged as replay
// does. It holds little of r, except behind the first unsound byte.
func replayFile(r io.Reader, apply func(*entry)) (size, sound int64, damaged bool, err error) {
	var d decoder
	window, off := make([]byte, 0, 256<<10), 0
	for whole := false; !whole; {
		window, off = append(window[:0], window[off:]...), 0
		window = slices.Grow(window, max(cap(window)-len(window), 1)) // a record may be longer
		n, err := io.ReadFull(r, window[len(window):cap(window)])
		if whole = err == io.EOF || err == io.ErrUnexpectedEOF; err != nil && !whole {
			return 0, 0, false, err
		}
		window = window[:len(window)+n]
		for off < len(window) {
			n, err := d.decode(window[off:])
			if err == errTorn && !whole {
				break
			}
			if err != nil { // what is sound behind this must be searched for
				return replayRest(window[off:], r, sound, apply)
			}
			apply(&d.e)
			off += n
			sound += int64(n)
		}
	}
	return sound, sound, false, nil
}

// replayRest is replayFile behind its sound prefix.
func replayRest(begun []byte, r io.Reader, sound int64, apply func(*entry)) (int64, int64, bool, error) {
	rest, err := io.ReadAll(io.MultiReader(bytes.NewReader(begun), r))
	if err != nil {
		return 0, 0, false, err
	}
	_, damaged := replay(rest, apply)
	return sound + int64(len(rest)), sound, damaged, nil
}

// nextRecord finds the first sound record at or after off, or -1.
func nextRecord(b []byte, off int) int {
	for off < len(b) {
		i := bytes.Index(b[off:], []byte(recordMagic))
		if i < 0 {
			return -1
		}
		off += i
		if _, _, err := decodeRecord(b[off:]); err == nil {
			return off
		}
		off++
	}
	return -1
}

// A blob file is the content followed by its manifest: the record of its entry and
// a footer of the record's length and a magic. So the files alone tell what they are.
const (
	footerMagic = "cdnblob1"
	footerSize  = 4 + len(footerMagic)
)

// appendManifest appends the manifest of e to buf.
func appendManifest(buf []byte, e *entry) ([]byte, error) {
	n := len(buf)
	buf, err := appendRecord(buf, e)
	if err != nil {
		return buf, err
	}
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(buf)-n))
	return append(buf, footerMagic...), nil
}
