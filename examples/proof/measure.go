package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/examples/internal/load"
)

// photos are those that the service comes with.
func photos() []string {
	return []string{"photos/jon-tyson.jpg", "photos/fatih.jpg", "photos/seondol-son.jpg"}
}

// seededUsers is the size of the data.
const seededUsers = 2000

// plan is what is the same for all modes of a run.
type plan struct {
	bin     string
	out     string // directory for plots and logs
	users   int
	zipf    float64
	warmup  time.Duration
	measure time.Duration
	limit   int64 // of the memory, in bytes
	seed    uint64
	faults  bool
	search  bool // only the share of good answers is looked for
}

// forMode is p as that mode is measured.
func (p plan) forMode(m mode) plan {
	if m.side {
		p.warmup, p.measure = min(p.warmup, 12*time.Second), p.measure/2
	}
	if m.zipf > 0 {
		p.zipf = m.zipf
	}
	return p
}

// result is what one mode came to.
type result struct {
	Mode      string                  `json:"mode"`
	Users     int                     `json:"users"`
	Seconds   float64                 `json:"seconds"`  // that were measured
	Answered  int                     `json:"answered"` // answers while the figures of the service were counted
	All       load.Summary            `json:"all"`      // uploads apart
	Uploads   load.Summary            `json:"uploads"`  // they have their own latencies
	Classes   map[string]load.Summary `json:"classes"`
	HitRate   float64                 `json:"hitRate"`
	Queries   int64                   `json:"queries"`
	DBSeconds float64                 `json:"dbSeconds"`
	DB        []statement             `json:"statements"` // what DBSeconds went to
	Memory    memoryUse               `json:"memory"`
	Stale     int                     `json:"staleReads"`
	Compared  int                     `json:"comparedReads"`
	FellBack  uint64                  `json:"fellBack"`
	Promoted  uint64                  `json:"promoted"`
	Files     int                     `json:"files"`
	LostFiles int                     `json:"lostFiles"`
	Image     int64                   `json:"imageBytes"`   // of the photos at 640 px
	PageLoad  time.Duration           `json:"pageLoad"`     // over a throttled link; 0: not measured
	Loader    string                  `json:"pageLoadedBy"` // chromium, or this program
	IdleCPU   float64                 `json:"idleCPU"`      // share of a core when nothing happens; 0: not measured
	PageCPU   float64                 `json:"pageCPU"`      // how much more 50 viewers of the live page take
	Died      bool                    `json:"died"`
	Notes     []string                `json:"notes,omitempty"`

	samples []load.Sample
	hits    []float64 // the hit rate of each second, in percent
	idle    int64
}

// run measures one mode.
func (p plan) run(ctx context.Context, m mode) (r result, err error) {
	p = p.forMode(m)
	r = result{Mode: m.name, Users: p.users, Seconds: p.measure.Seconds()}
	dir, err := os.MkdirTemp(p.out, m.name+"-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, keepLog(dir)) }()
	s, err := startServer(ctx, p.bin, dir, p.limit, m.args()...)
	if err != nil {
		return r, err
	}
	defer func() { // what was measured stands, however the service ends
		if e := s.stop(ctx); e != nil {
			r.Notes = append(r.Notes, "end: "+e.Error())
		}
	}()
	if r.idle, err = s.mem.used(); err != nil {
		r.Notes = append(r.Notes, err.Error())
	}
	us := newUsers(s, m, seededUsers, p.zipf, p.measure, p.seed)
	defer us.client.CloseIdleConnections()
	p.load(ctx, s, us, &r)
	if r.Died = s.died(); r.Died {
		r.Notes = append(r.Notes, "the service ended during the run")
		return r, ctx.Err()
	}
	if !p.search {
		p.settle(ctx, s, us, &r)
	}
	return r, ctx.Err()
}

// keepLog removes the data that a mode has left in dir. A log without a line goes too.
func keepLog(dir string) error {
	list, err := os.ReadDir(dir)
	errs := []error{err}
	for _, f := range list {
		if info, err := f.Info(); err != nil || f.Name() != "log" || info.Size() == 0 {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, f.Name())))
		}
	}
	os.Remove(dir) // fails if the log is still there, and is to
	return errors.Join(errs...)
}

