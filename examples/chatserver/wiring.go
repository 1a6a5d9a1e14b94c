package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/rediscache"
	"github.com/perfblocks/perfblocks/cache/ristrettocache"
	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdnenv"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/emulate"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
	"github.com/perfblocks/perfblocks/imageopt"
	"github.com/perfblocks/perfblocks/memory"
	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

// This file is the recipe: how each block is made and how they are joined. No
// package of the module knows another; they meet here, by the shapes of their
// methods. The compiler checks the shapes:
var (
	_ memory.Shrinker = (*cache.Cache)(nil)                  // the monitor shrinks the cache
	_ memory.Shrinker = (*memory.Cache[string, []byte])(nil) // and the image cache
	_ imageopt.Cache  = (*memory.Cache[string, []byte])(nil) // which keeps finished images
	_ http.Handler    = (*cdn.Local)(nil)                    // the fallback serves its own files
)

const cacheBytes = 64 << 20

// wireLogs makes the service's logger: JSON lines through a flood guard, so that
// an outage does not fill the disk.
func (a *app) wireLogs(h slog.Handler) (err error) {
	a.guard, err = resilience.NewGuard(resilience.GuardOptions{Name: "logs", Disabled: a.cfg.off["resilience"]})
	if err == nil {
		a.log = slog.New(a.guard.Handler(h))
	}
	return err
}

// wireMemory sets the runtime's limit below the container's, watches how near the
// process comes to it, and lets uploads in by their size.
func (a *app) wireMemory() (err error) {
	off := a.cfg.off["memory"]
	if !off {
		if a.limit, err = memory.SetLimit(a.ctx, memory.LimitOptions{}); err != nil {
			return err
		}
	}
	if a.monitor, err = memory.NewMonitor(memory.MonitorOptions{Logger: a.log, Disabled: off}); err != nil {
		return err
	}
	if a.imageCache, err = memory.NewCache(memory.CacheOptions[string, []byte]{
		Name: "images", MaxBytes: 64 << 20, Monitor: a.monitor, Disabled: off,
	}); err != nil {
		return err
	}
	a.uploads, err = memory.NewSemaphore(memory.SemaphoreOptions{Name: "uploads", MaxBytes: 48 << 20, Monitor: a.monitor, Disabled: off})
	return err
}

// wireCache makes one cache with a view for each kind of thing, and gives its
// memory back under pressure. With REDIS_URL several nodes share a second level.
func (a *app) wireCache() (err error) {
	o := cache.Options{Name: "chat", MaxBytes: cacheBytes, Logger: a.log, Disabled: a.cfg.off["cache"]}
	switch a.cfg.engine {
	case "otter":
		o.Engine = cache.NewOtter
	case "ristretto":
		o.Engine = ristrettocache.New
	}
	if a.cfg.redisURL != "" {
		// Nodes share what they load if they share a database, and only then.
		id, err := a.store.Identity(a.ctx)
		if err != nil {
			return err
		}
		if a.redis, err = rediscache.New(rediscache.Options{Name: "chat", URL: a.cfg.redisURL, Prefix: "chat:" + id + ":", Logger: a.log}); err != nil {
			return fmt.Errorf("REDIS_URL: %w", err)
		}
		a.metered = append(a.metered, a.redis)
		o.Remote = a.redis
	}
	if a.cache, err = cache.New(o); err != nil {
		return err
	}
	// Invalidation is exact, so that entries may live long; the stale windows are
	// for the time when the database does not answer.
	var errs [5]error
	a.views.users, errs[0] = cache.Add(a.cache, cache.Strategy[store.User]{
		Name: "user_data", TTL: 10 * time.Minute, NegativeTTL: 10 * time.Second, StaleIfError: time.Hour, Codec: cache.JSON[store.User](),
	})
	a.views.lists, errs[1] = cache.Add(a.cache, cache.Strategy[[]store.Conversation]{
		Name: "conversation_list", TTL: 10 * time.Minute, StaleIfError: time.Hour, Codec: cache.JSON[[]store.Conversation](),
	})
	a.views.conversations, errs[2] = cache.Add(a.cache, cache.Strategy[store.Conversation]{
		Name: "conversation", TTL: 10 * time.Minute, NegativeTTL: 10 * time.Second, StaleIfError: time.Hour, Codec: cache.JSON[store.Conversation](),
	})
	a.views.messages, errs[3] = cache.Add(a.cache, cache.Strategy[[]byte]{
		Name: "messages", TTL: 10 * time.Minute, NegativeTTL: 10 * time.Second, StaleIfError: time.Hour, Codec: cache.Raw[[]byte](), Compression: cache.S2,
	})
	a.views.usage, errs[4] = cache.Add(a.cache, cache.Strategy[[]store.UsageDay]{
		Name: "usage", TTL: 5 * time.Minute, StaleWhileRevalidate: time.Minute, StaleIfError: time.Hour, Codec: cache.JSON[[]store.UsageDay](),
	})
	a.monitor.Register("cache", a.cache)
	a.spent = newSpent(a.log, a.writeUsage)
	return errors.Join(errs[:]...)
}

