package dbindex

import (
	"reflect"
	"strconv"
	"strings"
)

// namedLiteral reads a value by its underlying type, so that type Status string
// works as well as string does.
func namedLiteral(v any) literal {
	r := reflect.ValueOf(v)
	switch {
	case r.Kind() == reflect.String:
		return literal{kind: 's', s: r.String()}
	case r.Kind() == reflect.Bool:
		return boolLiteral(r.Bool())
	case r.CanFloat():
		return literal{kind: 'f', f: r.Float()}
	case r.CanUint():
		return literal{kind: 'i', i: int64(r.Uint())} // at most 32 bits by Value's type set
	}
	return literal{kind: 'i', i: r.Int()}
}

// numberLiteral reads a number in decimal. One of more digits than a float64 keeps
// is refused, since it could be taken for another.
func numberLiteral(s string) (literal, bool) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return literal{kind: 'i', i: i}, true
	}
	f, err := strconv.ParseFloat(s, 64)
	return literal{kind: 'f', f: f}, err == nil && len(s) <= 15 && !strings.ContainsAny(s, "xXpP_nNiI")
}
