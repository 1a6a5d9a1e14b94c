package cache

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

type chatAuthor struct {
	ID     int    `json:"id"`
	Name   string `json:"display_name"`
	Avatar string `json:"avatar_url"`
	Role   string `json:"role"`
}

type chatMessage struct {
	ID      int        `json:"id"`
	Room    int        `json:"room_id"`
	Author  chatAuthor `json:"author"`
	Text    string     `json:"text"`
	Sent    time.Time  `json:"sent_at"`
	Edited  bool       `json:"edited"`
	ReplyTo int        `json:"reply_to"`
}

// chatMessages makes n messages of about 656 bytes of JSON, with a text from a small
// list of words.
func chatMessages(seed uint64, n int) []chatMessage {
	rng := rand.New(rand.NewPCG(seed, 1))
	words := strings.Fields(`the of and to in is you that it he was for on are as with his they at be this
		have from or one had by word but not`)
	zipf := rand.NewZipf(rng, 1.2, 2, uint64(len(words)-1))
	some := func(n int) string {
		picked := make([]string, n)
		for i := range picked {
			picked[i] = words[zipf.Uint64()]
		}
		return strings.Join(picked, " ")
	}
	messages := make([]chatMessage, n)
	for i := range messages {
		author := 10_000 + rng.IntN(2000)
		messages[i] = chatMessage{ID: rng.IntN(1e8), Room: rng.IntN(1e4), Text: some(79 + rng.IntN(79)),
			Author: chatAuthor{ID: author, Name: some(2), Role: []string{"member", "admin", "guest"}[rng.IntN(3)],
				Avatar: fmt.Sprintf("https://cdn.example.com/avatars/%d.webp", author)},
			Sent: time.Unix(1_700_000_000+rng.Int64N(1e7), 0).UTC(), Edited: rng.IntN(8) == 0, ReplyTo: rng.IntN(1e8)}
	}
	return messages
}

