package cloudinarycdn_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cloudinarycdn"
)

func TestPurge(t *testing.T) {
	s, ts := newServer(t)
	p := newProvider(t, ts)
	b := []byte("just bytes")
	put := func(key, contentType string) cdn.Ref {
		info, err := p.Put(t.Context(), cdn.Object{Key: key, Size: int64(len(b)), ContentType: contentType}, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return info.Ref
	}
	raw := put("a & b?.bin", "application/octet-stream")
	disguised := put("data.png", "application/octet-stream") // raw, whatever its extension says
	s.seen = nil
	if err := p.Purge(t.Context(), raw, cdn.Ref{Key: disguised.Key}, cdn.Ref{Key: "missing.png"}, cdn.Ref{Key: "missing.bin"}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"raw/upload/a ~26 b~3F.bin", "raw/upload/data.png"}; !slices.Equal(s.purged, want) {
		t.Errorf("purged %q; want %q", s.purged, want)
	}
	if len(s.seen) != 6 {
		t.Errorf("requests %q; want 1 with a handle, 2 for each image by its key, 1 for the rest", s.seen)
	}
	n := len(s.purged)
	if err := p.Purge(t.Context(), raw, cdn.Ref{Key: "folder/"}); !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, cdn.ErrInvalid) {
		t.Errorf("Purge of a folder = %v; want errors.ErrUnsupported", err)
	}
	if err := p.Purge(t.Context(), raw, cdn.Ref{}); !errors.Is(err, cdn.ErrKey) || len(s.purged) != n {
		t.Errorf("Purge of an empty key = %v; want ErrKey, and nothing purged", err)
	}
	wrong := newProvider(t, ts, func(o *cloudinarycdn.Options) { o.APISecret = "wrong" })
	if err := wrong.Purge(t.Context(), raw); !errors.Is(err, cdn.ErrAuth) {
		t.Errorf("Purge with a wrong secret = %v; want ErrAuth", err)
	}
	unsigned := newProvider(t, ts, func(o *cloudinarycdn.Options) { o.APIKey, o.APISecret, o.UploadPreset = "", "", testPreset })
	for _, err := range []error{unsigned.Purge(t.Context()), unsigned.Purge(t.Context(), raw)} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Purge without a secret = %v; want errors.ErrUnsupported", err)
		}
	}
}
