package cache

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"
)

const (
	defaultMaxBytes         = 64 << 20
	defaultSweep            = time.Minute
	defaultRemoteWait       = 100 * time.Millisecond
	defaultTagRecheck       = time.Second
	defaultTTL              = 5 * time.Minute
	defaultJitter           = 0.1
	never                   = math.MaxInt64 / 4
	maxDuration             = time.Duration(never)
	maxNameLen              = 128
	maxUnpacked       int64 = 256 << 20
)

// Options configures a [Cache]. The zero value is a working configuration; a zero
// field means the default that its comment gives. New keeps no reference to it.
type Options struct {
	// Name labels this cache in [Cache.Metrics]. Default "default".
	Name string
	// MaxBytes bounds the sum of entry sizes, in bytes: values, keys and
	// bookkeeping. Default 64 MiB, or no byte bound when MaxEntries is set.
	MaxBytes int64
	// MaxEntries bounds the number of entries. Default 0: no such bound. With both
	// bounds set, an entry counts for at least MaxBytes/MaxEntries bytes, which
	// keeps both.
	MaxEntries int
	// Engine makes the store that chooses what to evict. Default: an adaptive W-TinyLFU of
	// this package. Others: [NewOtter], and the package ristrettocache.
	Engine func(EngineOptions) (Engine, error)
	// Remote is an optional second level, shared by several processes, which also
	// carries invalidations between them. Strategies with a Codec keep records in
	// it; invalidations reach all strategies. A failing Remote never fails a Load.
	Remote Remote
	// RemoteTimeout bounds each call of Remote. Default 100 ms.
	RemoteTimeout time.Duration
	// TagRecheck bounds how long, without a working push from Remote, an entry is
	// served from memory before Remote or the loader is asked again. Default 1 s.
	TagRecheck time.Duration
	// SweepInterval is the pause between two walks that free expired and
	// invalidated entries. It is longer where a walk takes long: at least 100 times
	// its duration, so that walks take 1 % of one core at most. Default 1 minute;
	// negative: never.
	SweepInterval time.Duration
	// Disabled makes the cache a pass-through: Load runs its loader each time, Get
	// misses, Set and the invalidating verbs do nothing.
	Disabled bool
	// Hooks observes the cache.
	Hooks Hooks
	// Logger receives errors of background work that nobody else receives. Nil: silent.
	Logger *slog.Logger
}

// withDefaults checks o and fills its zero fields.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if o.MaxBytes < 0 {
		bad("MaxBytes %d is negative", o.MaxBytes)
	}
	if o.MaxEntries < 0 {
		bad("MaxEntries %d is negative", o.MaxEntries)
	}
	if o.RemoteTimeout < 0 {
		bad("RemoteTimeout %v is negative", o.RemoteTimeout)
	}
	if o.TagRecheck < 0 {
		bad("TagRecheck %v is negative", o.TagRecheck)
	}
	if len(o.Name) > maxNameLen {
		bad("Name is longer than %d bytes", maxNameLen)
	}
	if o.MaxBytes > 0 && int64(o.MaxEntries) > o.MaxBytes {
		bad("MaxEntries %d is larger than MaxBytes %d", o.MaxEntries, o.MaxBytes)
	}
	if len(errs) > 0 {
		return o, fmt.Errorf("%w: %w", ErrOptions, errors.Join(errs...))
	}
	if o.Name == "" {
		o.Name = "default"
	}
	if o.MaxBytes == 0 && o.MaxEntries == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.RemoteTimeout == 0 {
		o.RemoteTimeout = defaultRemoteWait
	}
	if o.TagRecheck == 0 {
		o.TagRecheck = defaultTagRecheck
	}
	if o.SweepInterval == 0 {
		o.SweepInterval = defaultSweep
	}
	if o.Engine == nil {
		o.Engine = newLFU
	}
	return o, nil
}
