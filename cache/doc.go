// Package cache keeps typed values in memory under one bound and never serves what
// was invalidated.
package cache
