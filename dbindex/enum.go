package dbindex

import (
	"fmt"
	"strconv"
)

type enum interface{ ~uint8 }

func enumString[T enum](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return strconv.Itoa(int(v))
}

func enumMarshal[T enum](kind string, names []string, v T) ([]byte, error) {
	if int(v) >= len(names) {
		return nil, fmt.Errorf("%w: %s %d is not defined", ErrOptions, kind, v)
	}
	return []byte(names[v]), nil
}

func enumUnmarshal[T enum](kind string, names []string, v *T, text []byte) error {
	for i, n := range names {
		if n == string(text) {
			*v = T(i)
			return nil
		}
	}
	return fmt.Errorf("%w: %s %q: want one of %q", ErrOptions, kind, text, names)
}
