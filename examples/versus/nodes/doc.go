// Package nodes runs several caches over one real Redis, and measures how soon they
// agree and what they serve while it fails. It holds only tests.
package nodes
