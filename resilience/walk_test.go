package resilience

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"testing"
	"time"
)

// odd has every method that the walk asks for, and panics where a bit says so.
type odd struct {
	bits  uint8
	inner error
}

func (o *odd) may(bit uint8) {
	if o.bits>>bit&1 != 0 {
		panic("odd")
	}
}
func (o *odd) Error() string             { o.may(0); return "odd" }
func (o *odd) Unwrap() error             { o.may(1); return o.inner }
func (o *odd) Is(error) bool             { o.may(2); return false }
func (o *odd) Timeout() bool             { o.may(3); return true }
func (o *odd) HTTPStatusCode() int       { o.may(4); return 503 }
func (o *odd) SQLState() string          { o.may(5); return "40001" }
func (o *odd) RetryAfter() time.Duration { o.may(6); return time.Second }

// tree builds an error from bytes: each names a node, and a join takes two trees.
type tree struct{ data []byte }

func (b *tree) next() byte {
	if len(b.data) == 0 {
		return 0
	}
	c := b.data[0]
	b.data = b.data[1:]
	return c
}

func (b *tree) build(depth int) error {
	if depth > 24 || // one level stays for a mark
		len(b.data) == 0 {
		return io.EOF
	}
	switch c := b.next(); c % 20 {
	case 0:
		return errors.New("leaf")
	case 1:
		return os.ErrDeadlineExceeded
	case 2:
		return context.Canceled
	case 3:
		return (*net.OpError)(nil)
	case 4:
		return (*odd)(nil)
	case 5:
		return nil
	case 6:
		return &net.DNSError{IsNotFound: true}
	case 7, 8:
		return fmt.Errorf("x: %w", b.build(depth+1))
	case 9:
		return &net.OpError{Op: "dial", Err: b.build(depth + 1)}
	case 10:
		return &url.Error{Err: b.build(depth + 1)}
	case 11:
		return os.NewSyscallError("read", b.build(depth+1))
	case 12, 13:
		return errors.Join(b.build(depth+1), b.build(depth+1))
	case 14:
		return Mark(b.build(depth+1), Class(c%13))
	case 15:
		return Permanent(b.build(depth + 1))
	case 16:
		return WithRetryAfter(b.build(depth+1), time.Second)
	case 17:
		return WithCode(b.build(depth+1), "code")
	case 18:
		o := &odd{bits: b.next()}
		if o.inner = b.build(depth + 1); o.bits&0x80 != 0 {
			o.inner = o
		}
		return o
	default:
		return http503{}
	}
}

type http503 struct{}

func (http503) Error() string       { return "503" }
func (http503) HTTPStatusCode() int { return 503 }

// FuzzClassify builds trees of errors with cycles, nil pointers and methods that
// panic. Both walks must say the same where nothing panics, and the outermost mark
// must win.
func FuzzClassify(f *testing.F) {
	for _, s := range []string{"", "\x00", "\x09\x01", "\x0c\x01\x02", "\x12\xff\x00", "\x12\x80", "\x0e\x0c\x03\x04", "\x07\x09\x0b\x01", "\x12\x02\x09\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := (&tree{data: data[:min(len(data), 256)]}).build(0)
		got := Classify(err)
		if again := Classify(err); again != got {
			t.Fatalf("Classify = %+v, then %+v", got, again)
		}
		if err == nil {
			if got != (Info{}) {
				t.Fatalf("Classify(nil) = %+v", got)
			}
			return
		}
		if int(got.Class) >= len(classNames) || got.RetryAfter < 0 {
			t.Fatalf("Classify = %+v", got)
		}
		var fast, slow finding
		if quick(err, &fast) {
			w := walker{nodes: maxNodes, guarded: true}
			if w.walk(err, &slow, 0); fast != slow {
				t.Fatalf("quick %+v; guarded %+v", fast, slow)
			}
		}
		if i := Classify(Mark(err, ClassThrottled)); i.Class != ClassThrottled || !i.Retryable {
			t.Fatalf("marked: %+v", i)
		}
		few := len(data) < 60 // nodes, so that one more does not hide another
		if i := Classify(Permanent(err)); i.Retryable || few && i.Class != got.Class {
			t.Fatalf("permanent: %+v; want the class of %+v", i, got)
		}
	})
}
