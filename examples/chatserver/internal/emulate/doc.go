// Package emulate stands in for the two services of other people that the chat
// service depends on: an AI upstream and an S3-compatible object store. Both
// listen on loopback, speak HTTP and fail on a script, so that the service's
// handling of failures can be watched without an account anywhere.
package emulate
