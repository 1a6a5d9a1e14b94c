package cdntest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

func TestMemory(t *testing.T) {
	m := &cdntest.Memory{}
	cdntest.Run(t, func(*testing.T) cdn.Provider { return m }, cdntest.Options{
		Fetch: func(ctx context.Context, url string) ([]byte, error) {
			b, ok := m.Bytes(strings.ReplaceAll(strings.TrimPrefix(url, "https://memory.example/"), "%20", " "))
			if !ok {
				return nil, errors.New("nothing there")
			}
			return b, nil
		},
	})
}

// broken is a provider with one defect.
type broken struct {
	cdntest.Memory
	defect string
	late   io.ReaderAt
}

func (b *broken) is(defect string) bool { return b.defect == defect }

func (b *broken) Put(ctx context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	switch {
	case b.is("200 without storing"):
		return cdn.Info{Ref: cdn.Ref{Key: obj.Key}, Size: obj.Size, Verified: true}, nil
	case b.is("truncates"):
		obj.Size, obj.SHA256, obj.HasCRC32C = min(obj.Size, 100_000), [32]byte{}, false
	case b.is("believes the sender"):
		obj.SHA256, obj.HasCRC32C = [32]byte{}, false
	case b.is("pads short bodies"):
		buf := make([]byte, obj.Size)
		body.ReadAt(buf, 0)
		body, obj.SHA256, obj.HasCRC32C = bytes.NewReader(buf), [32]byte{}, false
	case b.is("reads on"):
		b.late = body
	case b.is("loses the type"):
		obj.ContentType = "application/octet-stream"
	case b.is("loses metadata"):
		obj.Metadata = nil
	case b.is("merges metadata"):
		if old, err := b.Memory.Head(ctx, cdn.Ref{Key: obj.Key}); err == nil {
			maps.Copy(old.Metadata, obj.Metadata)
			obj.Metadata = old.Metadata
		}
	case b.is("changes the object"):
		if obj.Metadata != nil {
			obj.Metadata["x"] = "y"
		}
	case b.is("folds case"):
		obj.Key = strings.ToLower(obj.Key)
	case b.is("ignores create-only"):
		obj.CreateOnly = false
	case b.is("never overwrites"):
		if info, err := b.Memory.Head(ctx, cdn.Ref{Key: obj.Key}); err == nil && !obj.CreateOnly {
			return info, nil
		}
	case b.is("ignores the context"):
		ctx = context.WithoutCancel(ctx)
	}
	info, err := b.Memory.Put(ctx, obj, body)
	if b.is("bare errors") && err != nil {
		err = errors.New("failed")
	}
	return info, err
}

func (b *broken) Head(ctx context.Context, ref cdn.Ref) (cdn.Info, error) {
	if b.is("folds case") {
		ref.Key = strings.ToLower(ref.Key)
	}
	if b.late != nil {
		b.late.ReadAt(make([]byte, 1), 0)
	}
	info, err := b.Memory.Head(ctx, ref)
	switch {
	case b.is("wrong size"):
		info.Size++
	case b.is("missing is unavailable") && errors.Is(err, cdn.ErrNotFound):
		err = cdn.ErrUnavailable
	case b.is("bare errors") && err != nil:
		err = fmt.Errorf("%w, said the server", cdn.ErrNotFound)
	}
	return info, err
}

func (b *broken) Open(ctx context.Context, ref cdn.Ref, off, n int64) (io.ReadCloser, cdn.Info, error) {
	switch {
	case b.is("folds case"):
		ref.Key = strings.ToLower(ref.Key)
	case b.is("ignores ranges"):
		off, n = 0, -1
	case b.is("inclusive ranges") && n >= 0:
		n++
	}
	r, info, err := b.Memory.Open(ctx, ref, off, n)
	if b.is("size of the range") && err == nil && n >= 0 {
		info.Size = n
	}
	return r, info, err
}

func (b *broken) Delete(ctx context.Context, ref cdn.Ref) error {
	switch {
	case b.is("keeps deleted objects"):
		return nil
	case b.is("missing deletes fail"):
		if _, err := b.Memory.Head(ctx, ref); err != nil {
			return err
		}
	}
	return b.Memory.Delete(ctx, ref)
}

func (b *broken) URL(ref cdn.Ref) (string, error) {
	if b.is("unescaped URLs") {
		return "https://memory.example/" + strings.ReplaceAll(ref.Key, "%20", " "), nil
	}
	return b.Memory.URL(ref)
}

// TestBrokenChild runs the suite on the broken provider that TestBroken asks for.
func TestBrokenChild(t *testing.T) {
	defect := os.Getenv("CDNTEST_DEFECT")
	if defect == "" {
		t.Skip("only as a child of TestBroken")
	}
	cdntest.Run(t, func(*testing.T) cdn.Provider { return &broken{defect: defect} }, cdntest.Options{})
}

// TestBroken shows that the suite notices each defect, and by which check.
func TestBroken(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for defect, check := range map[string]string{
		"200 without storing":    "PutThenRead",
		"truncates":              "PutThenRead",
		"believes the sender":    "WrongChecksum",
		"reads on":               "PutThenRead",
		"pads short bodies":      "ShortBody",
		"loses the type":         "Attributes",
		"loses metadata":         "Attributes",
		"merges metadata":        "Attributes",
		"changes the object":     "Attributes",
		"folds case":             "OddKeys",
		"ignores create-only":    "CreateOnly",
		"never overwrites":       "Overwrite",
		"ignores the context":    "CancelledContext",
		"bare errors":            "Missing",
		"wrong size":             "PutThenRead",
		"missing is unavailable": "Missing",
		"ignores ranges":         "Ranges",
		"inclusive ranges":       "Ranges",
		"size of the range":      "Ranges",
		"keeps deleted objects":  "Delete",
		"missing deletes fail":   "Missing",
		"unescaped URLs":         "OddKeys",
	} {
		cmd := exec.Command(exe, "-test.run=^TestBrokenChild$")
		cmd.Env = append(os.Environ(), "CDNTEST_DEFECT="+defect)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "--- FAIL: TestBrokenChild/"+check) {
			t.Errorf("a provider that %q: %v; want a failure of %s\n%s", defect, err, check, out)
		}
	}
}
