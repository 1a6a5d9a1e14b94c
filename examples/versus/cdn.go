package main

import (
	"errors"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// cdnSuite compares uploads with other S3 clients, each in a process of its own
// against a real server.
func cdnSuite(r *bench.Report) error {
	full := ""
	if r.Full {
		full = "1"
	}
	return errors.Join(r.FromTests("./uploads", ".", "VERSUS_FULL="+full))
}
