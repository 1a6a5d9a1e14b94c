package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/perfblocks/perfblocks/dbindex/advisor"
)

// report prints the advice as tables: the queries, then the indexes.
func report(w io.Writer, a *advisor.Advice) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	measured := a.Verified > 0
	unit := "cost"
	if measured {
		unit = "ms"
	}
	fmt.Fprintf(t, "query\tweight\tbefore, %[1]s\tafter, %[1]s\tuses\n", unit)
	for _, q := range a.Queries {
		before, after := q.Before, q.After
		if measured {
			before, after = float64(q.RunBefore)/1e6, float64(q.RunAfter)/1e6
		}
		uses := strings.Join(q.Uses, ", ")
		if uses == "" {
			uses = q.Reason
		}
		fmt.Fprintf(t, "%s\t%.4g\t%.3g\t%.3g\t%s\n", q.Name, q.Weight, before, after, strings.ReplaceAll(uses, "\n", " "))
	}
	before, after := a.Cost()
	fmt.Fprintf(t, "weighted sum\t\t%.4g\t%.4g\t\n", before, after)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nsearch %v, %d plans; verification %v\n\n%s\n", a.Took.Round(time.Millisecond), a.Estimates, a.Verified.Round(time.Millisecond), a)
	return nil
}

// progress shows one line that changes, twice a second at most.
type progress struct {
	w    io.Writer
	last time.Time
	long int
}

func (p *progress) show(s advisor.Progress) {
	if time.Since(p.last) < 500*time.Millisecond {
		return
	}
	p.last = time.Now()
	line := fmt.Sprintf("%s %d", s.Stage, s.Done)
	if s.Total > 0 {
		line += fmt.Sprintf(" of %d", s.Total)
	}
	line += " " + s.What
	fmt.Fprintf(p.w, "\r%-*s", p.long, line)
	p.long = len(line)
}

// clear removes the line.
func (p *progress) clear() {
	if p.long > 0 {
		fmt.Fprintf(p.w, "\r%*s\r", p.long, "")
	}
}
