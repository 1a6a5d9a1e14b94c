package cache

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Codec turns values into bytes and back. It must be safe for concurrent use, and
// must not keep or modify the bytes that it is given.
type Codec[V any] interface {
	// Name identifies the format; bytes of another name are never decoded.
	Name() string
	// Encode appends the bytes of v to dst and returns the extended slice.
	Encode(dst []byte, v V) ([]byte, error)
	// Decode returns the value of src. It must not panic on any input, and the
	// value must not share memory with src.
	Decode(src []byte) (V, error)
}

// JSON returns a codec over encoding/json. What JSON drops (unexported fields,
// the dynamic type of an interface) does not survive.
func JSON[V any]() Codec[V] { return jsonCodec[V]{} }

type jsonCodec[V any] struct{}

func (jsonCodec[V]) Name() string { return "json" }

func (jsonCodec[V]) Encode(dst []byte, v V) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

func (jsonCodec[V]) Decode(src []byte) (v V, err error) {
	if err := json.Unmarshal(src, &v); err != nil {
		return v, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	return v, nil
}

// Raw returns a codec for strings and byte slices: the bytes as they are.
func Raw[V ~string | ~[]byte]() Codec[V] { return rawCodec[V]{} }

type rawCodec[V ~string | ~[]byte] struct{}

func (rawCodec[V]) Name() string { return "raw" }

func (rawCodec[V]) Encode(dst []byte, v V) ([]byte, error) { return append(dst, v...), nil }

func (rawCodec[V]) Decode(src []byte) (V, error) { return V(append([]byte(nil), src...)), nil }

// A frame is [format 1][algorithm 1][plain length, uvarint][payload][CRC-32C of all
// before it, 4 bytes little endian]. The sum is checked before anything is parsed
// further, and the length bounds what decompression may produce.
const (
	frameFormat = 1
	algNone     = 0
	algS2       = 1
	algZstd     = 2
	algS2Dict   = 3 // the payload begins with the name of a dictionary
	algZstdDict = 4 // likewise
	frameMin    = 1 + 1 + 1 + 4

	scratchMax  = 64 << 10
	expandFree  = 1 << 20 // bytes that any payload may expand to,
	expandRatio = 1024    // and times its size beyond

	autoS2   = 512
	autoZstd = 4 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// packer compresses and decompresses frames. Encoders are made at first use.
type packer struct {
	dicts   []*dictionary // of the strategy; the first one compresses
	scratch sync.Pool     // of *[]byte: plain bytes that a codec has decoded

	encOnce, decOnce sync.Once
	enc              *zstd.Encoder
	dec              *zstd.Decoder
	encErr, decErr   error
}

// pack frames plain, compressed as asked when that saves at least 1/8.
func (p *packer) pack(plain []byte, how Compression) (frame []byte, compressed bool) {
	alg := p.algorithm(how, len(plain))
	payload, err := p.deflate(alg, plain)
	if err != nil || alg != algNone && (len(payload) > len(plain)-len(plain)/8 || int64(len(plain)) > expandable(len(payload))) {
		alg, payload = algNone, plain
	}
	frame = make([]byte, 0, 2+binary.MaxVarintLen64+len(payload)+4)
	frame = append(frame, frameFormat, alg)
	frame = binary.AppendUvarint(frame, uint64(len(plain)))
	frame = append(frame, payload...)
	frame = binary.LittleEndian.AppendUint32(frame, crc32.Checksum(frame, castagnoli))
	return frame, alg != algNone
}

// deflate compresses plain, or returns it as it is.
func (p *packer) deflate(alg byte, plain []byte) ([]byte, error) {
	switch alg {
	case algS2:
		return s2.Encode(nil, plain), nil
	case algZstd:
		p.encOnce.Do(func() {
			p.enc, p.encErr = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
				zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
		})
		if p.encErr != nil {
			return nil, p.encErr
		}
		return p.enc.EncodeAll(plain, nil), nil
	case algS2Dict, algZstdDict:
		return p.dicts[0].deflate(alg, plain)
	}
	return plain, nil
}

// expandable is what a payload of n bytes may expand to: room is made for it before it is
// read, so that a small frame, though its sum be right, must not claim a large value.
func expandable(n int) int64 { return max(expandFree, int64(n)*expandRatio) }

// borrow returns room for plain bytes, to be given to unpackInto and then to giveBack.
func (p *packer) borrow() *[]byte {
	if b, ok := p.scratch.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

// giveBack keeps the room for the next one, unless it is much.
func (p *packer) giveBack(b *[]byte) {
	if cap(*b) <= scratchMax {
		p.scratch.Put(b)
	}
}

// unpack returns the plain bytes of a frame; they may share its memory.
func (p *packer) unpack(frame []byte) ([]byte, error) { return p.unpackInto(new([]byte), frame) }

// unpackInto is unpack that uses the memory of room, and makes it larger if need be.
func (p *packer) unpackInto(room *[]byte, frame []byte) ([]byte, error) {
	if len(frame) < frameMin {
		return nil, fmt.Errorf("%w: %d bytes are no frame", ErrDecode, len(frame))
	}
	body, sum := frame[:len(frame)-4], binary.LittleEndian.Uint32(frame[len(frame)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, fmt.Errorf("%w: checksum differs", ErrDecode)
	}
	if body[0] != frameFormat {
		return nil, fmt.Errorf("%w: unknown format %d", ErrDecode, body[0])
	}
	size, n := binary.Uvarint(body[2:])
	if n <= 0 || size > uint64(maxUnpacked) || size > uint64(expandable(len(body)-2-n)) {
		return nil, fmt.Errorf("%w: bad length", ErrDecode)
	}
	plain, err := p.expand(room, body[1], body[2+n:], int(size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	if len(plain) != int(size) {
		return nil, fmt.Errorf("%w: length differs", ErrDecode)
	}
	return plain, nil
}

// grown returns n bytes of room, which it makes larger if need be.
func grown(room *[]byte, n int) []byte {
	if cap(*room) < n {
		*room = make([]byte, n)
	}
	return (*room)[:n]
}

// expand decompresses payload into room, to at most size bytes.
func (p *packer) expand(room *[]byte, alg byte, payload []byte, size int) ([]byte, error) {
	switch alg {
	case algNone:
		return payload, nil
	case algS2:
		if n, err := s2.DecodedLen(payload); err != nil || n != size {
			return nil, s2.ErrCorrupt
		}
		return s2.Decode(grown(room, size), payload)
	case algZstd:
		p.decOnce.Do(func() {
			p.dec, p.decErr = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0),
				zstd.WithDecoderMaxMemory(uint64(maxUnpacked)), zstd.WithDecodeAllCapLimit(true))
		})
		if p.decErr != nil {
			return nil, p.decErr
		}
		// With the capacity as limit, a frame that lies about its size is refused.
		return p.dec.DecodeAll(payload, grown(room, size)[:0:size])
	case algS2Dict, algZstdDict:
		d, rest, err := p.dict(payload)
		if err != nil {
			return nil, err
		}
		return d.inflate(room, alg, rest, size)
	}
	return nil, fmt.Errorf("unknown algorithm %d", alg)
}
