// Package leakprograms holds small programs that leak memory or goroutines and
// programs that do not but look as if they did. They run one window at a time, so
// that a leak detector can be tried on them without waiting for hours. They were
// written and committed before the detector, which was not fitted to them.
package leakprograms
