// Package resample reduces and enlarges pictures with separable filters and integer
// weights. Planes of bytes are filtered by columns and then by rows; pictures with
// alpha, in linear light or of other kinds come row by row in 14 bits and are
// filtered by rows and then by columns. The inner loops have a form in AVX2 and a
// scalar twin that gives the same bits; the build tag purego leaves the twin alone.
package resample
