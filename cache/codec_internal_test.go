package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"
)

func plainSamples() [][]byte {
	rng := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 5000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	text := []byte(strings.Repeat("the quick brown fox, ", 400))
	return [][]byte{nil, {0}, text[:100], text[:1000], text, noise}
}

func TestFrameRoundTrip(t *testing.T) {
	var p packer
	for _, plain := range plainSamples() {
		for how := None; how <= Zstd; how++ {
			frame, compressed := p.pack(plain, how)
			got, err := p.unpack(frame)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%v of %d bytes: got %d bytes, %v", how, len(plain), len(got), err)
			}
			if compressed && len(frame) > len(plain) {
				t.Errorf("%v of %d bytes: frame of %d bytes", how, len(plain), len(frame))
			}
		}
	}
	if _, compressed := p.pack(plainSamples()[5], Zstd); compressed {
		t.Error("noise was kept compressed")
	}
}

// TestFrameBitFlips: each single flipped bit, and each cut, is found.
func TestFrameBitFlips(t *testing.T) {
	var p packer
	for _, how := range []Compression{None, S2, Zstd} {
		frame, _ := p.pack(plainSamples()[3], how)
		for i := range len(frame) * 8 {
			bad := bytes.Clone(frame)
			bad[i/8] ^= 1 << (i % 8)
			if _, err := p.unpack(bad); !errors.Is(err, ErrDecode) {
				t.Fatalf("%v, bit %d: error = %v; want ErrDecode", how, i, err)
			}
		}
		for n := range frame {
			if _, err := p.unpack(frame[:n]); !errors.Is(err, ErrDecode) {
				t.Fatalf("%v, cut to %d: error = %v; want ErrDecode", how, n, err)
			}
		}
	}
}

// TestFrameBombs: what decompresses to more than the frame says is refused.
func TestFrameBombs(t *testing.T) {
	var p packer
	big := make([]byte, 1<<20)
	for _, alg := range []byte{algS2, algZstd} {
		frame, _ := p.pack(big, map[byte]Compression{algS2: S2, algZstd: Zstd}[alg])
		_, payload := frame[:2], frame[2+3:len(frame)-4] // 1<<20 takes three bytes
		if got, err := p.expand(new([]byte), alg, payload, 1000); err == nil {
			t.Errorf("algorithm %d: expand to at most 1000 = %d bytes", alg, len(got))
		}
	}
}

// TestFrameClaimsLittle: a frame with a right sum that claims far more than its payload
// could become is refused before room is made for it; what is written is never so.
func TestFrameClaimsLittle(t *testing.T) {
	var p packer
	for _, alg := range []byte{algS2, algZstd, algS2Dict, algZstdDict} {
		frame := binary.AppendUvarint([]byte{frameFormat, alg}, uint64(maxUnpacked))
		frame = append(frame, binary.AppendUvarint(nil, uint64(maxUnpacked))...) // as s2 tells it
		frame = append(frame, "some bytes that are no frame"...)
		frame = binary.LittleEndian.AppendUint32(frame, crc32.Checksum(frame, castagnoli))
		room := new([]byte)
		if _, err := p.unpackInto(room, frame); !errors.Is(err, ErrDecode) || cap(*room) > expandFree {
			t.Errorf("algorithm %d: %v, with room for %d bytes", alg, err, cap(*room))
		}
	}
	for _, how := range []Compression{S2, Zstd} {
		for _, n := range []int{expandFree, expandFree + 1, 8 << 20} {
			plain := make([]byte, n)
			frame, _ := p.pack(plain, how)
			if got, err := p.unpack(frame); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%v of %d zeros in %d bytes: %v", how, n, len(frame), err)
			}
		}
	}
}

func TestDamagedEntryIsAMiss(t *testing.T) {
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := Add(c, Strategy[string]{Name: "s", Codec: Raw[string](), Compression: Zstd})
	if err != nil {
		t.Fatal(err)
	}
	val := strings.Repeat("x", 10_000)
	_ = v.Set(t.Context(), "k", val)
	it, _ := c.engine.Get(v.key("k"))
	frame := held[packed](it).frame
	if got, ok := v.Get(t.Context(), "k"); !ok || got != val {
		t.Fatal("Get of a packed value failed")
	}
	frame[len(frame)/2] ^= 1
	if _, ok := v.Get(t.Context(), "k"); ok {
		t.Error("Get of damaged bytes hit")
	}
	if st := v.Stats(); st.DecodeErrors != 1 || st.Entries != 0 || st.SavedBytes != 0 {
		t.Errorf("Stats() = %+v; want 1 decode error, nothing held", st)
	}
}

func FuzzUnpack(f *testing.F) {
	var p packer
	for _, plain := range plainSamples() {
		for how := None; how <= Zstd; how++ {
			frame, _ := p.pack(plain, how)
			f.Add(frame, true)
			f.Add(frame[:len(frame)-1], false)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, sum bool) {
		if sum { // get past the checksum
			data = append([]byte{frameFormat}, data...)
			data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
		}
		if plain, err := p.unpack(data); err == nil && int64(len(plain)) > maxUnpacked {
			t.Errorf("%d bytes unpacked", len(plain))
		} else if err != nil && !errors.Is(err, ErrDecode) {
			t.Errorf("error %v; want ErrDecode", err)
		}
	})
}

func TestBuckets(t *testing.T) {
	last := 0
	for d := int64(1); d < 1<<40; d += 1 + d/7 {
		b := bucketOf(d)
		if b < last || b >= histBuckets {
			t.Fatalf("bucketOf(%d) = %d after %d", d, b, last)
		}
		last = b
		if mid := float64(bucketMid(b)); d > 4 && (mid/float64(d) > 1.5 || mid/float64(d) < 0.66) {
			t.Errorf("bucketMid(bucketOf(%d)) = %v", d, mid)
		}
	}
}
