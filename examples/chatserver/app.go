package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/rediscache"
	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/emulate"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/perfpage"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
	"github.com/perfblocks/perfblocks/imageopt"
	"github.com/perfblocks/perfblocks/memory"
	"github.com/perfblocks/perfblocks/resilience"
)

// app is the service: its blocks, and what ties them together.
type app struct {
	cfg   config
	ctx   context.Context // of the start only; requests have their own
	log   *slog.Logger
	store *store.Store

	guard      *resilience.Guard
	limit      *memory.Limit
	monitor    *memory.Monitor
	imageCache *memory.Cache[string, []byte]
	uploads    *memory.Semaphore
	redis      *rediscache.Remote // nil without REDIS_URL
	cache      *cache.Cache
	views      struct {
		users         *cache.View[store.User]
		lists         *cache.View[[]store.Conversation]
		conversations *cache.View[store.Conversation]
		messages      *cache.View[[]byte] // JSON, as it is sent
		usage         *cache.View[[]store.UsageDay]
	}
	spent     *spent
	ai        *resilience.Pipeline
	aiURL     string
	aiClient  *http.Client
	upstreams map[string]upstream // for the page
	local     *cdn.Local
	uploader  *cdn.Uploader
	cdnName   string
	images    *imageopt.Optimizer
	img       *imageopt.Handler

	emulatedAI      *emulate.AI
	emulatedObjects *emulate.Objects // nil with CDN_PROVIDER

	handler  http.Handler
	routes   routes
	page     *perfpage.Page
	perf     performance
	metered  []metered
	degraded atomic.Uint64
	switches switches
	ttl      *ttlMap // nil without -baseline
	busiest  []string
	pictures []picture
	homeTmpl *template.Template

	stop    context.CancelFunc // ends the background
	running sync.WaitGroup
	closers []func() error // run in reverse order
}

// scripts of the emulated services: a minute of life with an outage in it.
var (
	aiScript = emulate.Script{
		{For: 25 * time.Second, Errors: 0.1, Hangs: 0.2}, {For: 8 * time.Second, Down: true}, {For: 27 * time.Second, Errors: 0.1, Hangs: 0.2},
	}
	cdnScript = emulate.Script{{For: 20 * time.Second}, {For: 10 * time.Second, Down: true}, {For: 30 * time.Second}}
)

// newApp makes the service with its data in dir. Logs go to stderr. On error
// nothing is left behind.
func newApp(ctx context.Context, cfg config, dir string, stderr io.Writer) (_ *app, err error) {
	a := &app{cfg: cfg, ctx: ctx, upstreams: map[string]upstream{}}
	a.perf.start = time.Now()
	a.switches.on = map[string]bool{}
	aiScript, cdnScript := aiScript, cdnScript
	if !cfg.faults {
		aiScript, cdnScript = nil, nil
	}
	if cfg.baseline {
		a.ttl = &ttlMap{values: map[string]ttlValue{}}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close(ctx))
		}
	}()
	steps := []func() error{
		func() error { return a.wireLogs(slog.NewJSONHandler(stderr, nil)) },
		func() error { return a.openStore(dir) },
		a.wireMemory, a.wireCache,
		func() error { return a.wireAI(aiScript) },
		func() error { return a.wireCDN(dir, cdnScript) },
		a.wireImages, a.wireIndexes, a.makePage,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if err := a.warm(ctx); err != nil {
		return nil, fmt.Errorf("warm up: %w", err)
	}
	return a, nil
}

func (a *app) openStore(dir string) (err error) {
	if a.store, err = store.Open(a.ctx, a.cfg.databaseURL, dir); err != nil {
		return err
	}
	a.cfg.users, err = a.store.Seed(a.ctx, a.cfg.users)
	return err
}

func (a *app) makePage() (err error) {
	if a.homeTmpl, err = template.ParseFS(webFiles, "web/home.html"); err != nil {
		return err
	}
	if err = a.makePictures(); err != nil {
		return err
	}
	a.metered = append(a.metered, a.cache, a.monitor, a.imageCache, a.uploads, a.uploader, a.local, a.images, a.img, a.guard, a)
	a.perf.base, a.perf.lastAt = totals{at: a.perf.start}, a.perf.start
	if a.page, err = perfpage.New(a.view, a.switchButtons()...); err != nil {
		return err
	}
	a.handler, err = a.makeHandler()
	return err
}

// Handler answers the service's requests.
func (a *app) Handler() http.Handler { return a.handler }

// onClose has f run by Close.
func (a *app) onClose(f func() error) { a.closers = append(a.closers, f) }

// Start starts the background: the monitor, the promotion of uploads that fell
// back, the page, and the demo visitors, who use the service at url.
func (a *app) Start(url string) {
	ctx, stop := context.WithCancel(context.WithoutCancel(a.ctx))
	a.stop = stop
	if err := a.monitor.Start(ctx); err != nil {
		a.log.Error("monitor", "error", err)
	}
	a.running.Go(func() { a.page.Run(ctx) })
	a.running.Go(func() {
		if err := a.uploader.Run(ctx); err != nil {
			a.log.Error("promotion", "error", err)
		}
	})
	if a.cfg.demo {
		a.running.Go(func() {
			d := &demo{base: url, users: a.cfg.users}
			if err := d.prepare(ctx, a.images); err != nil {
				a.log.Error("demo", "error", err)
				return
			}
			d.run(ctx)
		})
	}
}

// Stop ends the background and returns when it has ended.
func (a *app) Stop() {
	if a.stop != nil {
		a.stop()
		a.running.Wait()
	}
}

// Close moves pending uploads to the CDN as far as ctx allows, and closes all.
func (a *app) Close(ctx context.Context) error {
	a.Stop()
	var errs []error
	if a.uploader != nil {
		drain, cancel := context.WithTimeout(ctx, 3*time.Second)
		if err := a.uploader.Shutdown(drain); err != nil && a.cfg.data != "" {
			a.log.Warn("uploads are left for the next start", "pending", a.uploader.Stats().Pending)
		}
		cancel()
	}
	if a.spent != nil {
		errs = append(errs, a.spent.close(ctx))
	}
	closeAll := []func() error{}
	add := func(made bool, f func() error) {
		if made {
			closeAll = append(closeAll, f)
		}
	}
	add(a.img != nil, func() error { return a.img.Close() })
	add(a.local != nil, func() error { return a.local.Close() })
	add(a.cache != nil, func() error { return a.cache.Close() })
	add(a.redis != nil, func() error { return a.redis.Close() })
	add(a.imageCache != nil, func() error { return a.imageCache.Close() })
	add(a.uploads != nil, func() error { return a.uploads.Close() })
	add(a.monitor != nil, func() error { return a.monitor.Close() })
	add(a.limit != nil, func() error { return a.limit.Close() })
	slices.Reverse(a.closers)
	closeAll = append(closeAll, a.closers...)
	add(a.guard != nil, func() error { return a.guard.Close() })
	add(a.store != nil, func() error { return a.store.Close() })
	for _, f := range closeAll {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}
