package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/perfblocks/perfblocks/examples/internal/load"
)

const (
	adverseWorkers = 16
	adverseRounds  = 6 // of each mode
)

// adverse measures what the blocks cost where they cannot help: each user as likely as
// any other, half of the actions writes, no pictures, no faults, as much as the service
// can do. The services run all the time and are asked in turns.
func (c *settings) adverse(ctx context.Context, r *report, say func(string, ...any)) (err error) {
	var sides []*adverseSide
	defer func() {
		for _, x := range sides {
			err = errors.Join(err, x.close(ctx))
		}
	}()
	for _, m := range adverseModes() {
		x, err := c.newAdverseSide(ctx, m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		sides = append(sides, x)
	}
	each := max(c.measure/18, 500*time.Millisecond)
	for round := range adverseRounds + 1 { // the first is to warm up
		for i := range sides {
			x := sides[(i+round)%len(sides)]
			err := x.round(ctx, each, round > 0)
			if err == nil && round == 0 {
				err = x.server.zero(ctx)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", x.mode.name, err)
			}
		}
	}
	for _, x := range sides {
		res := x.result(ctx)
		say("mode %s: %s", x.mode.name, res.Notes[0])
		r.Results = append(r.Results, res)
	}
	return nil
}

// adverseSide is one of the services.
type adverseSide struct {
	mode     mode
	dir      string
	server   *server
	users    *users
	visitors []*visitor // of the workers
	samples  []load.Sample
	took     time.Duration
	cpu      time.Duration
}

func (c *settings) newAdverseSide(ctx context.Context, m mode) (x *adverseSide, err error) {
	x = &adverseSide{mode: m}
	if x.dir, err = os.MkdirTemp(c.out, m.name+"-"); err != nil {
		return nil, err
	}
	if x.server, err = startServer(ctx, c.bin, x.dir, c.plan.limit, m.args()...); err != nil {
		return nil, errors.Join(err, keepLog(x.dir))
	}
	x.users = newUsers(x.server, m, seededUsers, 0, c.measure, c.seed)
	for i := range adverseWorkers {
		x.visitors = append(x.visitors, x.users.anybody(rand.New(rand.NewPCG(c.seed, uint64(i)))))
	}
	return x, nil
}

// anybody is a user whom chance has picked.
func (us *users) anybody(rnd *rand.Rand) *visitor {
	return &visitor{users: us, rnd: rnd, id: userID(rnd.IntN(us.n) + 1)}
}

// round asks the service for a while.
func (x *adverseSide) round(ctx context.Context, d time.Duration, counts bool) error {
	before, _ := cpuTime(x.server.cmd.Process.Pid) // none where it cannot be read
	samples := load.Saturate(ctx, adverseWorkers, d, func(ctx context.Context, worker int) load.Outcome {
		v := x.visitors[worker]
		if v.rnd.IntN(20) == 0 {
			v = x.users.anybody(v.rnd)
			x.visitors[worker] = v
			return v.login(ctx)
		}
		return v.act()(ctx)
	})
	if x.server.died() {
		return errors.New("the service ended during the run")
	}
	if counts {
		after, _ := cpuTime(x.server.cmd.Process.Pid)
		for _, s := range samples {
			s.At += x.took
			x.samples = append(x.samples, s)
		}
		x.took += d
		x.cpu += after - before
	}
	return ctx.Err()
}

func (x *adverseSide) result(ctx context.Context) result {
	p := plan{measure: x.took}
	r := result{Mode: x.mode.name, Users: adverseWorkers, Seconds: x.took.Seconds(), samples: x.samples}
	p.summarize(&r)
	r.Stale, r.Compared = len(x.users.ledger.stale), x.users.ledger.reads
	if f, err := x.server.figures(ctx); err == nil {
		r.HitRate, r.Queries, r.DBSeconds, r.DB = f.Cache.HitRate, f.Database.Queries, f.databaseSeconds(), f.Database.Statements
	}
	n := max(r.All.N, 1)
	r.Notes = append(r.Notes, fmt.Sprintf("%d workers without a pause, %.0f answers/s, %v of the service's CPU an answer", adverseWorkers, r.All.PerSecond, (x.cpu/time.Duration(n)).Round(time.Microsecond)))
	return r
}

func (x *adverseSide) close(ctx context.Context) error {
	x.users.client.CloseIdleConnections()
	return errors.Join(x.server.stop(ctx), keepLog(x.dir))
}
