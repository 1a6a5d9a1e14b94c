package cdntest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"sync"

	"github.com/perfblocks/perfblocks/cdn"
)

func (s *suite) putThenRead() {
	for _, n := range []int{0, 1, 4096, 300_000} {
		b := content(n, 1)
		ref := s.put(object(s.key(fmt.Sprintf("size-%d.bin", n)), b), b)
		s.want(ref, b)
		if !s.o.NeedHandle {
			s.want(cdn.Ref{Key: ref.Key}, b)
		}
	}
}

func (s *suite) ranges() {
	b := content(10_000, 2)
	ref := s.put(object(s.key("range.bin"), b), b)
	for _, c := range []struct{ off, n, from, to int64 }{
		{0, 1, 0, 1}, {0, 10_000, 0, 10_000}, {17, 100, 17, 117}, {9_999, 1, 9_999, 10_000},
		{5_000, -1, 5_000, 10_000}, {9_000, 5_000, 9_000, 10_000},
	} {
		got, err := s.read(ref, c.off, c.n)
		if err != nil || !bytes.Equal(got, b[c.from:c.to]) {
			s.Errorf("Open(off %d, length %d) = %s, %v; want bytes %d to %d", c.off, c.n, describe(got), err, c.from, c.to)
		}
	}
	r, info, err := s.p.Open(s.ctx, ref, 17, 100)
	if err != nil {
		s.Fatal(err)
	}
	r.Close() // unread, which must be harmless
	if info.Size != int64(len(b)) {
		s.Errorf("Open(off 17, length 100): Info.Size = %d; want the whole object's %d", info.Size, len(b))
	}
	for _, n := range []int64{-1, 5} {
		if got, err := s.read(ref, int64(len(b)), n); len(got) > 0 || err != nil && !errors.Is(err, cdn.ErrInvalid) {
			s.Errorf("Open at the end, length %d = %d bytes, %v; want nothing, or ErrInvalid", n, len(got), err)
		}
	}
}

func (s *suite) missing() {
	ref := cdn.Ref{Key: s.key("never/was here.bin")}
	s.wantGone(ref)
	if err := s.p.Delete(s.ctx, ref); err != nil {
		s.Errorf("Delete of a missing object = %v; want nil", err)
	}
}

func (s *suite) remove() {
	b, other := content(100, 3), content(100, 4)
	ref := s.put(object(s.key("delete.bin"), b), b)
	stays := s.put(object(s.key("delete.bin.not"), other), other)
	for range 2 {
		if err := s.p.Delete(s.ctx, ref); err != nil {
			s.Fatalf("Delete: %v", err)
		}
		s.wantGone(ref)
	}
	s.want(stays, other)
	ref = s.put(object(ref.Key, b), b) // a deleted key can be used again
	s.want(ref, b)
}

func (s *suite) overwrite() {
	for i, n := range []int{500, 20, 900, 900} {
		b := content(n, uint64(10+i))
		s.want(s.put(object(s.key("overwrite.bin"), b), b), b)
	}
	b := content(64, 20)
	for range 2 { // equal content is harmless
		s.want(s.put(object(s.key("same.bin"), b), b), b)
	}
}

func (s *suite) attributes() {
	b := []byte("hello, attributes")
	obj := object(s.key("attributes.txt"), b)
	obj.ContentType = "text/plain; charset=utf-8"
	obj.CacheControl = "public, max-age=31536000, immutable"
	obj.Disposition = `attachment; filename="a b.txt"`
	obj.Metadata = map[string]string{"owner": "u-17", "note": "plain ascii text"}
	was := maps.Clone(obj.Metadata)
	info := s.want(s.put(obj, b), b)
	if !maps.Equal(obj.Metadata, was) {
		s.Errorf("Put changed Object.Metadata to %v", obj.Metadata)
	}
	check := func(name, got, want string, skip bool) {
		if !skip && got != want {
			s.Errorf("Head: %s = %q; want %q", name, got, want)
		}
	}
	check("ContentType", info.ContentType, obj.ContentType, s.o.NoContentType)
	check("CacheControl", info.CacheControl, obj.CacheControl, s.o.NoCacheControl)
	check("Disposition", info.Disposition, obj.Disposition, s.o.NoDisposition)
	for k, v := range was {
		check("Metadata["+k+"]", info.Metadata[k], v, s.o.NoMetadata)
	}
	obj.ContentType, obj.Metadata = "text/csv", map[string]string{"owner": "u-18"}
	info = s.want(s.put(obj, b), b)
	check("ContentType after overwriting", info.ContentType, "text/csv", s.o.NoContentType)
	check("Metadata[owner] after overwriting", info.Metadata["owner"], "u-18", s.o.NoMetadata)
	check("Metadata[note] after overwriting", info.Metadata["note"], "", s.o.NoMetadata)
}

// oddKeys demands an exact round trip or ErrKey, and that no two keys meet.
func (s *suite) oddKeys() {
	type stored struct {
		ref cdn.Ref
		b   []byte
	}
	var all []stored
	for i, name := range []string{
		"plain", "plain/below", "UPPER", "upper", "a b/ü+%&=?#.txt", "a b", "a+b", "a%20b", "日本語/ảnh.png", "x;y,z@$!*'()~",
		"<b>&\"quoted\"", ".hidden", "..x", "dash--dot..", "e\u0301", "\u00e9", "many/levels/of/folders/in/one/key",
	} {
		key := s.key("odd/" + name)
		if cdn.CheckKey(key) != nil {
			continue
		}
		b := content(50+i, uint64(100+i))
		info, err := s.p.Put(s.ctx, object(key, b), bytes.NewReader(b))
		if errors.Is(err, cdn.ErrKey) {
			continue
		}
		if err != nil {
			s.Errorf("Put(%q) = %v; want success or ErrKey", key, err)
			continue
		}
		all = append(all, stored{info.Ref, b})
	}
	urls := map[string]string{}
	for _, o := range all {
		s.want(o.ref, o.b)
		u, err := s.p.URL(o.ref)
		if err != nil {
			s.Errorf("URL(%q): %v", o.ref.Key, err)
		} else if urls[u] != "" {
			s.Errorf("URL(%q) = URL(%q) = %q", o.ref.Key, urls[u], u)
		}
		urls[u] = o.ref.Key
	}
}

