package realtest

import "syscall"

// processAttr drops to the user and ties the process to the life of this one.
func processAttr(c *credential, death syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: death}
	if c != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(c.uid), Gid: uint32(c.gid)}
	}
	return attr
}
