//go:build unix

package realtest

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// credential is the user that a server runs as.
type credential struct{ uid, gid int }

// dropTo returns the first of the users that exists when the test runs as
// root, and nil when it does not.
func dropTo(users []string) (*credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range users {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return nil, err
		}
		return &credential{uid: uid, gid: gid}, nil
	}
	return nil, fmt.Errorf("root starts no server, and none of the users %v exists", users)
}
