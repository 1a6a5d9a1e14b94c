// Package errtree looks through an error and what it wraps within bounds, so that
// neither a cycle nor a method that panics does harm. Package errors has no bounds.
package errtree
