package cdntest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/perfblocks/perfblocks/cdn"
)

func (s *suite) list() {
	l, ok := s.p.(cdn.Lister)
	if !ok {
		s.Skip("not a cdn.Lister")
	}
	var want []string
	for i := range 5 {
		b := content(10+i, 80)
		ref := s.put(object(s.key(fmt.Sprintf("list/in/%d.bin", i)), b), b)
		want = append(want, ref.Key)
	}
	b := content(3, 81)
	s.put(object(s.key("list/out.bin"), b), b)
	var got []string
	for info, err := range l.List(s.ctx, s.key("list/in/")) {
		if err != nil {
			s.Fatalf("List: %v", err)
		}
		if i := slices.Index(want, info.Ref.Key); i >= 0 && info.Size != int64(10+i) {
			s.Errorf("List: %q has size %d; want %d", info.Ref.Key, info.Size, 10+i)
		}
		got = append(got, info.Ref.Key)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		s.Errorf("List = %q; want %q", got, want)
	}
	n := 0
	for range l.List(s.ctx, s.key("list/in/")) {
		if n++; n == 2 {
			break // which must be harmless
		}
	}
	for info, err := range l.List(s.ctx, s.key("list/nothing/")) {
		s.Errorf("List of an empty prefix yields %q, %v", info.Ref.Key, err)
	}
}

func (s *suite) copy() {
	c, ok := s.p.(cdn.Copier)
	if !ok {
		s.Skip("not a cdn.Copier")
	}
	b := content(4_000, 90)
	from := s.put(object(s.key("copy/from a.bin"), b), b)
	to := object(s.key("copy/to b.bin"), b)
	to.ContentType = "text/csv"
	info, err := c.Copy(s.ctx, from, to)
	if err != nil {
		s.Fatalf("Copy: %v", err)
	}
	if got := s.want(info.Ref, b); !s.o.NoContentType && got.ContentType != "text/csv" {
		s.Errorf("Head of a copy: ContentType = %q; want that of the call, text/csv", got.ContentType)
	}
	s.want(from, b)
	missing := cdn.Ref{Key: s.key("copy/missing.bin")}
	if _, err := c.Copy(s.ctx, missing, to); !errors.Is(err, cdn.ErrNotFound) {
		s.Errorf("Copy of a missing object = %v; want ErrNotFound", err)
	}
}

func (s *suite) multipart() {
	m, ok := s.p.(cdn.Multiparter)
	if !ok {
		s.Skip("not a cdn.Multiparter")
	}
	size := max(m.PartLimits().MinSize, 64<<10)
	b := content(int(2*size)+1000, 91)
	obj := object(s.key("multi.bin"), b)
	id, err := m.Begin(s.ctx, obj)
	if err != nil {
		s.Fatalf("Begin: %v", err)
	}
	s.wantGone(cdn.Ref{Key: obj.Key})
	parts := []cdn.PartInfo{
		s.part(m, obj, id, b, 1, 0, size), s.part(m, obj, id, b, 2, size, size), s.part(m, obj, id, b, 3, 2*size, 1000),
	}
	if got, err := m.Parts(s.ctx, obj, id); err == nil {
		for i, p := range got {
			if i >= len(parts) || p.Number != i+1 || p.Size != parts[i].Size && p.Size != 0 {
				s.Errorf("Parts = %+v; want %+v", got, parts)
			}
		}
	} else if !errors.Is(err, errors.ErrUnsupported) {
		s.Errorf("Parts = %v; want the parts or errors.ErrUnsupported", err)
	}
	info, err := m.Complete(s.ctx, obj, id, parts)
	if err != nil {
		s.Fatalf("Complete: %v", err)
	}
	if info.Ref.Key != obj.Key {
		s.Errorf("Complete: Info.Ref.Key = %q; want %q", info.Ref.Key, obj.Key)
	}
	s.want(info.Ref, b)
}

// part sends one part of b.
func (s *suite) part(m cdn.Multiparter, obj cdn.Object, id string, b []byte, number int, off, size int64) cdn.PartInfo {
	s.Helper()
	chunk := b[off : off+size]
	last := off+size == int64(len(b))
	p := cdn.Part{
		Number: number, Offset: off, Size: size, Last: last, Total: int64(len(b)),
		CRC32C: crc32.Checksum(chunk, crc32.MakeTable(crc32.Castagnoli)),
	}
	info, err := m.PutPart(s.ctx, obj, id, p, bytes.NewReader(chunk))
	if err != nil {
		s.Fatalf("PutPart(%d): %v", number, err)
	}
	if info.Number != number || info.Size != size {
		s.Errorf("PutPart(%d) = number %d, size %d; want %d, %d", number, info.Number, info.Size, number, size)
	}
	return info
}

func (s *suite) multipartAbort() {
	m, ok := s.p.(cdn.Multiparter)
	if !ok {
		s.Skip("not a cdn.Multiparter")
	}
	size := max(m.PartLimits().MinSize, 64<<10)
	b := content(int(size)+10, 92)
	obj := object(s.key("abort.bin"), b)
	id, err := m.Begin(s.ctx, obj)
	if err != nil {
		s.Fatalf("Begin: %v", err)
	}
	s.part(m, obj, id, b, 1, 0, size)
	for range 2 {
		if err := m.Abort(s.ctx, obj, id); err != nil {
			s.Errorf("Abort = %v; want nil, also when repeated", err)
		}
	}
	s.wantGone(cdn.Ref{Key: obj.Key})
}

func (s *suite) purge() {
	p, ok := s.p.(cdn.Purger)
	if !ok {
		s.Skip("not a cdn.Purger")
	}
	if err := p.Purge(s.ctx); errors.Is(err, errors.ErrUnsupported) {
		s.Skip("cannot purge as it is configured")
	} else if err != nil {
		s.Fatalf("Purge of nothing = %v; want nil or errors.ErrUnsupported", err)
	}
	b := content(1_000, 95)
	ref := s.put(object(s.key("purge me.bin"), b), b)
	if err := p.Purge(s.ctx, ref, cdn.Ref{Key: s.key("purge/missing.bin")}); err != nil {
		s.Errorf("Purge of an object and a missing one = %v", err)
	}
	if err := p.Purge(s.ctx, cdn.Ref{Key: s.key("purge/")}); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.Errorf("Purge of all below a key = %v; want nil or errors.ErrUnsupported", err)
	}
	s.want(ref, b)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	if err := p.Purge(ctx, ref); !errors.Is(err, context.Canceled) {
		s.Errorf("Purge with a cancelled context = %v; want context.Canceled", err)
	}
}
