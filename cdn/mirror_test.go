package cdn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

func newMirror(t testing.TB, o cdn.MirrorOptions, members ...cdn.Provider) *cdn.Mirror {
	t.Helper()
	m, err := cdn.NewMirror(members, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// pair is a Mirror of two providers in memory, each with an outage to switch on.
func pair(t testing.TB) (m *cdn.Mirror, a, b *cdntest.Memory, aDown, bDown *outage) {
	aDown, bDown = &outage{}, &outage{}
	a, b = &cdntest.Memory{Name: "a", Fault: aDown.fault}, &cdntest.Memory{Name: "b", Fault: bDown.fault}
	return newMirror(t, cdn.MirrorOptions{}, a, b), a, b, aDown, bDown
}

func holds(t testing.TB, m *cdntest.Memory, key, want string) {
	t.Helper()
	if b, ok := m.Bytes(key); string(b) != want || ok != (want != "") {
		t.Errorf("%s has %q, %v under %q; want %q", m.ProviderName(), b, ok, key, want)
	}
}

func TestMirrorConforms(t *testing.T) {
	for name, members := range map[string]func(t *testing.T) []cdn.Provider{
		"memory": func(*testing.T) []cdn.Provider {
			return []cdn.Provider{&cdntest.Memory{Name: "a"}, &cdntest.Memory{Name: "b"}}
		},
		"unverified": func(*testing.T) []cdn.Provider {
			return []cdn.Provider{&cdntest.Memory{Name: "a", Unverified: true}, &cdntest.Memory{Name: "b", Unverified: true}, &cdntest.Memory{Name: "c"}}
		},
		"local first": func(t *testing.T) []cdn.Provider {
			return []cdn.Provider{newLocal(t, cdn.LocalOptions{}), &cdntest.Memory{}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cdntest.Run(t, func(t *testing.T) cdn.Provider {
				return newMirror(t, cdn.MirrorOptions{}, members(t)...)
			}, cdntest.Options{})
		})
	}
}

func TestNewMirrorRefuses(t *testing.T) {
	a := &cdntest.Memory{}
	for want, members := range map[string][]cdn.Provider{
		"at least 2": {a}, "is nil": {a, nil}, `called "memory"`: {a, &cdntest.Memory{}},
	} {
		if m, err := cdn.NewMirror(members, cdn.MirrorOptions{}); !errors.Is(err, cdn.ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("NewMirror = %v, %v; want ErrOptions with %q", m, err, want)
		}
	}
}

// TestMirrorWriteOutage: while a member is down nothing is acknowledged but from local
// disk, and the first member has nothing that another lacks. Afterwards all have it.
func TestMirrorWriteOutage(t *testing.T) {
	m, a, b, aDown, bDown := pair(t)
	u := newUploader(t, m, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{})})
	res := upload(t, u, "x.png", png, cdn.UploadOptions{})
	if res.Provider != "mirror" || res.Fallback != nil || res.Handle != "" || res.URL != "https://memory.example/"+res.Key {
		t.Errorf("Upload = %+v", res)
	}
	holds(t, a, res.Key, string(png))
	holds(t, b, res.Key, string(png))
	for who, down := range map[string]*outage{"a": aDown, "b": bDown} {
		for _, key := range []string{"", "explicit-" + who + ".txt"} {
			down.on.Store(true)
			text := "while " + who + " is down, " + key
			res := upload(t, u, "x.txt", []byte(text), cdn.UploadOptions{Key: key})
			oe, ok := errors.AsType[*cdn.OpError](res.Fallback)
			if res.Provider != "local" || !ok || oe.Provider != who {
				t.Errorf("Upload without %s = %+v; want a fallback that names it", who, res)
			}
			holds(t, a, res.Key, "")
			wantContent(t, u, res.Key, []byte(text))
			down.on.Store(false)
			if n, err := u.Promote(t.Context()); n != 1 || err != nil {
				t.Errorf("Promote = %d, %v", n, err)
			}
			holds(t, a, res.Key, text)
			holds(t, b, res.Key, text)
		}
	}
}

