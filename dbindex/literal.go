package dbindex

import "reflect"

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
