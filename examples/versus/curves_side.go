package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// A side of a curve works in a process of its own, so that its memory and its garbage
// are its own, and the processes take turns: they wait while another works.

// sideVar names the variable by which the program starts itself as one side.
const sideVar = "VERSUS_SIDE"

// sideSpec says what a process is to do.
type sideSpec struct {
	Curve string `json:"curve"`
	Side  string `json:"side"`
	N     int    `json:"n"`
	Dir   string `json:"dir,omitempty"`
	Ops   int    `json:"ops,omitempty"` // in a round
}

// figures are what a round cost, by panel.
type figures map[string]float64

// working is a side that is ready.
type working struct {
	result string // what its work gives; all sides are to have the same
	ready  figures
	round  func() (figures, error)
	close  func() error
}

// sideReport is a line that a side writes.
type sideReport struct {
	Result  string  `json:"result,omitempty"`
	Figures figures `json:"figures"`
	Err     string  `json:"err,omitempty"`
}

// sideMain is the program as one side: it says when it is ready, and does a round for
// each line that it reads.
func sideMain(spec string, in io.Reader, out io.Writer) int {
	var s sideSpec
	w, err := &working{}, json.Unmarshal([]byte(spec), &s)
	if err == nil {
		switch s.Curve {
		case "cache":
			w, err = cacheSide(s)
		case "cdn":
			w, err = cdnSide(s)
		case "imageopt":
			w, err = imageoptSide(s)
		default:
			err = fmt.Errorf("there is no curve %q", s.Curve)
		}
	}
	e := json.NewEncoder(out)
	if err != nil {
		_ = e.Encode(sideReport{Err: err.Error()})
		return 1
	}
	if err := e.Encode(sideReport{Result: w.result, Figures: w.ready}); err != nil {
		return 1
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		f, err := w.round()
		report := sideReport{Figures: f}
		if err != nil {
			report.Err = err.Error()
		}
		if err := e.Encode(report); err != nil {
			return 1
		}
	}
	if err := w.close(); err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		return 1
	}
	return 0
}

// sideProcess is a side seen from the program that started it.
type sideProcess struct {
	spec   sideSpec
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	result string
	values map[string][]float64 // by panel, one for each round
}

// startSide starts the program as a side and waits until it is ready.
func startSide(s sideSpec) (*sideProcess, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	p := &sideProcess{spec: s, cmd: exec.Command(program), values: map[string][]float64{}}
	p.cmd.Env = append(os.Environ(), sideVar+"="+string(spec))
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.read(); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// read takes the figures of a line of the side.
func (p *sideProcess) read() error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s at %d has ended: %w", p.spec.Side, p.spec.N, err)
	}
	var r sideReport
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("%s at %d: %w", p.spec.Side, p.spec.N, err)
	}
	if r.Err != "" {
		return fmt.Errorf("%s at %d: %s", p.spec.Side, p.spec.N, r.Err)
	}
	p.result = cmp.Or(p.result, r.Result)
	for name, v := range r.Figures {
		p.values[name] = append(p.values[name], v)
	}
	return nil
}

func (p *sideProcess) round() error {
	if _, err := io.WriteString(p.in, "round\n"); err != nil {
		return fmt.Errorf("%s at %d: %w", p.spec.Side, p.spec.N, err)
	}
	return p.read()
}

func (p *sideProcess) stop() error {
	return errors.Join(p.in.Close(), p.cmd.Wait())
}

// takeTurns starts all sides, compares their results, which must be the same, and has
// each do its rounds, round by round, nobody always first.
func takeTurns(specs []sideSpec, rounds int, same func(a, b string) error) (sides []*sideProcess, err error) {
	defer func() {
		for _, p := range sides {
			err = errors.Join(err, p.stop())
		}
	}()
	for _, s := range specs {
		p, err := startSide(s)
		if err != nil {
			return sides, err
		}
		sides = append(sides, p)
		if err := same(sides[0].result, p.result); err != nil {
			return sides, fmt.Errorf("%s and %s at %d: %w", sides[0].spec.Side, s.Side, s.N, err)
		}
	}
	for r := range rounds {
		for i := range sides {
			if err := sides[(i+r)%len(sides)].round(); err != nil {
				return sides, err
			}
		}
	}
	return sides, nil
}

// equal is the rule for results that are the same to the letter.
func equal(a, b string) error {
	if a != b {
		return fmt.Errorf("the results differ: %.200q and %.200q", a, b)
	}
	return nil
}

// runAsSide runs the program as a side if it was started as one.
func runAsSide() (code int, ok bool) {
	spec := os.Getenv(sideVar)
	if strings.TrimSpace(spec) == "" {
		return 0, false
	}
	return sideMain(spec, os.Stdin, os.Stdout), true
}
