// Package resample reduces and enlarges pictures with separable filters: planes and
// opaque interleaved pixels with integer weights, pictures with alpha in premultiplied
// float32. All functions are scalar and read no sample outside the given window.
package resample
