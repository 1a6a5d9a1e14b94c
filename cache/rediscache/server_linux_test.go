package rediscache_test

import (
	"os/exec"
	"syscall"
	"testing"
)

// dieWithUs makes sure that no server outlives a test binary that was killed.
func dieWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// freeze makes the server answer nobody, with its connections open.
func freeze(t *testing.T, s *server) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}
