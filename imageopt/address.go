package imageopt

import "net/netip"

// refusedPrefixes are the addresses that are not public, by the registries of IANA for
// special purposes. Of IPv6 only 2000::/3 is looked at; the rest is not public.
func refusedPrefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
		"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001::/23",     // Teredo, benchmarks, ORCHID and other protocols
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4
		"3fff::/20",     // documentation
		"2620:4f:8000::/48",
	} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// public reports whether an address is one that anybody could reach.
func public(a netip.Addr, refused []netip.Prefix) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if a.Is6() {
		b := a.As16()
		// An interface identifier of ISATAP holds an IPv4 address.
		isatap := b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
		if b[0]>>5 != 1 || isatap {
			return false
		}
	}
	for _, p := range refused {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
