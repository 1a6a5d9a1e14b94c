// Package icc turns pixels of matrix ICC profiles (Display P3, Adobe RGB, ProPhoto
// and the like) into sRGB.
package icc
