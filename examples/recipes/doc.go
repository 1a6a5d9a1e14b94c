// Package recipes shows how the six packages are joined in a service, one topic to a
// file. Each recipe is a test with its output; copy what you need.
//
//   - stale_test.go: an answer from the cache while the breaker of its source is open
//   - depend_test.go: entries made of other entries go with them
//   - engine_test.go: the strategy cache over memory.Cache
//   - shrink_test.go: caches that give memory back under pressure
//   - upload_test.go: an image made small, and stored here while the CDN is down
//   - indexes_test.go: a declared set of indexes that is checked in CI
//   - metrics_test.go: adapters for Prometheus and expvar; one for OpenTelemetry is in
//     examples/versus/otel, whose module requires it
package recipes