func TestMirrorDelete(t *testing.T) {
	m, a, b, aDown, bDown := pair(t)
	u := newUploader(t, m, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{})})
	for _, down := range []*outage{aDown, bDown} {
		upload(t, u, "k.txt", []byte("hello"), cdn.UploadOptions{Key: "k.txt"})
		down.on.Store(true)
		if err := u.Delete(t.Context(), "k.txt"); err != nil {
			t.Errorf("Delete in an outage = %v; want it journaled", err)
		}
		if _, err := u.Head(t.Context(), "k.txt"); !errors.Is(err, cdn.ErrNotFound) {
			t.Errorf("Head = %v; want ErrNotFound at once", err)
		}
		holds(t, b, "k.txt", "hello") // the first is deleted first, so that nothing new can rest on it
		down.on.Store(false)
		if n, err := u.Promote(t.Context()); n != 1 || err != nil {
			t.Errorf("Promote = %d, %v", n, err)
		}
		holds(t, a, "k.txt", "")
		holds(t, b, "k.txt", "")
	}
}

// TestMirrorCreateOnly: the first member decides, before others are touched.
func TestMirrorCreateOnly(t *testing.T) {
	m, a, b, _, bDown := pair(t)
	u := newUploader(t, m, cdn.Options{})
	put := func(text string) error {
		_, err := u.Upload(t.Context(), "k.txt", strings.NewReader(text), cdn.UploadOptions{Key: "k.txt", CreateOnly: true})
		return err
	}
	bDown.on.Store(true)
	if err := put("one"); !errors.Is(err, cdn.ErrUnavailable) {
		t.Errorf("Upload without b = %v; want ErrUnavailable", err)
	}
	bDown.on.Store(false)
	if err := put("two"); err != nil {
		t.Errorf("the key is not free after a failure: %v", err)
	}
	if err := put("three"); !errors.Is(err, cdn.ErrExists) {
		t.Errorf("Upload to a taken key = %v; want ErrExists", err)
	}
	holds(t, a, "k.txt", "two")
	holds(t, b, "k.txt", "two")
	first := upload(t, u, "x.png", png, cdn.UploadOptions{})
	if again := upload(t, u, "x.png", png, cdn.UploadOptions{}); again.Key != first.Key || !again.Deduped {
		t.Errorf("the same content again = %+v; want it deduped", again)
	}
}

// TestMirrorLeftover: what a failed write has left at other members gives way.
func TestMirrorLeftover(t *testing.T) {
	m, a, b, aDown, _ := pair(t)
	u := newUploader(t, m, cdn.Options{Retry: cdn.RetryOptions{MaxAttempts: 1}})
	aDown.on.Store(true)
	overwrite := cdn.UploadOptions{Key: "k.txt"}
	if _, err := u.Upload(t.Context(), "k.txt", strings.NewReader("lost"), overwrite); !errors.Is(err, cdn.ErrUnavailable) {
		t.Fatalf("Upload = %v", err)
	}
	holds(t, b, "k.txt", "lost")
	aDown.on.Store(false)
	upload(t, u, "k.txt", []byte("kept"), cdn.UploadOptions{Key: "k.txt", CreateOnly: true})
	holds(t, a, "k.txt", "kept")
	holds(t, b, "k.txt", "kept")
}

// liar says that it has stored what it drops or shortens.
type liar struct {
	*cdntest.Memory
	keep int64
}

func (l liar) Put(ctx context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	if l.keep < 0 {
		return cdn.Info{Ref: cdn.Ref{Key: obj.Key}}, nil
	}
	obj.Size, obj.SHA256, obj.HasCRC32C = l.keep, [32]byte{}, false
	info, err := l.Memory.Put(ctx, obj, body)
	info.Verified, info.ETag = false, ""
	return info, err
}

