// Package perfpage is the live performance page: first paint rendered on the
// server with real numbers, then one event a second over SSE.
//
// It knows nothing of the blocks. Its user hands it a [View] a second: figures and
// tables already formatted, and points for the charts. The page is plain HTML, CSS
// and JavaScript without a build step, under a strict content security policy.
package perfpage
