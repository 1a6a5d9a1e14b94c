package rediscache_test

import (
	"os/exec"
	"syscall"
)

// dieWithUs makes sure that no server outlives a test binary that was killed.
func dieWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
