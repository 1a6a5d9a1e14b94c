//go:build unix && !linux

package realtest

import "syscall"

// processAttr drops to the user; a parent-death signal exists on Linux only.
func processAttr(c *credential, _ syscall.Signal) *syscall.SysProcAttr {
	if c == nil {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(c.uid), Gid: uint32(c.gid)}}
}
