package realtest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// S3Server is the address of an S3 server and the keys of a user who may make
// buckets there. Requests use path style: Endpoint/bucket/key.
type S3Server struct {
	// Endpoint is the base URL, such as http://127.0.0.1:7070, with no slash
	// at the end.
	Endpoint string
	// Region is the region that signatures name.
	Region string
	// AccessKey and SecretKey are the user's keys.
	AccessKey, SecretKey string
	// Roots is the certificate to trust, in PEM; nil without TLS.
	Roots []byte
}

// S3 returns an S3 server without buckets. It is PERF_S3_URL where that is set
// (http://access:secret@host:port/?region=us-east-1), else versitygw over a
// temporary folder, from PATH, GOBIN or GOPATH. Without one the test is
// skipped, or fails under PERF_REQUIRE=s3.
func S3(t testing.TB) S3Server {
	t.Helper()
	if addr, ok := begin(t, "s3", "PERF_S3_URL"); ok {
		s, err := parseS3(addr)
		if err != nil {
			t.Fatalf("realtest: PERF_S3_URL: %v", err)
		}
		return s
	}
	return versity(t, false)
}

// S3TLS is S3 over TLS, with a certificate of its own for 127.0.0.1. It is always
// versitygw, since what PERF_S3_URL names may do without.
func S3TLS(t testing.TB) S3Server {
	t.Helper()
	required(t, "s3")
	return versity(t, true)
}

func versity(t testing.TB, secure bool) S3Server {
	t.Helper()
	server, ok := lookup([]string{"versitygw"}, goBin()...)
	if !ok {
		missing(t, "s3", "PERF_S3_URL", "versitygw not found", "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
	}
	h := newHome(t, "nobody")
	server = h.program(t, server)
	s := S3Server{Region: "us-east-1", AccessKey: secret(), SecretKey: secret()}
	data, health := h.mkdir(t, "data"), "/"+secret()
	args := []string{"--region", s.Region, "--health", health, "--quiet", "--keep-alive"}
	scheme := "http"
	if secure {
		cert, key := certificate(t)
		args = append(args, "--cert", h.write(t, "cert.pem", cert), "--key", h.write(t, "key.pem", key))
		scheme, s.Roots = "https", []byte(cert)
	}
	addr := h.serve(t, spec{
		name: "versitygw",
		stop: syscall.SIGTERM,
		cmd: func(port string) *exec.Cmd {
			cmd := h.command(syscall.SIGKILL, server, slices.Concat([]string{"--port", "127.0.0.1:" + port}, args, []string{"posix", data})...)
			cmd.Env = append(cmd.Env, "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
			return cmd
		},
		ready: func(c net.Conn) error {
			if secure {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // only to see whether it is up
			}
			return pingHTTP(c, health)
		},
	})
	s.Endpoint = scheme + "://" + addr
	return s
}

// certificate makes a certificate for 127.0.0.1 that signs itself, and its key.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("realtest: make a key: %v", err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "realtest"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	if err != nil {
		t.Fatalf("realtest: make a certificate: %v", err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatalf("realtest: write a key: %v", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}))
}

// goBin returns the folders that "go install" writes to.
func goBin() []string {
	var dirs []string
	if dir := os.Getenv("GOBIN"); dir != "" {
		dirs = append(dirs, dir)
	}
	if list := filepath.SplitList(os.Getenv("GOPATH")); len(list) > 0 {
		return append(dirs, filepath.Join(list[0], "bin"))
	}
	if dir, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(dir, "go", "bin"))
	}
	return dirs
}

func parseS3(addr string) (S3Server, error) {
	u, err := url.Parse(addr)
	if err != nil {
		return S3Server{}, errS3URL // the parser's error repeats the keys
	}
	key, ok := u.User.Password()
	if !ok || u.User.Username() == "" || u.Host == "" {
		return S3Server{}, errS3URL
	}
	s := S3Server{Region: u.Query().Get("region"), AccessKey: u.User.Username(), SecretKey: key}
	if s.Region == "" {
		s.Region = "us-east-1"
	}
	s.Endpoint = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	return s, nil
}

// pingHTTP asks for a page that only the server of this test has.
func pingHTTP(c net.Conn, path string) error {
	req, err := http.NewRequest(http.MethodGet, "http://"+c.RemoteAddr().String()+path, http.NoBody)
	if err != nil {
		return err
	}
	if err := req.Write(c); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s: %w", res.Status, errNotReady)
	}
	return nil
}
