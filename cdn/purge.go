package cdn

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Purge makes the provider's edge forget what it has cached under keys. A key that ends
// in a slash stands for all keys below it, and "/" for all there are, where the provider
// can do that. Objects stay as they are, and missing ones are no error. Purge returns
// once the provider has accepted the request; its edges follow within seconds or
// minutes. Failures are tried again like uploads; keys that were purged before one are
// purged twice then, which is harmless.
//
// When the provider is no [Purger], or cannot purge what was asked for, the error
// matches [ErrInvalid] and errors.ErrUnsupported. What browsers and caches of others
// have stored nobody can purge; keys that name their content need it never.
func (u *Uploader) Purge(ctx context.Context, keys ...string) error {
	refs := make([]Ref, len(keys))
	for i, key := range keys {
		if err := checkPurge(key); err != nil {
			return err
		}
		refs[i] = u.handleOf(key)
	}
	return u.purge(ctx, refs...)
}

// checkPurge is CheckKey for what Purge takes.
func checkPurge(key string) error {
	if key == "/" {
		return nil
	}
	return CheckKey(strings.TrimSuffix(key, "/"))
}

// handleOf is key with the provider's locator, as far as it is known.
func (u *Uploader) handleOf(key string) Ref {
	ref := Ref{Key: key}
	if u.local != nil {
		if e := u.local.lookup(key); e != nil {
			ref.Handle = e.Handle
		}
	}
	return ref
}

// purge calls the provider within MaxWait.
func (u *Uploader) purge(ctx context.Context, refs ...Ref) error {
	key := ""
	if len(refs) > 0 {
		key = refs[0].Key
	}
	p, ok := u.p.(Purger)
	if !ok {
		return &OpError{
			Provider: u.name, Op: "purge", Key: key, Kind: ErrInvalid,
			Err: fmt.Errorf("the provider has no edge that could be purged: %w", errors.ErrUnsupported),
		}
	}
	ctx, leave, err := u.enter(ctx, false)
	if err != nil {
		return err
	}
	defer leave()
	wctx, w := u.bounded(ctx, "purge", key)
	defer w.end()
	q := request{op: "purge", key: key, tries: u.tries(), w: w, h: newHold(nil)}
	_, _, err = retry(wctx, u, q, func(ctx context.Context) (struct{}, error) {
		u.count.reqPurge.Add(1)
		return struct{}{}, p.Purge(ctx, refs...)
	}, nil)
	return err
}

// purgeChanged is what Options.Purge asks for after ref was written or deleted.
func (u *Uploader) purgeChanged(ctx context.Context, ref Ref) error {
	if !u.opts.Purge {
		return nil
	}
	return u.purge(ctx, ref)
}

// purgePromoted does so after a promotion, whose failures nobody else receives.
func (u *Uploader) purgePromoted(ctx context.Context, e *entry) {
	if e.Derived { // nothing else was ever there
		return
	}
	ref := u.handleOf(e.Key)
	setDefault(&ref.Handle, e.Handle) // a tombstone is gone by now
	err := u.purgeChanged(ctx, ref)
	if err != nil && u.opts.Logger != nil {
		u.opts.Logger.Warn("cdn: purge failed, edges may be stale", "name", u.opts.Name, "key", e.Key, "error", err)
	}
}

// checkPurger refuses Options.Purge with a provider that cannot do it.
func (u *Uploader) checkPurger() error {
	if !u.opts.Purge {
		return nil
	}
	p, ok := u.p.(Purger)
	if !ok {
		return fmt.Errorf("%w: field Purge: provider %s is no Purger", ErrOptions, u.name)
	}
	if err := p.Purge(context.Background()); err != nil { // of nothing: no I/O
		return fmt.Errorf("%w: field Purge: %w", ErrOptions, err)
	}
	return nil
}

// Purge does nothing, since a Local has no edge: its handler reads the disk for each
// request. Caches in front of the handler are not its own.
func (l *Local) Purge(ctx context.Context, refs ...Ref) error {
	for _, ref := range refs {
		err := checkPurge(ref.Key)
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), context.Cause(ctx))
		}
		if err != nil {
			return l.opError("purge", ref.Key, err)
		}
	}
	return nil
}
