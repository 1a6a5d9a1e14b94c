//go:build !unix

package realtest

import "syscall"

// credential has no meaning where processes have no user ids.
type credential struct{ uid, gid int }

func dropTo([]string) (*credential, error) { return nil, nil }

func processAttr(*credential, syscall.Signal) *syscall.SysProcAttr { return nil }
