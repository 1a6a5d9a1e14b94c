package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/dbindex/live"
	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
)

// indexAge is how long the index table of the page is shown before the database is
// asked again.
const indexAge = 10 * time.Second

func (a *app) databaseFigures(ctx context.Context, now, base totals) databaseFigures {
	f := databaseFigures{Kind: "SQLite", Indexes: a.indexUse(ctx), Wait: (now.poolWait - base.poolWait).Seconds(), Statements: statementFigures(now.database, base.database)}
	for _, x := range f.Statements {
		f.Queries += x.Queries
		f.Seconds += x.Seconds
	}
	f.Note = "SQLite counts no scans of an index, so the plans of the main queries are shown."
	if a.store.Kind() == store.Postgres {
		f.Kind, f.Note = "PostgreSQL", "Scans since the statistics of the database were reset."
	}
	return f
}

// statementFigures tells where the time went, the most expensive first.
func statementFigures(now, base []store.Calls) (all []statementFigure) {
	for i, c := range now {
		if len(base) > 0 { // before the first DELETE there is none
			c.Queries -= base[i].Queries
			c.Spent -= base[i].Spent
		}
		if c.Queries > 0 {
			all = append(all, statementFigure{c.Name, c.Queries, c.Spent.Seconds()})
		}
	}
	slices.SortFunc(all, func(a, b statementFigure) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return all
}

// indexUse asks the database at most once in indexAge.
func (a *app) indexUse(ctx context.Context) []indexUse {
	a.perf.mu.Lock()
	use, fresh := a.perf.indexes, time.Since(a.perf.asked) < indexAge
	if !fresh {
		a.perf.asked = time.Now() // others show the old table meanwhile
	}
	a.perf.mu.Unlock()
	if fresh {
		return use
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	next, err := a.askIndexUse(ctx)
	if err != nil {
		a.log.Warn("index use", "error", err)
		return use
	}
	a.perf.mu.Lock()
	defer a.perf.mu.Unlock()
	a.perf.indexes = next
	return next
}

func (a *app) askIndexUse(ctx context.Context) (use []indexUse, err error) {
	if a.store.Kind() == store.Postgres {
		found, err := live.Usage(ctx, a.store.DB())
		if err != nil {
			return nil, err
		}
		for _, x := range found.Indexes {
			use = append(use, indexUse{x.Name, fmt.Sprintf("%d scans, %s", x.Scans, bytesText(x.Bytes)), x.Scans > 0})
		}
		return use, nil
	}
	plans, err := a.store.Plans(ctx)
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		full := strings.Contains(plans[name], "SCAN ")
		use = append(use, indexUse{"query " + name, plans[name], !full})
	}
	return use, err
}
