package realtest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Chromium returns the path of a Chromium or Chrome executable: CHROME_PATH
// where that is set, else the first that is installed. It starts nothing; the
// driver that does must pass --no-sandbox as root. Without a browser the test
// is skipped, or fails under PERF_REQUIRE=chromium.
func Chromium(t testing.TB) string {
	t.Helper()
	if path, ok := begin(t, "chromium", "CHROME_PATH"); ok {
		if !isExecutable(path) {
			t.Fatalf("realtest: CHROME_PATH: %s is not an executable file", path)
		}
		return path
	}
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "Google Chrome", "Chromium"}
	path, ok := lookup(names, browserDirs()...)
	if !ok {
		missing(t, "chromium", "CHROME_PATH", "no browser found", "apt-get install chromium")
	}
	return path
}

// browserDirs returns where browsers are that are not on PATH.
func browserDirs() []string {
	switch runtime.GOOS {
	case "darwin":
		return []string{"/Applications/Chromium.app/Contents/MacOS", "/Applications/Google Chrome.app/Contents/MacOS"}
	case "windows":
		var dirs []string
		for _, env := range []string{"ProgramFiles", "ProgramFiles(x86)", "LocalAppData"} {
			if base := os.Getenv(env); base != "" {
				dirs = append(dirs, filepath.Join(base, "Google", "Chrome", "Application"), filepath.Join(base, "Chromium", "Application"))
			}
		}
		return dirs
	}
	return nil
}
