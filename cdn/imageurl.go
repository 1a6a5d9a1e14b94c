package cdn

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// imageURL is the address of a rendition at Options.ImageURL.
func imageURL(template, original, key string, t Transform) string {
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	return strings.NewReplacer(
		"{url}", url.QueryEscape(original), "{key}", strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(key)),
		"{width}", number(t.Width), "{height}", number(t.Height), "{quality}", number(t.Quality),
		"{format}", url.QueryEscape(t.Format), "{fit}", url.QueryEscape(t.Fit),
	).Replace(template)
}

// checkImageURL refuses a template that names no image, or something unknown.
func checkImageURL(template string) error {
	if template == "" {
		return nil
	}
	found := regexp.MustCompile(`\{[^}]*\}?`).FindAllString(template, -1)
	for _, f := range found {
		if !slices.Contains([]string{"{url}", "{key}", "{width}", "{height}", "{quality}", "{format}", "{fit}"}, f) {
			return fmt.Errorf("field ImageURL: %s is unknown", f)
		}
	}
	if !slices.Contains(found, "{url}") && !slices.Contains(found, "{key}") {
		return fmt.Errorf("field ImageURL has neither {url} nor {key}")
	}
	return nil
}
