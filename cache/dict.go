package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// A dictionary is [magic 4][a dictionary of zstd][CRC-32C of all before it, 4 bytes
// little endian]. The sum names it in frames: another content is another version.
const (
	dictMagic    = "PBd1"
	dictHistory  = 16 << 10
	dictMax      = 64 << 10
	dictSamples  = 4096    // values that training looks at
	dictTraining = 4 << 20 // bytes of them
	dictZstdID   = 1       // the shortest in a frame; the name is ours
	dictsMax     = 16

	autoDictS2   = 256      // with a dictionary, Auto is S2 from here,
	autoDictZstd = 512      // and Zstd from here;
	dictPlain    = 16 << 10 // from here a dictionary gains nothing
	zstdMagic    = "\x28\xb5\x2f\xfd"
	dictNameLen  = 4
	dictWindow   = 256 << 10 // keeps the tables of an encoder small
)

// errTraining says that samples do not make a dictionary.
var errTraining = errors.New("samples are too few or too short for a dictionary")

// TrainDict makes a dictionary for [Strategy.Dicts] from samples of the values that
// the strategy will hold, such as those of [View.All]. Some hundreds are enough, and
// no more than 4096 of them, or 4 MiB, are read. The dictionary has about 17 KiB; the
// same samples in the same order give the same one. It holds pieces of the samples:
// treat it as secret as they are. The error is that of the
// codec, or tells that there were too few: at least 16 values, and 2 KiB in all.
func TrainDict[V any](codec Codec[V], samples iter.Seq[V]) (dict []byte, err error) {
	defer func() { // of the codec, or of the trainer for content that it was not made for
		if r := recover(); r != nil {
			dict, err = nil, fmt.Errorf("cache: train dictionary: panicked with a %T", r)
		}
	}()
	var plain [][]byte
	total := 0
	for val := range samples {
		b, err := codec.Encode(nil, val)
		if err != nil {
			return nil, fmt.Errorf("cache: train dictionary: %w", err)
		}
		plain = append(plain, b)
		if total += len(b); len(plain) == dictSamples || total >= dictTraining {
			break
		}
	}
	if len(plain) < 16 || total < 2<<10 {
		return nil, fmt.Errorf("cache: train dictionary: %w", errTraining)
	}
	body, err := zstd.BuildDict(zstd.BuildDictOptions{ID: dictZstdID, Contents: plain,
		History: historyOf(plain), Offsets: [3]int{1, 4, 8}, Level: zstd.SpeedFastest})
	if err != nil {
		return nil, fmt.Errorf("cache: train dictionary: %w", err)
	}
	dict = append([]byte(dictMagic), body...)
	return binary.LittleEndian.AppendUint32(dict, crc32.Checksum(dict, castagnoli)), nil
}

// historyOf returns the text that frames may refer to: values from all over the
// samples, or the beginnings of values where those are long.
func historyOf(plain [][]byte) []byte {
	const share = dictHistory / 8
	step := max(len(plain)*min(share, len(plain[0])+1)/dictHistory, 1)
	var h []byte
	for i := 0; i < len(plain) && len(h) < dictHistory; i += step {
		h = append(h, plain[i][:min(len(plain[i]), share)]...)
	}
	return h[:min(len(h), dictHistory)]
}

// dictionary is one of Strategy.Dicts. Coders are made at first use.
type dictionary struct {
	name    uint32
	body    []byte // for zstd
	history []byte // for s2

	s2Once, encOnce, decOnce sync.Once
	s2                       *s2.Dict
	enc                      *zstd.Encoder
	dec                      *zstd.Decoder
	encErr, decErr           error
}

// parseDict checks the bytes of a dictionary and copies them.
func parseDict(b []byte) (d *dictionary, err error) {
	defer func() {
		if r := recover(); r != nil {
			d, err = nil, errNoDict
		}
	}()
	if len(b) < len(dictMagic)+4 || len(b) > dictMax || string(b[:len(dictMagic)]) != dictMagic {
		return nil, errNoDict
	}
	b = append([]byte(nil), b...)
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errNoDict
	}
	body = body[len(dictMagic):]
	info, err := zstd.InspectDictionary(body)
	if err != nil || info.ID() != dictZstdID || info.ContentSize() < s2.MinDictSize {
		return nil, errNoDict
	}
	return &dictionary{name: sum, body: body, history: info.Content()}, nil
}

