package cdn

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MirrorOptions configures a [Mirror]. The zero value works.
type MirrorOptions struct {
	// Name is the Mirror's name in results, logs and metric labels. Default "mirror".
	Name string
	// Wait bounds how long a read waits for one member before it asks the next; the last
	// one has the caller's own time. Default 2 s; negative: no bound.
	Wait time.Duration
}

// Mirror keeps every object at several providers, its members, and reads from the first
// one that answers. It is a [Provider] and a [Purger]. Create it with [NewMirror].
//
//   - A write is done when all members have it, each by a checksum that it confirmed or
//     by Head. While one of them is unavailable every Put fails as unavailable, so that an
//     [Uploader] with a Fallback keeps the object locally and promotes it to all of them
//     later; Result.Fallback then names the member.
//   - The first member is written last and deleted from first. What it has all have, and
//     its CreateOnly decides for all.
//   - Delete goes to all, and fails as unavailable when one is; repeating is harmless.
//   - Head and Open ask the members in order, and go on when one is unavailable or does
//     not have the object. A member that was unavailable is asked last for 10 seconds, and
//     URL names another one for as long.
//
// In a Result, Provider is the Mirror's name, since all members have the object, and
// Handle has the handles of all. A write that failed may have reached some members and be
// read from them, until it is repeated or overwritten. Writes of one key take turns within
// a process; two processes that write different content under one explicit key at the same
// time can leave members with different content, derived keys cannot. A Mirror takes an
// object in one piece, and renders and presigns nothing: a direct upload would reach one
// member only.
type Mirror struct {
	opts    MirrorOptions
	members []*member
	lanes   lanes // order the writes of one key
}

// member is one provider of a Mirror.
type member struct {
	p    Provider
	name string
	down atomic.Int64 // Unix nanoseconds until which it is asked last
}

// cooldown is how long a member is asked last after a failure.
const cooldown = 10 * time.Second

// NewMirror returns a Mirror of at least two members, the preferred one first. Its error
// matches [ErrOptions] and names what is wrong: a member that is nil, or two of the same
// name. The members stay the caller's to close. A member that is added later must be
// given the objects of the others before.
func NewMirror(members []Provider, o MirrorOptions) (*Mirror, error) {
	setDefault(&o.Name, "mirror")
	setDefault(&o.Wait, 2*time.Second)
	m := &Mirror{opts: o, lanes: lanes{m: map[string]*lane{}}}
	var errs []error
	seen := map[string]bool{}
	for i, p := range members {
		name := "provider"
		if n, ok := p.(Namer); ok {
			name = n.ProviderName()
		}
		switch {
		case p == nil:
			errs = append(errs, fmt.Errorf("member %d is nil", i))
		case seen[name]:
			errs = append(errs, fmt.Errorf("two members are called %q; their Options.Name can tell them apart", name))
		}
		seen[name] = true
		m.members = append(m.members, &member{p: p, name: name})
	}
	if len(members) < 2 {
		errs = append(errs, fmt.Errorf("%d members, at least 2 are wanted", len(members)))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: mirror: %w", ErrOptions, errors.Join(errs...))
	}
	return m, nil
}

// ProviderName is MirrorOptions.Name.
func (m *Mirror) ProviderName() string { return m.opts.Name }

// Put stores body at all members: at the others side by side, and at the first one once
// they have it. Info is what the first one tells, with the handles of all. With
// CreateOnly the first one is asked before, by Head.
func (m *Mirror) Put(ctx context.Context, obj Object, body io.ReaderAt) (Info, error) {
	release, err := m.lanes.acquire(ctx, obj.Key)
	if err != nil {
		return Info{}, m.fail("put", obj.Key, err)
	}
	defer release()
	first := m.members[0]
	if obj.CreateOnly {
		_, err := first.p.Head(ctx, Ref{Key: obj.Key})
		first.note(ctx, err)
		if err == nil {
			return Info{}, m.fail("put", obj.Key, ErrExists)
		}
		if !errors.Is(err, ErrNotFound) {
			return Info{}, err
		}
	}
	infos, proofs := make([]Info, len(m.members)), make([]bool, len(m.members))
	one := func(i int, obj Object) (err error) {
		infos[i], proofs[i], err = m.members[i].store(ctx, obj, body)
		return err
	}
	others := obj
	others.CreateOnly = false // what the first does not have was never acknowledged
	if err := m.each(1, func(i int, _ *member) error { return one(i, others) }); err != nil {
		return Info{}, err
	}
	if err := one(0, obj); err != nil {
		return Info{}, err
	}
	info := infos[0]
	info.Verified = !slices.Contains(proofs, false)
	handles := map[string]string{}
	for i, mb := range m.members {
		handles[mb.name] = infos[i].Ref.Handle
	}
	info.Ref = Ref{Key: obj.Key, Handle: joinHandles(handles)}
	return info, nil
}

