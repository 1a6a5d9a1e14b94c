//go:build !amd64 || purego

package resample

func best() kernels { return scalar() }

// premultiplyVector returns how many pixels it has done.
func premultiplyVector([]int16, []byte) int { return 0 }