// load lets the users at the service while the script plays.
func (p plan) load(ctx context.Context, s *server, us *users, r *result) {
	zero := time.Now().Add(p.warmup)
	var side sync.WaitGroup
	measuring, stop := context.WithCancel(ctx)
	defer side.Wait()
	defer stop()
	var notes []string
	var last history
	side.Go(func() {
		if !wait(measuring, p.warmup) {
			return
		}
		if err := s.zero(ctx); err != nil {
			notes = append(notes, "zero: "+err.Error())
		}
		side.Go(func() { last.watch(measuring, s, zero) })
		if p.faults {
			notes = append(notes, play(measuring, s, script(p.limit), zero, p.measure)...)
		}
	})
	var use memoryUse
	side.Go(func() {
		if wait(measuring, p.warmup) {
			over, cancel := context.WithTimeout(measuring, p.measure)
			defer cancel()
			use = s.mem.watch(over)
		}
	})
	r.samples = load.Run(ctx, load.Options{
		Users: p.users, Warmup: p.warmup, Measure: p.measure, Swing: 0.3, Seed: p.seed,
	}, us.visit)
	stop()
	side.Wait()
	r.Notes = append(r.Notes, notes...)
	until := p.measure + time.Minute
	f, err := s.figures(ctx)
	if err != nil {
		f, until = last.figures, last.at
		r.Notes = append(r.Notes, fmt.Sprintf("hits and database are those of the first %.0f s: %v", max(until, 0).Seconds(), err))
	}
	r.HitRate, r.Queries, r.DBSeconds, r.DB = f.Cache.HitRate, f.Database.Queries, f.databaseSeconds(), f.Database.Statements
	r.FellBack, r.hits = f.CDN.Fallback, last.hits
	for _, x := range r.samples {
		if x.Status != 0 && x.At >= 0 && x.At+x.Latency <= until {
			r.Answered++
		}
	}
	use.Idle = r.idle
	r.Memory = use
	p.summarize(r)
	r.Stale, r.Compared = len(us.ledger.stale), us.ledger.reads
	r.Notes = append(r.Notes, us.ledger.stale[:min(len(us.ledger.stale), 2)]...)
}

func (p plan) summarize(r *result) {
	r.All = load.Summarize(r.samples, 0, p.measure, notUpload)
	r.Uploads = load.Summarize(r.samples, 0, p.measure, func(x load.Sample) bool { return !notUpload(x) })
	r.Classes = map[string]load.Summary{}
	for _, x := range r.samples {
		if _, ok := r.Classes[x.Class]; !ok {
			r.Classes[x.Class] = load.Summarize(r.samples, 0, p.measure, func(y load.Sample) bool { return y.Class == x.Class })
		}
	}
}

// notUpload is what the latencies are of: uploads have their own.
func notUpload(x load.Sample) bool { return x.Class != "upload" }

// settle waits until nothing is pending, reads every upload again, and looks at what
// the pages of the service weigh.
func (p plan) settle(ctx context.Context, s *server, us *users, r *result) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		f, err := s.figures(ctx)
		if err != nil {
			r.Notes = append(r.Notes, "figures: "+err.Error())
			return
		}
		r.Promoted = f.CDN.Promoted
		if f.CDN.Pending == 0 || time.Now().After(deadline) || !wait(ctx, 200*time.Millisecond) {
			break
		}
	}
	for key, u := range us.ledger.files() {
		r.Files++
		content, err := fetch(ctx, us.client, u.url)
		if err != nil || int64(len(content)) != u.size || u.sum != [32]byte{} && sha256.Sum256(content) != u.sum {
			r.LostFiles++
			r.Notes = append(r.Notes, fmt.Sprintf("upload %s: %d bytes of %d, %v", key, len(content), u.size, err))
		}
	}
	for _, name := range photos() {
		q := url.Values{"url": {name}, "w": {"640"}, "q": {"80"}}
		content, err := fetch(ctx, us.client, s.url+"/img/?"+q.Encode())
		if err != nil {
			r.Notes = append(r.Notes, "photo "+name+": "+err.Error())
		}
		r.Image += int64(len(content))
	}
	var err error
	if us.mode.name == "all" {
		if r.IdleCPU, r.PageCPU, err = pageCPU(ctx, s); err != nil {
			r.Notes = append(r.Notes, "page CPU: "+err.Error())
		} else {
			r.Notes = append(r.Notes, fmt.Sprintf("%.2f %% of a core when nothing happens, %.2f %% more with %d viewers of the live page", 100*r.IdleCPU, 100*r.PageCPU, viewers))
		}
	}
	if r.PageLoad, r.Loader, err = pageLoad(ctx, strings.TrimPrefix(s.url, "http://")); err != nil {
		r.Notes = append(r.Notes, "page load: "+err.Error())
	}
}

// wait tells whether all of d has passed.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
