package memory

import (
	"context"
	"iter"
	"time"
)

type Monitor struct{}

func NewMonitor(o MonitorOptions) (*Monitor, error)                     { panic("pending") }
func (m *Monitor) Start(ctx context.Context) error                      { panic("pending") }
func (m *Monitor) Close() error                                         { panic("pending") }
func (m *Monitor) Level() Level                                         { panic("pending") }
func (m *Monitor) Check(ctx context.Context) (Level, error)             { panic("pending") }
func (m *Monitor) Stats() MonitorStats                                  { panic("pending") }
func (m *Monitor) Metrics() iter.Seq2[string, float64]                  { panic("pending") }
func (m *Monitor) OnChange(f func(ChangeEvent)) (cancel func())         { panic("pending") }
func (m *Monitor) Register(name string, s Shrinker) (unregister func()) { panic("pending") }
func (m *Monitor) Collect(ctx context.Context, reason string) (CollectResult, error) {
	panic("pending")
}
func (m *Monitor) Run(ctx context.Context, fn func(context.Context) error) error { panic("pending") }

func Checkpoint(ctx context.Context) error { panic("pending") }

type LimitOptions struct {
	Ratio   float64
	Reserve int64
	Refresh time.Duration
	Source  func() (Stats, error)
}

type Limit struct{}

func SetLimit(ctx context.Context, o LimitOptions) (*Limit, error) { panic("pending") }
func (l *Limit) Bytes() int64                                      { panic("pending") }
func (l *Limit) Close() error                                      { panic("pending") }

type Cache[K comparable, V any] struct{}

func NewCache[K comparable, V any](o CacheOptions[K, V]) (*Cache[K, V], error) { panic("pending") }
func (c *Cache[K, V]) Get(key K) (value V, ok bool)                            { panic("pending") }
func (c *Cache[K, V]) Peek(key K) (value V, ok bool)                           { panic("pending") }
func (c *Cache[K, V]) Set(key K, value V) error                                { panic("pending") }
func (c *Cache[K, V]) GetOrLoad(ctx context.Context, key K, load func(context.Context) (V, error)) (V, error) {
	panic("pending")
}
func (c *Cache[K, V]) Delete(key K) bool                                        { panic("pending") }
func (c *Cache[K, V]) DeleteIf(key K, pred func(V) bool) bool                   { panic("pending") }
func (c *Cache[K, V]) Resize(maxItems int, maxBytes int64) error                { panic("pending") }
func (c *Cache[K, V]) Shrink(ctx context.Context, target float64) (freed int64) { panic("pending") }
func (c *Cache[K, V]) ShrinkPriority() int                                      { panic("pending") }
func (c *Cache[K, V]) Purge()                                                   { panic("pending") }
func (c *Cache[K, V]) Len() int                                                 { panic("pending") }
func (c *Cache[K, V]) Bytes() int64                                             { panic("pending") }
func (c *Cache[K, V]) All() iter.Seq2[K, V]                                     { panic("pending") }
func (c *Cache[K, V]) Keys() iter.Seq[K]                                        { panic("pending") }
func (c *Cache[K, V]) Stats() CacheStats                                        { panic("pending") }
func (c *Cache[K, V]) Metrics() iter.Seq2[string, float64]                      { panic("pending") }
func (c *Cache[K, V]) Close() error                                             { panic("pending") }

type Semaphore struct{}

func NewSemaphore(o SemaphoreOptions) (*Semaphore, error) { panic("pending") }
func (s *Semaphore) Acquire(ctx context.Context, n int64) (release func(), err error) {
	panic("pending")
}
func (s *Semaphore) TryAcquire(n int64) (release func(), ok bool) { panic("pending") }
func (s *Semaphore) Resize(maxBytes int64) error                  { panic("pending") }
func (s *Semaphore) Stats() SemaphoreStats                        { panic("pending") }
func (s *Semaphore) Metrics() iter.Seq2[string, float64]          { panic("pending") }
func (s *Semaphore) Close() error                                 { panic("pending") }

type BatchOptions[T any] struct {
	MaxItems int
	MaxBytes int64
	SizeOf   func(T) int64
	Monitor  *Monitor
}

func Batches[T any](ctx context.Context, src iter.Seq2[T, error], o BatchOptions[T]) iter.Seq2[[]T, error] {
	panic("pending")
}

type ProcessOptions[T any] struct {
	Workers   int
	MaxBytes  int64
	Unordered bool
	SizeOf    func(T) int64
	Monitor   *Monitor
}

func Process[T, R any](ctx context.Context, src iter.Seq2[T, error], fn func(context.Context, T) (R, error), o ProcessOptions[T]) iter.Seq2[R, error] {
	panic("pending")
}

type Sizer interface{ MemSize() int64 }

func SizeOf[T any](v T) int64 { panic("pending") }
