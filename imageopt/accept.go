package imageopt

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxAccept bounds the length of an Accept value that is looked at, in bytes.
const maxAccept = 4096

// weights holds, for each format, how welcome it is: 0 not at all, 4 fully. The
// quarters keep the number of different answers, and so of cache keys, small.
type weights [formatCount]uint8

// parseAccept reads an Accept value by RFC 9110 §12.5.1: the most specific range
// decides, q=0 refuses. WebP and AVIF need to be named, because clients that send
// only wildcards often cannot show them; AVIF's absence costs them nothing.
func parseAccept(v string) weights {
	var w weights
	const absent = -1
	exact := [formatCount]float64{}
	for i := range exact {
		exact[i] = absent
	}
	image, any := float64(absent), float64(absent)
	seen := false
	for part := range strings.SplitSeq(v[:min(len(v), maxAccept)], ",") {
		typ, q, ok := parseRange(part)
		if !ok {
			continue
		}
		seen = true
		switch typ {
		case "*/*":
			any = max(any, q)
		case "image/*":
			image = max(image, q)
		case "image/jpg":
			exact[FormatJPEG] = max(exact[FormatJPEG], q)
		default:
			for f := FormatJPEG; f <= FormatAVIF; f++ {
				if typ == "image/"+formatNames[f] {
					exact[f] = max(exact[f], q)
				}
			}
		}
	}
	for f := FormatJPEG; f <= FormatAVIF; f++ {
		q := exact[f]
		if q == absent && f <= FormatGIF {
			switch {
			case image != absent:
				q = image
			case any != absent:
				q = any
			case !seen:
				q = 1
			}
		}
		if q > 0 {
			w[f] = uint8(math.Ceil(q * 4))
		}
	}
	return w
}

// parseRange reads one media range and its weight. Ranges that break the grammar
// are skipped, as if they were not there.
func parseRange(s string) (typ string, q float64, ok bool) {
	typ, params, _ := strings.Cut(s, ";")
	typ = strings.ToLower(strings.Trim(typ, " \t"))
	if typ == "" || !strings.Contains(typ, "/") {
		return "", 0, false
	}
	q = 1
	for p := range strings.SplitSeq(params, ";") {
		name, val, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.Trim(name, " \t"), "q") {
			continue
		}
		v, good := parseQ(strings.Trim(val, " \t"))
		if !good {
			return "", 0, false
		}
		return typ, v, true
	}
	return typ, q, true
}

// parseQ reads a qvalue: 0 or 1 with up to three decimals.
func parseQ(s string) (float64, bool) {
	if s == "" || len(s) > 5 || s[0] != '0' && s[0] != '1' || len(s) > 1 && s[1] != '.' {
		return 0, false
	}
	if len(s) > 2 && strings.Trim(s[2:], "0123456789") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && v <= 1
}

// coarse leaves three steps of the formats that can be made: best, less and not at
// all. Otherwise whoever turns the weights about gets thousands of different keys.
func (w weights) coarse(made func(Format) bool) weights {
	for f := range w {
		if !made(Format(f)) {
			w[f] = 0
		}
	}
	best := slices.Max(w[:])
	for f, v := range w {
		switch {
		case v > 0 && v == best:
			w[f] = 4
		case v > 0:
			w[f] = 2
		}
	}
	return w
}

// header writes w as an Accept value that parseAccept reads as w again.
func (w weights) header() string {
	var b strings.Builder
	for f := FormatJPEG; f <= FormatAVIF; f++ {
		if f > FormatJPEG {
			b.WriteByte(',')
		}
		b.WriteString("image/" + formatNames[f] + ";q=" + [...]string{"0", "0.25", "0.5", "0.75", "1"}[w[f]])
	}
	return b.String()
}
