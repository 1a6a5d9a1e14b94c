package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/imageopt"
)

// sharpScript makes the widths from one file as often as a line of its input says, and
// answers with the processor time of one, in microseconds.
const sharpScript = `
const sharp = require('sharp'), fs = require('fs'), rl = require('readline').createInterface({input: process.stdin});
sharp.concurrency(1); sharp.cache(false);
const src = fs.readFileSync(process.argv[1]), widths = process.argv[2].split(',').map(Number);
const once = async () => { for (const w of widths) await sharp(src).resize(w).jpeg({quality: 80}).toBuffer(); };
(async () => { for await (const line of rl) {
  const n = Number(line), before = process.cpuUsage();
  for (let i = 0; i < n; i++) await once();
  const u = process.cpuUsage(before); console.log((u.user + u.system) / n);
} })();`

// beside measures sharp, which must be where node finds it (NODE_PATH), and
// vipsthumbnail, if they are installed, in turns with ours. Ours may take most of
// sharp's time, as a ratio; vipsthumbnail, which has to start a process, stands in for
// it when sharp is not there.
func (s *pictures) beside(r *bench.Report, title string, widths []int, most float64) error {
	specs := make([]imageopt.Spec, len(widths))
	var list []string
	for i, w := range widths {
		specs[i] = thumbSpec(w)
		list = append(list, strconv.Itoa(w))
	}
	do := func() (float64, error) {
		before := rusage(syscall.RUSAGE_SELF)
		for _, err := range s.o.Variants(context.Background(), s.baseline, specs) {
			if err != nil {
				return 0, err
			}
		}
		return rusage(syscall.RUSAGE_SELF) - before, nil
	}
	vips := func() (float64, error) {
		before := rusage(syscall.RUSAGE_CHILDREN)
		for _, w := range list {
			c := exec.Command("vipsthumbnail", "--size", w+"x", "-o", filepath.Join(s.dir, "vips.jpg[Q=80]"), s.path())
			c.Env = append(os.Environ(), "VIPS_CONCURRENCY=1")
			if err := c.Run(); err != nil {
				return 0, err
			}
		}
		return rusage(syscall.RUSAGE_CHILDREN) - before, nil
	}
	name := "sharp"
	peer, stop, err := startSharp(s.path(), strings.Join(list, ","))
	if err != nil {
		name = "vipsthumbnail"
		peer, stop = vips, func() {}
	}
	defer stop()
	if _, err := peer(); err != nil {
		r.Add(bench.Row{Measure: title + " beside sharp: skipped", Unit: "-", OK: true, Note: "neither sharp nor vipsthumbnail is installed"})
		return nil
	}
	return s.ratios(r, title+" beside "+name, most, name, do, peer)
}

func (s *pictures) ratios(r *bench.Report, title string, most float64, name string, do, peer func() (float64, error)) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	rounds := 9
	if r.Full {
		rounds = 21
	}
	var ratio, theirs []float64
	for range rounds {
		a, err := do()
		if err != nil {
			return err
		}
		b, err := peer()
		if err != nil {
			return err
		}
		ratio, theirs = append(ratio, a/b), append(theirs, b/1000)
	}
	slices.Sort(ratio)
	slices.Sort(theirs)
	r.AtMost(title+": processor time", "of "+name+"'s", ratio[rounds/2], most, bench.Value{Name: name + ", ms", Value: theirs[rounds/2]})
	return nil
}

// rusage is the processor time in microseconds.
func rusage(who int) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1000
}

func startSharp(path, widths string) (once func() (float64, error), stop func(), err error) {
	c := exec.Command("node", "-e", sharpScript, path, widths)
	in, err := c.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := c.Start(); err != nil {
		return nil, nil, err
	}
	lines := bufio.NewScanner(out)
	stop = func() {
		in.Close()
		_ = c.Wait() // what it had to say, it has said
	}
	once = func() (float64, error) {
		if _, err := fmt.Fprintln(in, 3); err != nil {
			return 0, err
		}
		if !lines.Scan() {
			return 0, io.ErrUnexpectedEOF
		}
		return strconv.ParseFloat(lines.Text(), 64)
	}
	if _, err := once(); err != nil {
		stop()
		return nil, nil, err
	}
	return once, stop, nil
}
