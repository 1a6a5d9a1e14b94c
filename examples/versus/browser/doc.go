// Package browser holds the tests that look at pages in a real Chromium. They
// are skipped where none is installed; PERF_REQUIRE=chromium makes that a
// failure. With -artifacts the screenshots are kept.
package browser
