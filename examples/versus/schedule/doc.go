// Package schedule sends the fault schedule of resilience/faulttest through our
// pipeline and other people's. It holds only tests.
package schedule
