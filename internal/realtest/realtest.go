package realtest

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var (
	errNotReady = errors.New("server is not ready")
	errS3URL    = errors.New("want http://access:secret@host:port/?region=name")
)

// services are the names that PERF_REQUIRE knows.
var services = [...]string{"postgres", "redis", "mariadb", "s3", "chromium", "npm"}

// required reports whether PERF_REQUIRE names the service. It fails the test
// when the list holds a name that no service has, since a misspelt name would
// otherwise require nothing.
func required(t testing.TB, service string) bool {
	t.Helper()
	found := false
	for name := range strings.SplitSeq(os.Getenv("PERF_REQUIRE"), ",") {
		name = strings.TrimSpace(name)
		switch {
		case name == "":
		case !slices.Contains(services[:], name):
			t.Fatalf("realtest: PERF_REQUIRE names %q; known are %s", name, strings.Join(services[:], ", "))
		case name == service:
			found = true
		}
	}
	return found
}

// begin returns the address that the environment gives for the service.
func begin(t testing.TB, service, env string) (addr string, ok bool) {
	t.Helper()
	required(t, service) // an unknown name fails even where an address is set
	addr = os.Getenv(env)
	return addr, addr != ""
}

// missing ends the test: a failure where the service is required, else a skip.
func missing(t testing.TB, service, env, why, install string) {
	t.Helper()
	if required(t, service) {
		t.Fatalf("realtest: %s is required by PERF_REQUIRE: %s; %s, or set %s", service, why, install, env)
	}
	t.Skipf("realtest: no %s: %s; %s, or set %s", service, why, install, env)
}

// lookup finds an executable by its names on PATH, then in the given folders,
// which may hold patterns of filepath.Glob; of several matches the last wins,
// which is the newest version in Debian's versioned folders.
func lookup(names []string, dirs ...string) (string, bool) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			if abs, err := filepath.Abs(path); err == nil {
				return abs, true
			}
		}
	}
	for _, dir := range dirs {
		for _, name := range names {
			matches, err := filepath.Glob(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			for _, path := range slices.Backward(matches) {
				if isExecutable(path) {
					return path, true
				}
			}
		}
	}
	return "", false
}

func isExecutable(path string) bool {
	fi, err := os.Stat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return false
	}
	return runtime.GOOS == "windows" || fi.Mode()&0o111 != 0
}

// secret returns a random password of letters and digits.
func secret() string { return rand.Text() }
