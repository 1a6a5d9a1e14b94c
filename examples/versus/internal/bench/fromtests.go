package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// rowsFile names the variable that tells a test where to write its rows.
const rowsFile = "VERSUS_ROWS"

// Emit hands rows to the suite that runs the test by [Report.FromTests]; under a
// plain "go test" it only logs them.
func Emit(t testing.TB, rows ...Row) {
	t.Helper()
	path := os.Getenv(rowsFile)
	if path == "" {
		for _, row := range rows {
			t.Logf("%s: %s %s, goal %q, ok %v", row.Measure, number(row.Ours), row.Unit, row.Goal, row.OK)
		}
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e := json.NewEncoder(f)
	for _, row := range rows {
		if err := e.Encode(row); err != nil {
			t.Fatal(err)
		}
	}
}

// FromTests runs the tests of a package of this module that match the pattern, with
// env added to the environment, and adds the rows that they emit. It is for what
// needs a *testing.T, such as virtual time. Tests that fail add a row that is missed.
func (r *Report) FromTests(pkg, pattern string, env ...string) error {
	f, err := os.CreateTemp("", "versus-rows-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	cmd := exec.Command("go", "test", "-count=1", "-timeout=30m", "-run", pattern, pkg)
	cmd.Env = append(append(os.Environ(), rowsFile+"="+f.Name()), env...)
	out, failed := cmd.CombinedOutput()
	lines := bufio.NewScanner(f)
	n := 0
	for ; lines.Scan(); n++ {
		var row Row
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return fmt.Errorf("rows of %s: %w", pkg, err)
		}
		r.Add(row)
	}
	if failed != nil {
		fmt.Fprintf(os.Stderr, "%s\n", out)
		r.Add(Row{Measure: "tests of " + pkg, Unit: "failed", Ours: 1, Goal: "= 0"})
	} else if n == 0 {
		return fmt.Errorf("the tests %q of %s gave no rows; run the suite in the folder of its module", pattern, pkg)
	}
	return nil
}
