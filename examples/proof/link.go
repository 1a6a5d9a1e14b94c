package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// The link over which the page is loaded: a slow mobile one.
const (
	linkRate  = 4_000_000 / 8 // bytes per second down, shared by all connections
	linkDelay = 40 * time.Millisecond
)

// link forwards connections to a service at the link's pace.
type link struct {
	ln    net.Listener
	to    string
	start atomic.Int64 // of the first request, Unix ns
	last  atomic.Int64 // of the last byte down, Unix ns
	bytes atomic.Int64 // down
	conns sync.WaitGroup
	pace  sync.Mutex // held by who sends a piece down
}

func newLink(to string) (*link, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{ln: ln, to: to}
	l.conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			l.conns.Go(func() { l.forward(c) })
		}
	})
	return l, nil
}

// forward copies both ways until one side is through.
func (l *link) forward(c net.Conn) {
	defer c.Close()
	time.Sleep(linkDelay) // the handshake
	s, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer s.Close()
	var up sync.WaitGroup
	up.Go(func() {
		l.copyUp(s, c)
		s.(*net.TCPConn).CloseWrite()
	})
	l.copyDown(c, s)
	c.Close()
	up.Wait()
}

func (l *link) copyUp(to, from net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			l.start.CompareAndSwap(0, time.Now().UnixNano())
			time.Sleep(linkDelay)
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *link) copyDown(to, from net.Conn) {
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			l.pace.Lock()
			time.Sleep(time.Duration(n) * time.Second / linkRate)
			l.pace.Unlock()
			l.bytes.Add(int64(n))
			l.last.Store(time.Now().UnixNano())
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// close ends all connections.
func (l *link) close() error {
	err := l.ln.Close()
	l.conns.Wait()
	return err
}

// pageLoad is the time from a browser's first request to the last byte of the page and
// its pictures, over the link.
func pageLoad(ctx context.Context, host string) (took time.Duration, by string, err error) {
	l, err := newLink(host)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	chromium := lookPath("chromium", "chromium-browser", "google-chrome")
	if chromium == "" {
		return 0, "", errors.New("no Chromium was found")
	}
	dir, err := os.MkdirTemp("", "proof-chromium-")
	if err != nil {
		return 0, "", err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	args := []string{"--headless=new", "--disable-gpu", "--no-first-run", "--user-data-dir=" + dir, "--window-size=1280,2400", "--screenshot=" + dir + "/page.png"}
	if os.Getuid() == 0 {
		args = append(args, "--no-sandbox")
	}
	cmd := exec.CommandContext(ctx, chromium, append(args, "http://"+l.ln.Addr().String()+"/")...)
	cmd.WaitDelay = 5 * time.Second // its helpers may hold on to what it was given
	if err := cmd.Run(); err != nil {
		return 0, "", fmt.Errorf("chromium: %w", err)
	}
	return time.Duration(l.last.Load() - l.start.Load()), "chromium", nil
}

func lookPath(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
