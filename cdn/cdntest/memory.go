package cdntest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
)

// Memory is a cdn.Provider in memory, for tests. It keeps the whole contract and is
// a cdn.Lister and a cdn.Purger. The zero value is ready to use; it must not be copied.
type Memory struct {
	// Fault, if not nil, is called before each operation ("put", "head", "open",
	// "delete", "purge") with its context and key; an error makes the operation fail with it.
	// It may block until ctx ends, to play a black hole. Set it before first use.
	Fault func(ctx context.Context, op, key string) error
	// Unverified makes Put leave Info.Verified unset, so that callers must look.
	Unverified bool
	// Name is the provider's name. Default "memory".
	Name string

	mu      sync.Mutex
	objects map[string]stored // guarded by mu
	puts    int               // guarded by mu
	purged  []string          // guarded by mu
}

type stored struct {
	info cdn.Info
	body []byte
}

// ProviderName is m.Name or "memory".
func (m *Memory) ProviderName() string {
	if m.Name == "" {
		return "memory"
	}
	return m.Name
}

// Len is the number of objects held.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.objects)
}

// Puts is the number of objects ever stored, overwrites included.
func (m *Memory) Puts() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.puts
}

// Purge notes the keys, which [Memory.Purged] returns; there is no edge.
func (m *Memory) Purge(ctx context.Context, refs ...cdn.Ref) error {
	for _, ref := range refs {
		key := strings.TrimSuffix(ref.Key, "/")
		if ref.Key == "/" {
			key = "everything" // for Fault; no key
		}
		if err := m.enter(ctx, "purge", key); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ref := range refs {
		m.purged = append(m.purged, ref.Key)
	}
	return nil
}

// Purged is the keys that were purged so far, in that order.
func (m *Memory) Purged() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.purged)
}

// Bytes returns the content of key, and whether there is any. The caller must not
// modify it.
func (m *Memory) Bytes(key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	return o.body, ok
}

// enter does what every operation begins with.
func (m *Memory) enter(ctx context.Context, op, key string) error {
	err := ctx.Err()
	if err == nil && m.Fault != nil {
		err = m.Fault(ctx, op, key)
	}
	if err == nil {
		if err = cdn.CheckKey(key); err != nil {
			return m.fail(op, key, cdn.ErrKey, err)
		}
		return nil
	}
	if _, ok := errors.AsType[*cdn.OpError](err); ok {
		return err
	}
	var kind error
	for _, k := range []error{cdn.ErrAuth, cdn.ErrInvalid, cdn.ErrRateLimited, cdn.ErrTooLarge, cdn.ErrNotFound, cdn.ErrUnavailable} {
		if errors.Is(err, k) {
			kind = k
		}
	}
	return m.fail(op, key, kind, err)
}

func (m *Memory) fail(op, key string, kind, err error) error {
	return &cdn.OpError{Provider: m.ProviderName(), Op: op, Key: key, Kind: kind, Err: err}
}

// Put keeps a copy of the body, if it is what obj says.
func (m *Memory) Put(ctx context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	if err := m.enter(ctx, "put", obj.Key); err != nil {
		return cdn.Info{}, err
	}
	b, err := io.ReadAll(io.NewSectionReader(body, 0, obj.Size))
	if err != nil {
		return cdn.Info{}, m.fail("put", obj.Key, nil, err)
	}
	sum := sha256.Sum256(b)
	switch {
	case int64(len(b)) < obj.Size:
		return cdn.Info{}, m.fail("put", obj.Key, cdn.ErrTruncated, nil)
	case obj.SHA256 != [32]byte{} && obj.SHA256 != sum,
		obj.HasCRC32C && obj.CRC32C != crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)):
		return cdn.Info{}, m.fail("put", obj.Key, cdn.ErrChecksum, nil)
	}
	info := cdn.Info{
		Ref: cdn.Ref{Key: obj.Key}, Size: obj.Size, ContentType: obj.ContentType, CacheControl: obj.CacheControl,
		Disposition: obj.Disposition, Metadata: maps.Clone(obj.Metadata), ETag: fmt.Sprintf(`"%.16x"`, sum), SHA256: sum,
		ModTime: time.Now(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.objects[obj.Key]; taken && obj.CreateOnly {
		return cdn.Info{}, m.fail("put", obj.Key, cdn.ErrExists, nil)
	}
	if m.objects == nil {
		m.objects = map[string]stored{}
	}
	m.objects[obj.Key] = stored{info, b}
	m.puts++
	info.Verified = !m.Unverified
	return info, nil
}

func (m *Memory) find(ctx context.Context, op, key string) (stored, error) {
	if err := m.enter(ctx, op, key); err != nil {
		return stored{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return stored{}, m.fail(op, key, cdn.ErrNotFound, nil)
	}
	o.info.Metadata = maps.Clone(o.info.Metadata)
	return o, nil
}

// Head describes the object.
func (m *Memory) Head(ctx context.Context, ref cdn.Ref) (cdn.Info, error) {
	o, err := m.find(ctx, "head", ref.Key)
	return o.info, err
}

// Open reads a part of the object as it is now.
func (m *Memory) Open(ctx context.Context, ref cdn.Ref, offset, length int64) (io.ReadCloser, cdn.Info, error) {
	o, err := m.find(ctx, "open", ref.Key)
	if err == nil && offset < 0 {
		err = m.fail("open", ref.Key, cdn.ErrInvalid, nil)
	}
	if err != nil {
		return nil, cdn.Info{}, err
	}
	offset = min(offset, o.info.Size)
	if left := o.info.Size - offset; length < 0 || length > left {
		length = left
	}
	return io.NopCloser(bytes.NewReader(o.body[offset : offset+length])), o.info, nil
}

// Delete removes the object.
func (m *Memory) Delete(ctx context.Context, ref cdn.Ref) error {
	if err := m.enter(ctx, "delete", ref.Key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, ref.Key)
	return nil
}

// URL is "https://memory.example/" and the escaped key.
func (m *Memory) URL(ref cdn.Ref) (string, error) {
	if err := cdn.CheckKey(ref.Key); err != nil {
		return "", m.fail("url", ref.Key, cdn.ErrKey, err)
	}
	return (&url.URL{Scheme: "https", Host: "memory.example", Path: "/" + ref.Key}).String(), nil
}

// List yields the objects by key.
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[cdn.Info, error] {
	return func(yield func(cdn.Info, error) bool) {
		m.mu.Lock()
		var found []cdn.Info
		for k, o := range m.objects {
			if strings.HasPrefix(k, prefix) {
				found = append(found, o.info)
			}
		}
		m.mu.Unlock()
		slices.SortFunc(found, func(a, b cdn.Info) int { return strings.Compare(a.Ref.Key, b.Ref.Key) })
		for _, info := range found {
			if !yield(info, ctx.Err()) || ctx.Err() != nil {
				return
			}
		}
	}
}
