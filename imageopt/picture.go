package imageopt

import (
	"encoding/base64"
	"fmt"
	"html"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Picture describes a responsive <picture> element. HTML turns it into markup
// that is safe to put into a page, whatever the strings hold.
type Picture struct {
	// Src is the key of the picture, handed to urlFor. Required.
	Src string
	// Alt is the text for those who do not see the picture; "" marks it decorative.
	Alt string
	// Width and Height are the layout size in CSS pixels, both required: the browser
	// reserves the room from them before the picture arrives.
	Width, Height int
	// Quality is used by [Handler.HTML], which writes it into the URLs. Zero means
	// the handler's first quality.
	Quality int
	// Sizes is the sizes attribute, such as "(max-width: 768px) 100vw, 50vw". Default
	// "100vw" when Responsive, otherwise none. Setting it implies Responsive, because
	// sizes means nothing for a picture of fixed width.
	Sizes string
	// Responsive offers every width of Widths by w descriptors. Otherwise the picture
	// has a fixed width and is offered for screens of one and two device pixels.
	Responsive bool
	// Priority loads the picture at once and first (fetchpriority, eager). Otherwise
	// it is loaded lazily.
	Priority bool
	// Placeholder is shown until the picture has loaded: "#rrggbb" or a base64 data
	// URL of an image, as [Optimizer.Placeholder] returns for PlaceholderColor and
	// PlaceholderLQIP. It needs style attributes allowed by the page's CSP.
	Placeholder string
	// Class is the class attribute of the img element.
	Class string
	// Widths are the widths on offer, in pixels. Empty means the handler's, or with
	// Picture.HTML 320, 640, 960, 1280, 1920, 2560 and 3840.
	Widths []int
}

// HTML returns the element. urlFor gives the address of the picture src at a width in
// pixels, such as a CDN's; what it returns must be http, https or relative. For
// addresses of a [Handler] there is [Handler.HTML]. The error matches [ErrOptions] and
// names every bad field.
func (p Picture) HTML(urlFor func(src string, width int) string) (template.HTML, error) {
	if err := p.validate(urlFor != nil); err != nil {
		return "", err
	}
	p.Responsive = p.Responsive || p.Sizes != ""
	var bad fieldErrors
	link := func(w int) string {
		s := urlFor(p.Src, w)
		bad.check(safeURL(s), "urlFor(%.60q, %d) is not a relative, http or https address", p.Src, w)
		return s
	}
	var b strings.Builder
	b.WriteString("<picture><img")
	attr := func(name, value string) {
		fmt.Fprintf(&b, ` %s="%s"`, name, html.EscapeString(value))
	}
	attr("alt", p.Alt)
	attr("width", strconv.Itoa(p.Width))
	attr("height", strconv.Itoa(p.Height))
	if p.Class != "" {
		attr("class", p.Class)
	}
	if p.Priority {
		attr("loading", "eager")
		attr("fetchpriority", "high")
	} else {
		attr("loading", "lazy")
	}
	attr("decoding", "async")
	if p.Placeholder != "" {
		attr("style", p.style())
	}
	src, srcset := p.candidates(link)
	sizes := p.Sizes
	if sizes == "" && p.Responsive {
		sizes = "100vw"
	}
	// sizes and srcset come before src: browsers that parse in order would fetch
	// src first otherwise.
	if sizes != "" {
		attr("sizes", sizes)
	}
	attr("srcset", srcset)
	attr("src", src)
	b.WriteString("></picture>")
	if err := bad.err(); err != nil {
		return "", err
	}
	return template.HTML(b.String()), nil // every value above went through EscapeString
}

func (p Picture) validate(hasURL bool) error {
	var bad fieldErrors
	bad.check(hasURL, "urlFor is nil")
	bad.check(p.Src != "", "Src is empty")
	bad.check(p.Width > 0 && p.Width <= 1<<16, "Width %d is not in 1..65536", p.Width)
	bad.check(p.Height > 0 && p.Height <= 1<<16, "Height %d is not in 1..65536", p.Height)
	bad.check(p.Quality >= 0 && p.Quality <= 100, "Quality %d is not in 1..100", p.Quality)
	for _, w := range p.Widths {
		bad.check(w > 0 && w <= 1<<16, "Widths: %d is not in 1..65536", w)
	}
	bad.check(p.Placeholder == "" || safeColor(p.Placeholder) || safeDataURL(p.Placeholder),
		"Placeholder is neither #rrggbb nor a base64 image data URL")
	return bad.err()
}

func (p Picture) style() string {
	if safeColor(p.Placeholder) {
		return "background-color:" + p.Placeholder
	}
	return "background:url(" + p.Placeholder + ") center/cover no-repeat"
}

// candidates returns src and srcset.
func (p Picture) candidates(link func(int) string) (src, srcset string) {
	widths := p.Widths
	if len(widths) == 0 {
		widths = []int{320, 640, 960, 1280, 1920, 2560, 3840}
	}
	widths = slices.Compact(slices.Sorted(slices.Values(widths)))
	var parts []string
	if p.Responsive {
		for _, w := range widths {
			parts = append(parts, srcsetURL(link(w))+" "+strconv.Itoa(w)+"w")
		}
		return link(atLeast(widths, p.Width)), strings.Join(parts, ", ")
	}
	one, two := atLeast(widths, p.Width), atLeast(widths, 2*p.Width)
	parts = append(parts, srcsetURL(link(one))+" 1x")
	if two > one {
		parts = append(parts, srcsetURL(link(two))+" 2x")
	}
	return link(one), strings.Join(parts, ", ")
}

// atLeast returns the smallest of the sorted widths that is ≥ w, or the largest.
func atLeast(widths []int, w int) int {
	i, _ := slices.BinarySearch(widths, w)
	return widths[min(i, len(widths)-1)]
}

// srcsetURL keeps white space and commas, which separate candidates, out of a URL.
func srcsetURL(s string) string {
	return strings.NewReplacer(" ", "%20", "\t", "%09", "\n", "%0A", "\r", "%0D", "\f", "%0C", ",", "%2C").Replace(s)
}

func safeURL(s string) bool {
	u, err := url.Parse(s)
	return s != "" && err == nil && (u.Scheme == "" || u.Scheme == "http" || u.Scheme == "https")
}

func safeColor(s string) bool {
	return len(s) == 7 && s[0] == '#' && strings.Trim(s[1:], "0123456789abcdefABCDEF") == ""
}

func safeDataURL(s string) bool {
	for _, t := range []string{"jpeg", "png", "gif", "webp", "avif"} {
		if data, ok := strings.CutPrefix(s, "data:image/"+t+";base64,"); ok {
			_, err := base64.StdEncoding.DecodeString(data)
			return err == nil && !strings.ContainsAny(data, "\r\n")
		}
	}
	return false
}