// writeUsage stores rows and invalidates the sums that lack them.
func (a *app) writeUsage(ctx context.Context, rows []store.Usage) error {
	if err := a.store.AddUsage(ctx, rows...); err != nil {
		return err
	}
	users := map[string]bool{}
	for _, u := range rows {
		users[u.UserID] = true
	}
	if err := a.views.usage.Delete(ctx, slices.Collect(maps.Keys(users))...); err != nil {
		a.log.Warn("other nodes hear of new usage later", "error", err) // the cache sees to it
	}
	return nil
}

// wireAI puts a pipeline in front of the model: two attempts in less than the
// second and a half that the page promises, a breaker that stops calling while the
// model is down, at most 64 calls at once.
func (a *app) wireAI(script emulate.Script) (err error) {
	off := a.cfg.off["resilience"]
	a.emulatedAI = emulate.NewAI(script)
	url, stop, err := emulate.Serve(a.emulatedAI)
	if err != nil {
		return err
	}
	a.aiURL = url
	a.onClose(stop)
	breaker, err := resilience.NewBreaker(resilience.BreakerOptions{Name: "ai", Disabled: off})
	if err != nil {
		return err
	}
	a.ai, err = resilience.New(resilience.Options{
		Name: "ai", Breaker: breaker, Timeout: 1300 * time.Millisecond, AttemptTimeout: 700 * time.Millisecond, Bulkhead: 64,
		Retry: resilience.RetryOptions{MaxAttempts: 2}, Disabled: off,
	})
	a.watchUpstream("ai", a.ai.Stats, func() string { return breaker.State().String() })
	a.metered = append(a.metered, a.ai)
	a.aiClient = &http.Client{Timeout: 10 * time.Second} // the outer bound, also with resilience off
	return err
}

// wireCDN makes the uploader: the provider of the environment, or an object store
// emulated here, with the local directory as its fallback. The breaker sits in the
// HTTP client, where an upload finds it open at once and falls back; the uploader
// is the only one who retries.
func (a *app) wireCDN(dir string, script emulate.Script) (err error) {
	if a.local, err = cdn.NewLocal(cdn.LocalOptions{Dir: filepath.Join(dir, "files"), URL: "/files/", Logger: a.log}); err != nil {
		return err
	}
	provider, err := a.provider(dir, script)
	if err != nil {
		return err
	}
	o := cdn.Options{Name: "uploads", Fallback: a.local, MaxBytes: maxUpload, MaxWait: 3 * time.Second, AllowTypes: []string{"image/*"}, Logger: a.log}
	if provider == cdn.Provider(a.local) || a.cfg.off["cdn"] {
		o.Fallback = nil
	}
	o.Disabled = a.cfg.off["cdn"]
	a.uploader, err = cdn.New(provider, o)
	return err
}

func (a *app) provider(dir string, script emulate.Script) (cdn.Provider, error) {
	client, err := a.cdnClient()
	if err != nil {
		return nil, err
	}
	switch name := a.cfg.getenv("CDN_PROVIDER"); name {
	case "":
		return a.emulatedCDN(dir, script, client)
	case "local":
		a.cdnName = name
		return a.local, nil
	default:
		a.cdnName = name
		return cdnenv.New(a.cfg.getenv, cdnenv.Options{HTTPClient: client})
	}
}

// cdnClient is an HTTP client with a breaker for each host and without retries.
func (a *app) cdnClient() (*http.Client, error) {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = 16
	base.ResponseHeaderTimeout = 10 * time.Second
	a.onClose(func() error { base.CloseIdleConnections(); return nil })
	t, err := resiliencehttp.NewTransport(base, resiliencehttp.TransportOptions{
		Name: "cdn", Retry: resilience.RetryOptions{MaxAttempts: 1}, Disabled: a.cfg.off["resilience"],
	})
	if err != nil {
		return nil, err
	}
	a.metered = append(a.metered, t)
	a.watchUpstream("cdn", t.Stats, func() string {
		states := map[string]bool{}
		for _, b := range t.Breakers() {
			states[b.State().String()] = true
		}
		return cmp.Or(strings.Join(slices.Sorted(maps.Keys(states)), ", "), "not called yet")
	})
	return &http.Client{Transport: t}, nil
}

