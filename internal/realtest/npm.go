package realtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// NPM returns the folder that PERF_NPM names, in which "npm install" has put the
// packages, and in which "node" finds them. Without it the test is skipped, or fails
// under PERF_REQUIRE=npm.
func NPM(t testing.TB, packages ...string) (dir string) {
	t.Helper()
	const install = "run npm install @vercel/blob@2.8.0 cloudinary@2.11.0 s3rver@3.7.1 in a folder"
	dir, ok := begin(t, "npm", "PERF_NPM")
	if !ok {
		missing(t, "npm", "PERF_NPM", "no folder of packages", install)
	}
	if _, err := exec.LookPath("node"); err != nil {
		missing(t, "npm", "PERF_NPM", "node not found", "install node")
	}
	for _, p := range packages {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", p)); err != nil {
			missing(t, "npm", "PERF_NPM", p+" is not in PERF_NPM", install)
		}
	}
	return dir
}
