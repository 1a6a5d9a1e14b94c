package imageopt

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestPublicAddresses(t *testing.T) {
	refused := refusedPrefixes()
	for s := range strings.FieldsSeq(`0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254
		169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255
		198.51.100.1 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
		:: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:100.64.0.1 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::8.8.8.8 64:ff9b:1::1 100::1
		2001::1 2001:0:53aa:64c:0:fbff:807f:fffe 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::1 2002:a00:1::1
		2a00:1450::5efe:7f00:1 2a00:1450::200:5efe:a00:1 3fff::1 5f00::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 4000::1`) {
		if public(netip.MustParseAddr(s), refused) {
			t.Errorf("%s is taken for a public address", s)
		}
	}
	for s := range strings.FieldsSeq("8.8.8.8 1.1.1.1 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.167.1.1 198.17.0.1 ::ffff:8.8.8.8 2001:4860:4860::8888 2606:4700::1111 2a00:1450::1") {
		if !public(netip.MustParseAddr(s), refused) {
			t.Errorf("%s is refused", s)
		}
	}
	if public(netip.Addr{}, refused) {
		t.Error("no address is taken for a public one")
	}
}

// A public host that redirects to a private address of another allowed name: only
// the check at the connection sees it.
func TestRemoteRedirectToPrivate(t *testing.T) {
	hits := 0
	inner := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	inner.Start()
	defer inner.Close()
	outer := httptest.NewServer(http.RedirectHandler(strings.Replace(inner.URL, "127.0.0.1", "localhost", 1)+"/x.png", http.StatusFound))
	defer outer.Close()
	host := func(u string) string { return strings.TrimPrefix(u, "http://") }
	s, err := NewRemoteSource(RemoteOptions{
		Hosts: []string{host(outer.URL), strings.Replace(host(inner.URL), "127.0.0.1", "localhost", 1)}, AllowHTTP: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dials := 0
	s.public = func(netip.Addr) bool { // stands in for a public address of the first host
		dials++
		return dials == 1
	}
	if _, _, err := s.Open(t.Context(), outer.URL+"/a.png"); err == nil || hits != 0 || dials < 2 {
		t.Errorf("redirect to a refused address: %v, %d hits, %d addresses checked", err, hits, dials)
	}
}
