//go:build !race

package imageopt_test

const raceEnabled = false
