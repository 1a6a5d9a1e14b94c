package perfpage

import (
	"io/fs"
	"net/http/httptest"
	"testing"
)

// TestWeight: with ten minutes of history the page and its files stay within 100 KiB.
func TestWeight(t *testing.T) {
	p, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range history + 50 {
		f := 1 / (float64(i) + 3) // as many digits as a number can have
		p.step(View{Time: 1764288000 + int64(i), Points: map[string][]float64{
			"latency": {1234.567, 12345.678, 12345.678}, "hit": {100 * f}, "memory": {100 + f, 100 + 2*f},
		}})
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	total := w.Body.Len()
	err = fs.WalkDir(assets, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, e := d.Info()
			total, err = total+int(info.Size()), e
		}
		return err
	})
	if err != nil || w.Code != 200 || len(p.points["hit"]) != history {
		t.Fatalf("%d, %d points, %v", w.Code, len(p.points["hit"]), err)
	}
	const rows = 8 << 10 // of the tables, which are empty here
	if t.Logf("%d bytes", total); total+rows > 100<<10 {
		t.Errorf("page and files weigh %d bytes; want at most 100 KiB", total+rows)
	}
}