func trained(t testing.TB, seed uint64) []byte {
	t.Helper()
	d, err := TrainDict(JSON[chatMessage](), slices.Values(chatMessages(seed, 400)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func packerWith(t testing.TB, dicts ...[]byte) *packer {
	t.Helper()
	p, err := newPacker(dicts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDictSmaller: messages that training did not see become three times smaller, and
// come back as they were.
func TestDictSmaller(t *testing.T) {
	dict := trained(t, 1)
	if len(dict) > dictHistory+2<<10 {
		t.Errorf("a dictionary of %d bytes", len(dict))
	}
	p := packerWith(t, dict)
	var plainBytes, packedBytes int
	for _, msg := range chatMessages(2, 500) {
		plain, _ := json.Marshal(msg)
		frame, _ := p.pack(plain, Auto)
		got, err := p.unpack(frame)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("unpack of %d bytes: %d bytes, %v", len(plain), len(got), err)
		}
		plainBytes += len(plain)
		packedBytes += len(frame)
	}
	ratio := float64(plainBytes) / float64(packedBytes)
	without := func(how Compression) float64 {
		n := 0
		for _, msg := range chatMessages(2, 500) {
			plain, _ := json.Marshal(msg)
			frame, _ := packerWith(t).pack(plain, how)
			n += len(frame)
		}
		return float64(plainBytes) / float64(n)
	}
	t.Logf("%d bytes on average, %.2f times smaller; without a dictionary %.2f by S2, %.2f by Zstd",
		plainBytes/500, ratio, without(S2), without(Zstd))
	if ratio < 3 {
		t.Errorf("%.2f times smaller; want 3", ratio)
	}
}

func TestDictAlgorithms(t *testing.T) {
	with, without := packerWith(t, trained(t, 1)), packerWith(t)
	for _, tt := range []struct {
		how           Compression
		n             int
		plain, dicted byte
	}{
		{None, 1000, algNone, algNone},
		{Auto, 255, algNone, algNone},
		{Auto, 256, algNone, algS2Dict},
		{Auto, 512, algS2, algZstdDict},
		{Auto, 16383, algZstd, algZstdDict},
		{Auto, 16384, algZstd, algZstd},
		{S2, 10, algS2, algS2Dict},
		{S2, 16384, algS2, algS2},
		{Zstd, 10, algZstd, algZstdDict},
		{Zstd, 16384, algZstd, algZstd},
	} {
		if a, b := without.algorithm(tt.how, tt.n), with.algorithm(tt.how, tt.n); a != tt.plain || b != tt.dicted {
			t.Errorf("%v of %d bytes = %d, with a dictionary %d; want %d, %d", tt.how, tt.n, a, b, tt.plain, tt.dicted)
		}
	}
}

// TestDictVersions: an older dictionary decodes while it is given, and frames
// without any always do.
func TestDictVersions(t *testing.T) {
	old, now := trained(t, 1), trained(t, 3)
	if bytes.Equal(old, now) || !bytes.Equal(old, trained(t, 1)) {
		t.Fatal("dictionaries do not depend on the samples alone")
	}
	plain, _ := json.Marshal(chatMessages(2, 1)[0])
	for _, how := range []Compression{S2, Zstd} {
		frame, compressed := packerWith(t, old).pack(plain, how)
		if !compressed {
			t.Fatalf("%v: not compressed", how)
		}
		if got, err := packerWith(t, now, old).unpack(frame); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%v: with the old one behind: %v", how, err)
		}
		for name, p := range map[string]*packer{"none": packerWith(t), "another": packerWith(t, now)} {
			if _, err := p.unpack(frame); !errors.Is(err, ErrDecode) {
				t.Errorf("%v: with %s: error = %v; want ErrDecode", how, name, err)
			}
		}
		frame, _ = packerWith(t).pack(plain, how)
		if got, err := packerWith(t, now).unpack(frame); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%v: a frame without dictionary: %v", how, err)
		}
	}
}

// TestDictBitFlips: each flipped bit and each cut is found, in frames and in
// dictionaries; and what gets past the sum of a frame is an error or some bytes of
// the length that it tells, never a panic.
func TestDictBitFlips(t *testing.T) {
	dict := trained(t, 1)
	p := packerWith(t, dict)
	plain, _ := json.Marshal(chatMessages(2, 1)[0])
	for _, how := range []Compression{S2, Zstd} {
		frame, _ := p.pack(plain, how)
		for i := range len(frame) * 8 {
			bad := bytes.Clone(frame)
			bad[i/8] ^= 1 << (i % 8)
			if _, err := p.unpack(bad); !errors.Is(err, ErrDecode) {
				t.Fatalf("%v, bit %d: error = %v; want ErrDecode", how, i, err)
			}
			sum := crc32.Checksum(bad[:len(bad)-4], castagnoli)
			binary.LittleEndian.PutUint32(bad[len(bad)-4:], sum)
			if _, err := p.unpack(bad); err != nil && !errors.Is(err, ErrDecode) {
				t.Fatalf("%v, bit %d, summed: error = %v; want ErrDecode", how, i, err)
			}
		}
		for n := range frame {
			if _, err := p.unpack(frame[:n]); !errors.Is(err, ErrDecode) {
				t.Fatalf("%v, cut to %d: error = %v; want ErrDecode", how, n, err)
			}
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		bad := bytes.Clone(dict)
		bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		if _, err := newPacker([][]byte{bad}); err == nil {
			t.Fatal("a damaged dictionary was taken")
		}
		if _, err := newPacker([][]byte{dict[:rng.IntN(len(dict))]}); err == nil {
			t.Fatal("a cut dictionary was taken")
		}
		// Whoever makes the sum fit may get garbage, and no panic.
		binary.LittleEndian.PutUint32(bad[len(bad)-4:], crc32.Checksum(bad[:len(bad)-4], castagnoli))
		if q, err := newPacker([][]byte{bad}); err == nil {
			frame, _ := q.pack(plain, Zstd)
			_, _ = q.unpack(frame)
		}
	}
}

func TestDictBombs(t *testing.T) {
	p := packerWith(t, trained(t, 1))
	plain := bytes.Repeat([]byte("the "), 4000)
	for _, alg := range []byte{algS2Dict, algZstdDict} {
		payload, err := p.dicts[0].deflate(alg, plain)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{100, len(plain) - 1, dictPlain, 1 << 30} {
			if got, err := p.expand(new([]byte), alg, payload, size); err == nil {
				t.Errorf("algorithm %d: expand to %d gave %d bytes", alg, size, len(got))
			}
		}
	}
}

func TestDictConcurrent(t *testing.T) {
	p := packerWith(t, trained(t, 1))
	msgs := chatMessages(2, 64)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				plain, _ := json.Marshal(msgs[(g*7+i)%len(msgs)])
				frame, _ := p.pack(plain, []Compression{S2, Zstd}[i%2])
				if got, err := p.unpack(frame); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("unpack error = %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDictUnknownIsAMiss(t *testing.T) {
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	old, now := trained(t, 1), trained(t, 3)
	s := Strategy[chatMessage]{Name: "s", Codec: JSON[chatMessage](), Compression: Auto, Dicts: [][]byte{old}}
	v, err := Add(c, s)
	if err != nil {
		t.Fatal(err)
	}
	msg := chatMessages(2, 1)[0]
	_ = v.Set(t.Context(), "k", msg)
	it, _ := c.engine.Get(v.key("k"))
	if it.kind() != kindPacked || held[packed](it).frame[1] != algZstdDict {
		t.Fatalf("held as kind %d", it.kind())
	}
	if got, ok := v.Get(t.Context(), "k"); !ok || fmt.Sprint(got) != fmt.Sprint(msg) {
		t.Fatal("Get with the dictionary missed")
	}
	v.core.pack = packerWith(t, now)
	if _, ok := v.Get(t.Context(), "k"); ok {
		t.Error("Get without the dictionary hit")
	}
	if st := v.Stats(); st.DecodeErrors != 1 || st.Entries != 0 {
		t.Errorf("Stats() = %+v; want 1 decode error, nothing held", st)
	}
}

func TestDictOptions(t *testing.T) {
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dict := trained(t, 1)
	s := Strategy[chatMessage]{Name: "s", Codec: JSON[chatMessage](), Compression: Auto, Dicts: [][]byte{dict, dict[1:]}}
	_, err = Add(c, s)
	if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "Dicts[1] is not made by TrainDict, or damaged") {
		t.Errorf("Add with a damaged dictionary: %v", err)
	}
	s.Compression, s.Dicts = None, [][]byte{dict}
	if _, err = Add(c, s); !errors.Is(err, ErrOptions) {
		t.Errorf("Add with a dictionary and no compression: %v", err)
	}
	s.Compression, s.Dicts = Auto, slices.Repeat([][]byte{dict}, dictsMax+1)
	if _, err = Add(c, s); !errors.Is(err, ErrOptions) {
		t.Errorf("Add with too many dictionaries: %v", err)
	}
	for name, samples := range map[string][]string{
		"none": nil, "few": {strings.Repeat("x", 4000)}, "short": slices.Repeat([]string{"x"}, 100),
		"empty": slices.Repeat([]string{""}, 3000)} {
		if _, err := TrainDict(Raw[string](), slices.Values(samples)); err == nil {
			t.Errorf("TrainDict of %s samples: no error", name)
		}
	}
	// Training on what does not suit it is an error or a dictionary, no panic.
	for _, one := range []string{strings.Repeat("x", 200), "abcdefgh"} {
		_, _ = TrainDict(Raw[string](), slices.Values(slices.Repeat([]string{one}, 1000)))
	}
}

func BenchmarkDictUnpack(b *testing.B) {
	p := packerWith(b, trained(b, 1))
	var frames [][]byte
	plainBytes, packedBytes := 0, 0
	for _, msg := range chatMessages(2, 500) {
		plain, _ := json.Marshal(msg)
		frame, _ := p.pack(plain, Auto)
		frames = append(frames, frame)
		plainBytes += len(plain)
		packedBytes += len(frame)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := p.unpack(frames[i%len(frames)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(plainBytes)/float64(packedBytes), "times-smaller")
	b.ReportMetric(float64(plainBytes)/float64(len(frames)), "B/value")
}

func BenchmarkDictPack(b *testing.B) {
	p := packerWith(b, trained(b, 1))
	var plain [][]byte
	for _, msg := range chatMessages(2, 500) {
		j, _ := json.Marshal(msg)
		plain = append(plain, j)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.pack(plain[i%len(plain)], Auto)
		i++
	}
}

// FuzzDict: no bytes make a dictionary, or a frame that names one, that panics or that
// expands to more than the frame tells. Sums are made right.
func FuzzDict(f *testing.F) {
	dict := trained(f, 1)
	good := packerWith(f, dict)
	plain, _ := json.Marshal(chatMessages(2, 1)[0])
	for _, how := range []Compression{S2, Zstd} {
		frame, _ := good.pack(plain, how)
		f.Add(dict[:300], frame)
		f.Add(dict[len(dictMagic):len(dictMagic)+40], frame[:len(frame)/2])
	}
	f.Fuzz(func(t *testing.T, dict, frame []byte) {
		p := good
		body := append([]byte(dictMagic), dict...)
		if q, err := newPacker([][]byte{binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, castagnoli))}); err == nil {
			p = q
			for _, how := range []Compression{S2, Zstd} {
				packed, _ := p.pack(plain, how)
				if back, err := p.unpack(packed); err == nil && !bytes.Equal(back, plain) {
					t.Errorf("%v: packed and unpacked: %q; want %q", how, back, plain)
				}
			}
		}
		if len(frame) < frameMin {
			return
		}
		frame = bytes.Clone(frame[:len(frame)-4])
		if _, n := binary.Uvarint(frame[2:]); n > 0 && len(frame) >= 2+n+dictNameLen && frame[1] >= algS2Dict {
			binary.LittleEndian.PutUint32(frame[2+n:], p.dicts[0].name)
		}
		frame = binary.LittleEndian.AppendUint32(frame, crc32.Checksum(frame, castagnoli))
		if _, err := p.unpack(frame); err != nil && !errors.Is(err, ErrDecode) {
			t.Errorf("error %v; want ErrDecode", err)
		}
	})
}
