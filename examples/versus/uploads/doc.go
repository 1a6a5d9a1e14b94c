// Package uploads compares the S3 clients that the cdn package is measured against,
// each in a process of its own against a real server over TLS, so that processor
// time and the peak of resident memory are theirs alone.
package uploads