// emulatedCDN is an S3-compatible store on loopback that is down now and then.
func (a *app) emulatedCDN(dir string, script emulate.Script, client *http.Client) (cdn.Provider, error) {
	objects := filepath.Join(dir, "objects")
	if err := os.MkdirAll(objects, 0o755); err != nil {
		return nil, err
	}
	a.emulatedObjects = emulate.NewObjects(objects, script)
	url, stop, err := emulate.Serve(a.emulatedObjects)
	if err != nil {
		return nil, err
	}
	a.onClose(stop)
	a.cdnName = "s3 (emulated)"
	return s3cdn.New(s3cdn.Options{
		Bucket: emulate.Bucket, Region: "local", Endpoint: url, PathStyle: true, HTTPClient: client,
		AccessKeyID: emulate.AccessKey, SecretAccessKey: emulate.SecretKey,
	})
}

// wireImages makes the optimiser, and the handler that serves photos and uploads
// in the size and format that a client asks for.
func (a *app) wireImages() (err error) {
	a.images, err = imageopt.New(imageopt.Options{Name: "images", MaxMemory: 256 << 20, Disabled: a.cfg.off["imageopt"]})
	if err != nil {
		return err
	}
	versions := map[string]string{}
	for _, name := range photoNames {
		photo, err := photoFiles.ReadFile("photos/" + name)
		if err != nil {
			return err
		}
		versions["photos/"+name] = fmt.Sprintf("%x", sha256.Sum256(photo))
	}
	a.img, err = imageopt.NewHandler(a.images, originals{photos: imageopt.SourceFS(photoFiles), versions: versions, uploads: a.uploader}, imageopt.HandlerOptions{
		Name: "img", Path: "/img/", Cache: a.imageCache,
	})
	return err
}

// wireIndexes applies the declared indexes, and leaves alone what others made.
func (a *app) wireIndexes() error {
	want := chatIndexes()
	if a.cfg.baseline {
		want = foreignKeyIndexes()
	} else if a.cfg.off["dbindex"] {
		return nil
	}
	plan, err := live.Diff(a.ctx, a.store.DB(), want, live.DiffOptions{})
	if err != nil {
		return err
	}
	plan.Blocking = true // nobody uses the tables yet
	if _, err = live.Apply(a.ctx, a.store.DB(), plan.Without(dbindex.Drop), live.Options{Logger: a.log}); err != nil {
		return err
	}
	return a.store.Compact(a.ctx)
}

// warm loads what the busiest users will ask for first.
func (a *app) warm(ctx context.Context) (err error) {
	if a.busiest, err = a.store.Busiest(ctx, 50); err != nil {
		return err
	}
	users, err1 := a.views.users.Warm(ctx, slices.Values(a.busiest), a.loadUser, cache.WarmOptions{})
	lists, err2 := a.views.lists.Warm(ctx, slices.Values(a.busiest), a.loadList, cache.WarmOptions{})
	a.log.Info("warm", "users", users, "lists", lists)
	return errors.Join(err1, err2)
}

// originals is where the image handler finds pictures: "photos/…" in the program,
// "uploads/…" at the CDN or in its fallback.
type originals struct {
	photos   imageopt.Source
	versions map[string]string // of the photos: without one the handler hashes a photo each time it serves a size of it
	uploads  *cdn.Uploader
}

// Open implements imageopt.Source.
func (o originals) Open(ctx context.Context, name string) (io.ReadCloser, imageopt.SourceInfo, error) {
	if strings.HasPrefix(name, "photos/") {
		r, info, err := o.photos.Open(ctx, name)
		info.Version = o.versions[name]
		return r, info, err
	}
	if !strings.HasPrefix(name, "uploads/") || cdn.CheckKey(name) != nil {
		return nil, imageopt.SourceInfo{}, fs.ErrNotExist
	}
	// One reader serves all who ask for the same picture: it must outlive the
	// request that came first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	r, info, err := o.uploads.Open(ctx, name)
	if err != nil {
		cancel()
		if errors.Is(err, cdn.ErrNotFound) {
			err = fs.ErrNotExist
		}
		return nil, imageopt.SourceInfo{}, err
	}
	// Uploads are named by their content: the key is the version.
	return cancelCloser{r, cancel}, imageopt.SourceInfo{Version: info.Ref.Key}, nil
}

// cancelCloser ends the context of a reader when it is closed.
type cancelCloser struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c cancelCloser) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}
