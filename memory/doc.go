// Package memory keeps a process alive at its memory limit: bounded caches that give memory back, a monitor of pressure, and byte budgets for streams.
package memory
