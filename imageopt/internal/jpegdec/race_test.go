//go:build race

package jpegdec_test

const raceEnabled = true
