// Package leakprograms holds small programs that leak memory or goroutines and
// programs that do not but look as if they did. They run one window at a time, so
// that a leak detector can be tried on them without waiting for hours. They were
// written and committed before the detector. The series were written after it, of
// kinds that its own simulation does not have.
package leakprograms
