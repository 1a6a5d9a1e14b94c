//go:build !linux

package main

import "errors"

// meter knows nothing on this system.
type meter struct {
	pid   int
	limit int64
}

func newMeter(int64) (*meter, error) { return &meter{}, nil }

func (m *meter) add(pid int) error { m.pid = pid; return nil }

func (m *meter) used() (int64, error) {
	return 0, errors.New("memory of other processes is read on Linux only")
}

func (m *meter) kills() int64 { return 0 }

func (m *meter) close() error { return nil }