// store puts the object at one member and looks whether it is there, unless the answer
// has proved that. proof tells that a checksum did.
func (mb *member) store(ctx context.Context, obj Object, body io.ReaderAt) (info Info, proof bool, err error) {
	obj.Metadata = maps.Clone(obj.Metadata)
	info, err = mb.p.Put(ctx, obj, body)
	if err == nil && !info.Verified {
		proof, err = mb.look(ctx, obj, info)
	}
	mb.note(ctx, err)
	return info, proof || info.Verified, err
}

// look compares what a member has with what it was given.
func (mb *member) look(ctx context.Context, obj Object, put Info) (proof bool, err error) {
	ref := put.Ref
	setDefault(&ref.Key, obj.Key)
	head, err := mb.p.Head(ctx, ref)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	sum := head.SHA256 != [32]byte{} && obj.SHA256 != [32]byte{}
	crc := head.HasCRC32C && obj.HasCRC32C
	if err != nil || head.Size != obj.Size || sum && head.SHA256 != obj.SHA256 || crc && head.CRC32C != obj.CRC32C ||
		put.ETag != "" && head.ETag != "" && bareTag(put.ETag) != bareTag(head.ETag) {
		return false, &OpError{
			Provider: mb.name, Op: "verify", Key: obj.Key, Kind: ErrUnavailable, Err: errors.New("stored object is not there as sent"),
		}
	}
	return sum || crc, nil
}

// Head asks the members in order.
func (m *Mirror) Head(ctx context.Context, ref Ref) (Info, error) {
	return ask(ctx, m, "head", ref, func(ctx context.Context, mb *member, ref Ref, end func()) (Info, error) {
		defer end()
		return mb.p.Head(ctx, ref)
	}, func(i *Info) *Info { return i })
}

// Open asks the members in order. A reader that breaks off is not continued elsewhere.
func (m *Mirror) Open(ctx context.Context, ref Ref, offset, length int64) (io.ReadCloser, Info, error) {
	type opened struct {
		io.ReadCloser
		info Info
	}
	o, err := ask(ctx, m, "open", ref, func(ctx context.Context, mb *member, ref Ref, end func()) (opened, error) {
		r, info, err := mb.p.Open(ctx, ref, offset, length)
		if err != nil {
			end()
			return opened{}, err
		}
		return opened{&mirrorReader{r, end}, info}, nil
	}, func(o *opened) *Info { return &o.info })
	return o.ReadCloser, o.info, err
}

// mirrorReader lets go of the context that it was opened with.
type mirrorReader struct {
	io.ReadCloser
	end func()
}

// Close closes the member's reader.
func (r *mirrorReader) Close() error {
	defer r.end()
	return r.ReadCloser.Close()
}

// Delete removes the object from the first member and then from the others.
func (m *Mirror) Delete(ctx context.Context, ref Ref) error {
	release, err := m.lanes.acquire(ctx, ref.Key)
	if err != nil {
		return m.fail("delete", ref.Key, err)
	}
	defer release()
	handles := m.splitHandles(ref.Handle)
	del := func(_ int, mb *member) error {
		err := mb.p.Delete(ctx, Ref{Key: ref.Key, Handle: handles[mb.name]})
		mb.note(ctx, err)
		return err
	}
	if err := del(0, m.members[0]); err != nil {
		return err
	}
	return m.each(1, del)
}

