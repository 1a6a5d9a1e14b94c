//go:build !race

package jpegdec_test

const raceEnabled = false