// TestMirrorVerifies: every member must prove what it has, not only the one that is read.
func TestMirrorVerifies(t *testing.T) {
	for _, keep := range []int64{-1, 3} {
		for _, first := range []bool{true, false} {
			members := []cdn.Provider{liar{&cdntest.Memory{Name: "liar"}, keep}, &cdntest.Memory{Name: "honest"}}
			if !first {
				slices.Reverse(members)
			}
			u := newUploader(t, newMirror(t, cdn.MirrorOptions{}, members...), cdn.Options{})
			res, err := u.Upload(t.Context(), "k.txt", strings.NewReader("hello"), cdn.UploadOptions{Key: "k.txt"})
			if !errors.Is(err, cdn.ErrUnavailable) || !strings.Contains(err.Error(), "liar") {
				t.Errorf("keep %d, first %v: Upload = %+v, %v; want ErrUnavailable of the liar", keep, first, res, err)
			}
		}
	}
}

// TestMirrorReads: reads and addresses pass over a member that is down, without waiting
// for it each time, and come back to it.
func TestMirrorReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hole := false
		asked := 0
		a := &cdntest.Memory{Name: "a", Fault: func(ctx context.Context, op, _ string) error {
			asked++
			if hole {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		b := &cdntest.Memory{Name: "b"}
		m := newMirror(t, cdn.MirrorOptions{Wait: 3 * time.Second}, named{a, "https://a/"}, named{b, "https://b/"})
		obj := cdn.Object{Key: "k", Size: 5, ContentType: "text/plain"}
		if _, err := m.Put(t.Context(), obj, strings.NewReader("hello")); err != nil {
			t.Fatal(err)
		}
		read := func() time.Duration {
			t.Helper()
			start := time.Now()
			r, info, err := m.Open(t.Context(), cdn.Ref{Key: "k"}, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			time.Sleep(time.Minute) // the bound is on the answer, not on the reader
			if got, err := io.ReadAll(r); string(got) != "hello" || info.Size != 5 || err != nil {
				t.Errorf("read %q, %+v, %v", got, info, err)
			}
			r.Close()
			return took
		}
		url := func(want string) {
			t.Helper()
			if u, err := m.URL(cdn.Ref{Key: "k"}); u != want || err != nil {
				t.Errorf("URL = %q, %v; want %q", u, err, want)
			}
		}
		url("https://a/k")
		hole = true
		start := time.Now()
		for i := range 5 {
			if _, err := m.Head(t.Context(), cdn.Ref{Key: "k"}); err != nil {
				t.Fatalf("Head %d = %v", i, err)
			}
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("5 Heads take %v; want one Wait, 3s", took)
		}
		url("https://b/k")
		if took := read(); took != 0 {
			t.Errorf("Open takes %v; want none", took)
		}
		url("https://a/k") // a minute later
		if took := read(); took != 3*time.Second {
			t.Errorf("Open takes %v; want one Wait", took)
		}
		hole = false
		before := asked
		if _, err := m.Head(t.Context(), cdn.Ref{Key: "k"}); err != nil || asked != before+1 {
			t.Errorf("Head = %v after %d calls; want a to be asked again", err, asked-before)
		}
		hole = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Head(ctx, cdn.Ref{Key: "k"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Head = %v; want the caller's own deadline", err)
		}
		url("https://a/k") // which says nothing about a
	})
}

// named gives a provider addresses of its own.
type named struct {
	*cdntest.Memory
	base string
}

func (n named) URL(ref cdn.Ref) (string, error) { return n.base + ref.Key, nil }

// TestMirrorMissing: that an object is missing is said only when nobody may have it.
func TestMirrorMissing(t *testing.T) {
	m, a, b, aDown, bDown := pair(t)
	put := func(p cdn.Provider, key string) {
		if _, err := p.Put(t.Context(), cdn.Object{Key: key, Size: 1}, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	put(a, "only-a")
	put(b, "only-b")
	for _, c := range []struct {
		key          string
		aDown, bDown bool
		want         error
	}{
		{"only-a", false, false, nil}, {"only-b", false, false, nil}, {"none", false, false, cdn.ErrNotFound},
		{"only-a", true, false, cdn.ErrUnavailable}, {"only-b", true, false, nil}, {"only-a", false, true, nil},
		{"none", true, false, cdn.ErrUnavailable}, {"none", false, true, cdn.ErrUnavailable}, {"only-a", true, true, cdn.ErrUnavailable},
	} {
		aDown.on.Store(c.aDown)
		bDown.on.Store(c.bDown)
		_, err := m.Head(t.Context(), cdn.Ref{Key: c.key})
		if !errors.Is(err, c.want) || c.want != nil && errors.Is(err, cdn.ErrNotFound) != (c.want == cdn.ErrNotFound) {
			t.Errorf("Head(%s), a down %v, b down %v = %v; want %v", c.key, c.aDown, c.bDown, err, c.want)
		}
	}
	denied := newMirror(t, cdn.MirrorOptions{}, &cdntest.Memory{Name: "x", Fault: func(context.Context, string, string) error { return cdn.ErrAuth }}, b)
	bDown.on.Store(false)
	if _, err := denied.Head(t.Context(), cdn.Ref{Key: "only-b"}); !errors.Is(err, cdn.ErrAuth) {
		t.Errorf("Head = %v; want the refusal, which is no outage", err)
	}
}

// handled is a provider that finds objects by its handle alone.
type handled struct {
	*cdntest.Memory
	handle string
}

func (h handled) check(ref cdn.Ref) error {
	if ref.Handle != h.handle {
		return fmt.Errorf("%w: handle %q", cdn.ErrNotFound, ref.Handle)
	}
	return nil
}

func (h handled) Put(ctx context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	info, err := h.Memory.Put(ctx, obj, body)
	info.Ref.Handle = h.handle
	return info, err
}

func (h handled) Head(ctx context.Context, ref cdn.Ref) (cdn.Info, error) {
	if err := h.check(ref); err != nil {
		return cdn.Info{}, err
	}
	info, err := h.Memory.Head(ctx, ref)
	info.Ref.Handle = h.handle
	return info, err
}

func (h handled) URL(ref cdn.Ref) (string, error) { return "https://x/" + ref.Handle, h.check(ref) }

func TestMirrorHandles(t *testing.T) {
	a, b := handled{&cdntest.Memory{Name: "a"}, "image/v1"}, handled{&cdntest.Memory{Name: "b"}, "https://b/k?x"}
	m := newMirror(t, cdn.MirrorOptions{}, a, b)
	swapped := newMirror(t, cdn.MirrorOptions{}, b, a, &cdntest.Memory{Name: "c"})
	info, err := m.Put(t.Context(), cdn.Object{Key: "k", Size: 1}, strings.NewReader("x"))
	if err != nil || info.Ref.Handle != `{"a":"image/v1","b":"https://b/k?x"}` {
		t.Fatalf("Put = %+v, %v", info.Ref, err)
	}
	for name, p := range map[string]*cdn.Mirror{"as it was": m, "in another order": swapped} {
		head, err := p.Head(t.Context(), info.Ref)
		if err != nil || head.Ref != info.Ref {
			t.Errorf("%s: Head = %+v, %v; want the same handles", name, head.Ref, err)
		}
	}
	// The handle of an object that was stored before there was a Mirror.
	if _, err := m.Head(t.Context(), cdn.Ref{Key: "k", Handle: "null"}); !errors.Is(err, cdn.ErrNotFound) {
		t.Errorf("Head with a handle that nobody knows = %v; want ErrNotFound", err)
	}
	if u, err := m.URL(cdn.Ref{Key: "k", Handle: "image/v1"}); u != "https://x/image/v1" || err != nil {
		t.Errorf("URL with a foreign handle = %q, %v; want the first member's", u, err)
	}
}

func TestMirrorPurge(t *testing.T) {
	m, a, b, _, bDown := pair(t)
	u := newUploader(t, m, cdn.Options{Purge: true, Retry: cdn.RetryOptions{MaxAttempts: 1}})
	upload(t, u, "k.txt", []byte("hello"), cdn.UploadOptions{Key: "k.txt"})
	if !slices.Equal(a.Purged(), []string{"k.txt"}) || !slices.Equal(b.Purged(), []string{"k.txt"}) {
		t.Errorf("purged %q and %q; want both", a.Purged(), b.Purged())
	}
	bDown.on.Store(true)
	if err := u.Purge(t.Context(), "k.txt"); !errors.Is(err, cdn.ErrUnavailable) {
		t.Errorf("Purge without b = %v; want ErrUnavailable", err)
	}
	half := newMirror(t, cdn.MirrorOptions{}, edgeless{a}, &cdntest.Memory{Name: "c"})
	if err := half.Purge(t.Context(), cdn.Ref{Key: "k"}); err != nil {
		t.Errorf("Purge where one member can = %v", err)
	}
	none := newMirror(t, cdn.MirrorOptions{}, edgeless{a}, otherEdgeless{edgeless{b}})
	if err := none.Purge(t.Context(), cdn.Ref{Key: "k"}); !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, cdn.ErrInvalid) {
		t.Errorf("Purge where none can = %v; want errors.ErrUnsupported", err)
	}
}

// otherEdgeless is one with another name.
type otherEdgeless struct{ edgeless }

func (otherEdgeless) ProviderName() string { return "other" }

// TestMirrorConcurrentWrites: writes of one key take turns, so that members agree.
func TestMirrorConcurrentWrites(t *testing.T) {
	m, a, b, _, _ := pair(t)
	errs := make(chan error, 32)
	for i := range 32 {
		go func() {
			text := fmt.Appendf(nil, "%02d", i)
			_, err := m.Put(context.Background(), cdn.Object{Key: "k", Size: 2}, bytes.NewReader(text))
			errs <- err
		}()
	}
	for range 32 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	got, _ := a.Bytes("k")
	holds(t, b, "k", string(got))
}

// Two providers hold every file. While one is down, new files wait on local disk, and
// old ones are read from the other.
func ExampleNewMirror() {
	down := false
	paris := &cdntest.Memory{Name: "paris", Fault: func(context.Context, string, string) error {
		if down {
			return cdn.ErrUnavailable
		}
		return nil
	}}
	tokyo := &cdntest.Memory{Name: "tokyo"}
	mirror, err := cdn.NewMirror([]cdn.Provider{paris, tokyo}, cdn.MirrorOptions{})
	if err != nil {
		panic(err)
	}
	up, err := cdn.New(mirror, cdn.Options{Retry: cdn.RetryOptions{MaxAttempts: 1}}) // and a Fallback
	if err != nil {
		panic(err)
	}
	defer up.Close()
	ctx := context.Background()
	res, err := up.Upload(ctx, "a.txt", strings.NewReader("hello"), cdn.UploadOptions{Key: "a.txt"})
	fmt.Println(res.Provider, paris.Len(), tokyo.Len(), err)
	down = true
	r, _, err := up.Open(ctx, "a.txt")
	if err != nil {
		panic(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	fmt.Printf("%s %v\n", text, err)
	_, err = up.Upload(ctx, "b.txt", strings.NewReader("world"), cdn.UploadOptions{Key: "b.txt"})
	fmt.Println(errors.Is(err, cdn.ErrUnavailable), err)
	// Output:
	// mirror 1 1 <nil>
	// hello <nil>
	// true cdn: paris put "b.txt": provider unavailable
}
