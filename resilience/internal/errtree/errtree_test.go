package errtree_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"github.com/perfblocks/perfblocks/resilience/internal/errtree"
)

// loop wraps itself, twice if it is wide.
type loop struct{ wide bool }

func (*loop) Error() string { return "loop" }
func (l *loop) Unwrap() []error {
	if l.wide {
		return []error{l, l}
	}
	return []error{l}
}

type uncomparable []int

func (uncomparable) Error() string { return "uncomparable" }

type rude struct{}

func (rude) Error() string { return "rude" }
func (rude) Unwrap() error { panic("no") }

func TestIs(t *testing.T) {
	deep := error(io.EOF)
	for range 31 {
		deep = fmt.Errorf("x: %w", deep)
	}
	for _, c := range []struct {
		name        string
		err, target error
		want        bool
	}{
		{"nil", nil, io.EOF, false},
		{"itself", io.EOF, io.EOF, true},
		{"joined", errors.Join(io.ErrNoProgress, fmt.Errorf("x: %w", io.EOF)), io.EOF, true},
		{"by method", &fs.PathError{Err: fs.ErrNotExist}, fs.ErrNotExist, true},
		{"deep", deep, io.EOF, true},
		{"too deep", fmt.Errorf("x: %w", deep), io.EOF, false},
		{"loop", &loop{}, io.EOF, false},
		{"wide loop", &loop{wide: true}, io.EOF, false},
		{"beside a loop", errors.Join(&loop{}, io.EOF), io.EOF, true},
		{"uncomparable", uncomparable{1}, uncomparable{1}, false},
		{"panic", fmt.Errorf("x: %w", rude{}), io.EOF, false},
	} {
		if got := errtree.Is(c.err, c.target); got != c.want {
			t.Errorf("%s: Is = %v; want %v", c.name, got, c.want)
		}
	}
}

func TestAs(t *testing.T) {
	if e, ok := errtree.As[*fs.PathError](fmt.Errorf("x: %w", &fs.PathError{Op: "open"})); !ok || e.Op != "open" {
		t.Errorf("As = %v, %v", e, ok)
	}
	if _, ok := errtree.As[*fs.PathError](&loop{wide: true}); ok {
		t.Error("As finds in a loop what is not there")
	}
}

func TestIsAllocs(t *testing.T) {
	err := fmt.Errorf("x: %w", errors.Join(io.ErrNoProgress, fmt.Errorf("y: %w", io.EOF)))
	if n := testing.AllocsPerRun(100, func() { errtree.Is(err, io.EOF) }); n != 0 {
		t.Errorf("Is allocates %v times; want 0", n)
	}
}
