package main

import (
	"flag"
	"fmt"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/disintegration/imaging"

	"github.com/perfblocks/perfblocks/imageopt"
)

func main() {
	mode := flag.String("mode", "ours", "ours or imaging")
	dir := flag.String("dir", ".", "folder of pictures")
	memory := flag.Int64("memory", 256<<20, "budget of ours, in bytes")
	flag.Parse()
	if err := run(*mode, *dir, *memory); err != nil {
		fmt.Fprintln(os.Stderr, "imageload:", err)
		os.Exit(1)
	}
}

func run(mode, dir string, memory int64) error {
	h, err := handler(mode, dir, memory)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	go func() { _ = http.Serve(l, h) }() // until the program ends
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	fmt.Println(peak())
	return nil
}

func handler(mode, dir string, memory int64) (http.Handler, error) {
	if mode == "imaging" {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			width, _ := strconv.Atoi(r.FormValue("w"))
			m, err := imaging.Open(filepath.Join(dir, filepath.Base(r.FormValue("url"))))
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_ = jpeg.Encode(w, imaging.Resize(m, width, 0, imaging.Lanczos), nil)
		}), nil
	}
	o, err := imageopt.New(imageopt.Options{MaxMemory: memory})
	if err != nil {
		return nil, err
	}
	return imageopt.NewHandler(o, imageopt.SourceFS(os.DirFS(dir)), imageopt.HandlerOptions{Widths: []int{320, 400, 640, 960}})
}

// peak is the most resident memory of the process, in bytes; 0 where it is not known.
func peak() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}
