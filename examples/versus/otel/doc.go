// Package otel shows how the figures of a block reach OpenTelemetry: one observable
// gauge or counter for each family that its Metrics method yields. It stands in this
// module so that the library requires no OpenTelemetry.
package otel
