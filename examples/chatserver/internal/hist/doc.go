// Package hist counts durations in a log-linear histogram: 16 buckets for each
// power of two of microseconds, so that a percentile is at most 1/16 too high.
package hist
