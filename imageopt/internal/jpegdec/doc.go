// Package jpegdec decodes baseline and progressive JPEG into planes of 8-bit samples,
// at full size or directly at a half, a quarter or an eighth of it. A sequential
// picture is decoded row by row of its blocks, so that nothing but the planes is held;
// a progressive one keeps the coefficients that the wanted size needs, and scans that
// it does not need are jumped over.
package jpegdec
