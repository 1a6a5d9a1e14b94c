package classify_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/resilience"
)

func is(class resilience.Class, code string, f flags) want { return want{class, code, f} }

func typeName(err error) string { return fmt.Sprintf("%T", err) }

// String lists the flags for the report of a wrong row.
func (f flags) String() string {
	var s strings.Builder
	for i, name := range []string{"retry", "notSent", "counts", "anyRetry", "anyNotSent", "anyCounts", "variant"} {
		if f&(1<<i) != 0 {
			s.WriteString(name + " ")
		}
	}
	return s.String()
}

// listen serves each connection in turn with serve, until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); serve(c) }()
		}
	}()
	return l.Addr().String()
}

// refused is an address that nobody listens on.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// must fails the test when the preparation of an error fails.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("prepare: %v", err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
}