var errNoDict = errors.New("not made by TrainDict, or damaged")

// newPacker returns the packer for a strategy with dictionaries; the first one
// compresses.
func newPacker(dicts [][]byte) (*packer, error) {
	if len(dicts) > dictsMax {
		return nil, fmt.Errorf("field Dicts has more than %d", dictsMax)
	}
	p := &packer{}
	for i, b := range dicts {
		d, err := parseDict(b)
		if err != nil {
			return nil, fmt.Errorf("field Dicts[%d] is %w", i, err)
		}
		p.dicts = append(p.dicts, d)
	}
	return p, nil
}

// dict returns the dictionary of the name at the beginning of a payload, and the rest.
func (p *packer) dict(payload []byte) (*dictionary, []byte, error) {
	if len(payload) < dictNameLen {
		return nil, nil, errDictName
	}
	name := binary.LittleEndian.Uint32(payload)
	for _, d := range p.dicts {
		if d.name == name {
			return d, payload[dictNameLen:], nil
		}
	}
	return nil, nil, errDictName
}

var (
	errDictName = errors.New("unknown dictionary")
	errDictSize = errors.New("too long for a dictionary")
)

// algorithm returns how n bytes are compressed if that is asked for.
func (p *packer) algorithm(how Compression, n int) byte {
	with := len(p.dicts) > 0 && n < dictPlain
	switch {
	case with && (how == Zstd || how == Auto && n >= autoDictZstd):
		return algZstdDict
	case with && (how == S2 || how == Auto && n >= autoDictS2):
		return algS2Dict
	case how == Zstd || how == Auto && n >= autoZstd:
		return algZstd
	case how == S2 || how == Auto && n >= autoS2:
		return algS2
	}
	return algNone
}

// deflate compresses plain by s2 with d, or by zstd without the magic number that
// its frames begin with. The result begins with the name of d.
func (d *dictionary) deflate(alg byte, plain []byte) ([]byte, error) {
	name := binary.LittleEndian.AppendUint32(nil, d.name)
	if alg == algS2Dict {
		return append(name, d.forS2().Encode(nil, plain)...), nil
	}
	d.encOnce.Do(func() {
		d.enc, d.encErr = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithEncoderDict(d.body),
			zstd.WithWindowSize(dictWindow), zstd.WithLowerEncoderMem(true))
	})
	if d.encErr != nil {
		return nil, d.encErr
	}
	out := d.enc.EncodeAll(plain, make([]byte, 0, len(plain)/2+64))
	return append(name, out[len(zstdMagic):]...), nil
}

// inflate is the reverse of deflate into room, to at most size bytes.
func (d *dictionary) inflate(room *[]byte, alg byte, payload []byte, size int) ([]byte, error) {
	if size >= dictPlain {
		return nil, errDictSize
	}
	if alg == algS2Dict {
		if n, err := s2.DecodedLen(payload); err != nil || n != size {
			return nil, s2.ErrCorrupt
		}
		return d.forS2().Decode(grown(room, size), payload)
	}
	d.decOnce.Do(func() {
		d.dec, d.decErr = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderDicts(d.body),
			zstd.WithDecoderMaxMemory(uint64(maxUnpacked)), zstd.WithDecodeAllCapLimit(true))
	})
	if d.decErr != nil {
		return nil, d.decErr
	}
	// One piece for the frame with its magic number and for what it becomes.
	buf := grown(room, size+len(zstdMagic)+len(payload))
	frame := append(append(buf[size:size], zstdMagic...), payload...)
	return d.dec.DecodeAll(frame, buf[:0:size])
}

func (d *dictionary) forS2() *s2.Dict {
	d.s2Once.Do(func() { d.s2 = s2.MakeDict(d.history, nil) })
	return d.s2
}