// URL is that of the first member that was not unavailable lately.
func (m *Mirror) URL(ref Ref) (string, error) {
	handles := m.splitHandles(ref.Handle)
	var errs []error
	for _, mb := range m.order() {
		u, err := mb.p.URL(Ref{Key: ref.Key, Handle: handles[mb.name]})
		if err == nil {
			return u, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// Purge purges the edges of all members that can, side by side. When none can, the error
// matches errors.ErrUnsupported.
func (m *Mirror) Purge(ctx context.Context, refs ...Ref) error {
	var can atomic.Bool
	err := m.each(0, func(_ int, mb *member) error {
		p, ok := mb.p.(Purger)
		if !ok {
			return nil
		}
		own := slices.Clone(refs)
		for i, ref := range own {
			own[i].Handle = m.splitHandles(ref.Handle)[mb.name]
		}
		err := p.Purge(ctx, own...)
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		can.Store(true)
		return err
	})
	if err == nil && !can.Load() {
		key := ""
		if len(refs) > 0 {
			key = refs[0].Key
		}
		return m.fail("purge", key, fmt.Errorf("%w: no member can: %w", ErrInvalid, errors.ErrUnsupported))
	}
	return err
}

// each calls f for the members from index on, side by side, and joins the errors.
func (m *Mirror) each(from int, f func(int, *member) error) error {
	errs := make([]error, len(m.members))
	var wg sync.WaitGroup
	for i, mb := range m.members[from:] {
		wg.Go(func() {
			_, errs[from+i] = recovered(context.Background(), func(context.Context) (struct{}, error) {
				return struct{}{}, f(from+i, mb)
			})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// order is the members, those that were unavailable lately last.
func (m *Mirror) order() []*member {
	now := time.Now().UnixNano()
	ms := slices.Clone(m.members)
	slices.SortStableFunc(ms, func(a, b *member) int {
		return cmp.Compare(btoi(a.down.Load() > now), btoi(b.down.Load() > now))
	})
	return ms
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// note remembers whether the member has answered. A caller that gave up says nothing
// about it.
func (mb *member) note(ctx context.Context, err error) {
	switch {
	case IsUnavailable(err):
		if ctx.Err() == nil {
			mb.down.Store(time.Now().Add(cooldown).UnixNano())
		}
	case ctx.Err() == nil:
		mb.down.Store(0)
	}
}

// ask reads from the members in order, until one has the object. f calls end when it is
// done with its context.
func ask[T any](
	ctx context.Context, m *Mirror, op string, ref Ref, f func(ctx context.Context, mb *member, ref Ref, end func()) (T, error), info func(*T) *Info,
) (v T, err error) {
	handles := m.splitHandles(ref.Handle)
	var missing error
	var down []error
	order := m.order()
	for i, mb := range order {
		mctx, cancel := context.WithCancelCause(ctx)
		var timer *time.Timer
		late := &OpError{
			Provider: mb.name, Op: op, Key: ref.Key, Kind: ErrUnavailable, Err: fmt.Errorf("no answer within %v", m.opts.Wait),
		}
		if m.opts.Wait > 0 && i < len(order)-1 {
			timer = time.AfterFunc(m.opts.Wait, func() { cancel(late) })
		}
		v, err = f(mctx, mb, Ref{Key: ref.Key, Handle: handles[mb.name]}, func() { cancel(nil) })
		if timer != nil && !timer.Stop() && ctx.Err() == nil {
			if r, ok := any(v).(io.Closer); ok && err == nil {
				_ = r.Close() // its context has ended already
				err = late
			} else if err != nil {
				err = late
			}
		}
		mb.note(ctx, err)
		switch {
		case err == nil:
			got := info(&v)
			handles[mb.name] = got.Ref.Handle
			got.Ref = Ref{Key: ref.Key, Handle: joinHandles(handles)}
			return v, nil
		case errors.Is(err, ErrNotFound):
			missing = cmp.Or(missing, err)
		case IsUnavailable(err) && ctx.Err() == nil:
			down = append(down, err)
		default:
			return v, err
		}
	}
	if len(down) > 0 { // one of them may have it
		return v, errors.Join(down...)
	}
	return v, missing
}

// splitHandles is the handles of the members by name. One that is no Mirror's is from
// before there was one, and the first member's.
func (m *Mirror) splitHandles(handle string) map[string]string {
	if handle == "" {
		return map[string]string{}
	}
	var handles map[string]string
	if json.Unmarshal([]byte(handle), &handles) != nil || handles == nil { // null is no error
		return map[string]string{m.members[0].name: handle}
	}
	return handles
}

// joinHandles is empty when no member needs one.
func joinHandles(handles map[string]string) string {
	maps.DeleteFunc(handles, func(_, h string) bool { return h == "" })
	if len(handles) == 0 {
		return ""
	}
	text, _ := json.Marshal(handles) // of strings: cannot fail
	return string(text)
}

// fail is an error of the Mirror itself.
func (m *Mirror) fail(op, key string, err error) error {
	e := &OpError{Provider: m.opts.Name, Op: op, Key: key, Kind: kindOf(err), Err: err}
	if err == e.Kind {
		e.Err = nil
	}
	return e
}
