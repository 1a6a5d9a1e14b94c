package main

import "github.com/perfblocks/perfblocks/examples/versus/internal/bench"

// memorySuite compares caches, measures what the monitor and the streams cost, and
// runs the programs that show what happens at a memory limit.
func memorySuite(r *bench.Report) error {
	for _, part := range []func(*bench.Report) error{memoryCaches, memorySystem, memoryLeaks} {
		if err := part(r); err != nil {
			return err
		}
	}
	return nil
}
