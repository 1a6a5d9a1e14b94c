package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image/jpeg"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/disintegration/imaging"

	"github.com/perfblocks/perfblocks/imageopt"
)

func main() {
	with := flag.String("with", "ours", "`library`: ours, imaging or nothing")
	widths := flag.String("widths", "400", "comma-separated `widths`, largest first")
	flag.Parse()
	if err := run(*with, flag.Arg(0), strings.Split(*widths, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "thumb:", err)
		os.Exit(1)
	}
	peak, err := peakRSS()
	if err != nil {
		fmt.Fprintln(os.Stderr, "thumb:", err)
		os.Exit(1)
	}
	fmt.Println(peak)
}

func run(with, name string, widths []string) error {
	src, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var specs []imageopt.Spec
	for _, w := range widths {
		n, err := strconv.Atoi(w)
		if err != nil {
			return err
		}
		specs = append(specs, imageopt.Spec{Width: n, Quality: 80, Format: imageopt.FormatJPEG})
	}
	switch with {
	case "ours":
		o, err := imageopt.New(imageopt.Options{})
		if err != nil {
			return err
		}
		for _, err := range o.Variants(context.Background(), src, specs) {
			if err != nil {
				return err
			}
		}
	case "imaging":
		m, err := imaging.Decode(bytes.NewReader(src))
		if err != nil {
			return err
		}
		for _, s := range specs {
			if err := jpeg.Encode(io.Discard, imaging.Resize(m, s.Width, 0, imaging.Lanczos), &jpeg.Options{Quality: 80}); err != nil {
				return err
			}
		}
	}
	return nil
}

// peakRSS reads what Linux has noted.
func peakRSS() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no VmHWM in /proc/self/status")
}