func (s *suite) createOnly() {
	if s.o.NoCreateOnly {
		s.Skip("the provider ignores CreateOnly")
	}
	b, other := content(300, 30), content(301, 31)
	obj := object(s.key("create.bin"), b)
	obj.CreateOnly = true
	ref := s.put(obj, b)
	again := object(obj.Key, other)
	again.CreateOnly = true
	if _, err := s.p.Put(s.ctx, again, bytes.NewReader(other)); !errors.Is(err, cdn.ErrExists) {
		s.Errorf("create-only Put to a taken key = %v; want ErrExists", err)
	}
	s.want(ref, b)
	if err := s.p.Delete(s.ctx, ref); err != nil {
		s.Fatal(err)
	}
	s.want(s.put(again, other), other)
}

// wrongChecksum sends content that is not what the object says. The provider may be
// unable to tell, but then it must not claim to have verified it.
func (s *suite) wrongChecksum() {
	b := content(2_000, 40)
	obj := object(s.key("checksum.bin"), b)
	bad := bytes.Clone(b)
	bad[777] ^= 1
	info, err := s.p.Put(s.ctx, obj, bytes.NewReader(bad))
	switch {
	case err == nil && info.Verified:
		s.Error("Put of content that contradicts its checksums = Verified; want an error matching ErrChecksum")
	case err != nil && !errors.Is(err, cdn.ErrChecksum):
		s.Errorf("Put of content that contradicts its checksums = %v; want ErrChecksum", err)
	case err != nil:
		s.wantGone(cdn.Ref{Key: obj.Key})
	}
}

func (s *suite) shortBody() {
	b := content(1_000, 41)
	obj := object(s.key("short.bin"), b)
	obj.Size = 1_500
	if _, err := s.p.Put(s.ctx, obj, bytes.NewReader(b)); err == nil {
		s.Error("Put of 1000 bytes announced as 1500 succeeded; want an error")
	}
	s.wantGone(cdn.Ref{Key: obj.Key})
}

func (s *suite) cancelled() {
	b := content(100, 50)
	ref := s.put(object(s.key("cancel.bin"), b), b)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	check := func(op string, err error) {
		if !errors.Is(err, context.Canceled) {
			s.Errorf("%s with a cancelled context = %v; want context.Canceled", op, err)
		}
	}
	never := s.key("cancelled-put.bin")
	_, err := s.p.Put(ctx, object(never, b), bytes.NewReader(b))
	check("Put", err)
	_, err = s.p.Head(ctx, ref)
	check("Head", err)
	r, _, err := s.p.Open(ctx, ref, 0, -1)
	check("Open", err)
	if err == nil {
		r.Close()
	}
	check("Delete", s.p.Delete(ctx, ref))
	s.want(ref, b)
	s.wantGone(cdn.Ref{Key: never})
}

func (s *suite) concurrent() {
	var wg sync.WaitGroup
	same := s.key("same.bin")
	sums := map[[32]byte]bool{}
	for i := range 8 {
		b := content(5_000, uint64(60+i))
		sums[sha256.Sum256(b)] = true
		wg.Go(func() {
			ref := s.putAsync(object(s.key(fmt.Sprintf("own-%d.bin", i)), b), b)
			if got, err := s.read(ref, 0, -1); err != nil || !bytes.Equal(got, b) {
				s.Errorf("Open(%q) among others = %s, %v; want %s", ref.Key, describe(got), err, describe(b))
			}
			s.putAsync(object(same, b), b)
		})
	}
	wg.Wait()
	if s.o.NeedHandle {
		return
	}
	if got, err := s.read(cdn.Ref{Key: same}, 0, -1); err != nil || !sums[sha256.Sum256(got)] {
		s.Errorf("Open(%q) after concurrent Puts = %s, %v; want one of them, whole", same, describe(got), err)
	}
}

// putAsync is put for goroutines, which must not call Fatal.
func (s *suite) putAsync(obj cdn.Object, b []byte) cdn.Ref {
	info, err := s.p.Put(s.ctx, obj, bytes.NewReader(b))
	if err != nil {
		s.Errorf("Put(%q) among others: %v", obj.Key, err)
	}
	return info.Ref
}

func (s *suite) url() {
	b := content(500, 70)
	ref := s.put(object(s.key("url me.bin"), b), b)
	u, err := s.p.URL(ref)
	if err != nil {
		s.Fatalf("URL: %v", err)
	}
	if _, err := url.Parse(u); err != nil || u == "" {
		s.Errorf("URL = %q, %v; want an address", u, err)
	}
	if again, _ := s.p.URL(ref); again != u {
		s.Errorf("URL = %q, then %q", u, again)
	}
	if s.o.Fetch != nil {
		if got, err := s.o.Fetch(s.ctx, u); err != nil || !bytes.Equal(got, b) {
			s.Errorf("Fetch(%q) = %s, %v; want %s", u, describe(got), err, describe(b))
		}
	}
}
