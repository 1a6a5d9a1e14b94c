// Package vp8l writes lossless WebP. It tries the transforms of the format that suit
// a picture (palette, prediction, subtraction of green), finds repetitions by their
// cost in bits, and keeps the smallest file.
package vp8l
