package imageopt

import (
	"context"
	"image/color"
)

// PlaceholderKind is a way to stand in for a picture until it has loaded.
type PlaceholderKind uint8

const (
	// PlaceholderLQIP is a tiny picture as a data URL, to be blurred by the page.
	PlaceholderLQIP PlaceholderKind = iota
	// PlaceholderBlurHash is a BlurHash string of 4×3 or 3×4 components.
	PlaceholderBlurHash
	// PlaceholderThumbHash is a ThumbHash in standard base64; it knows transparency
	// and the aspect ratio.
	PlaceholderThumbHash
	// PlaceholderColor is the dominant colour as "#rrggbb".
	PlaceholderColor

	placeholderCount
)

var placeholderNames = [placeholderCount]string{"lqip", "blurhash", "thumbhash", "color"}

// String returns the lower-case name: "lqip", "blurhash", "thumbhash" or "color".
func (k PlaceholderKind) String() string {
	return enumString("PlaceholderKind", placeholderNames[:], int(k))
}

// MarshalText returns the name that String gives, or an error matching
// [ErrOptions] for a value that is none of the constants.
func (k PlaceholderKind) MarshalText() ([]byte, error) {
	return enumText("PlaceholderKind", placeholderNames[:], int(k))
}

// UnmarshalText accepts the names that String gives, in any case; an empty text
// means PlaceholderLQIP. Anything else is an error matching [ErrOptions].
func (k *PlaceholderKind) UnmarshalText(text []byte) error {
	return enumParse(k, "PlaceholderKind", placeholderNames[:], text)
}

// Placeholder is what stands in for a picture.
type Placeholder struct {
	// Kind is the kind that was asked for.
	Kind PlaceholderKind
	// Value is the data URL, the hash or "#rrggbb". It is what [Picture].Placeholder
	// takes for PlaceholderLQIP and PlaceholderColor.
	Value string
	// Color is the dominant colour of the picture, for every kind. Fully
	// transparent pixels do not count.
	Color color.NRGBA
	// Width and Height are the size of the upright source in pixels, which a page
	// needs to reserve the room.
	Width, Height int
}

// Placeholder decodes src and returns its placeholder. An animated picture is
// represented by its first frame. Errors are those of [Optimizer.Process].
func (o *Optimizer) Placeholder(ctx context.Context, src []byte, kind PlaceholderKind) (Placeholder, error) {
	return o.placeholder(ctx, src, kind)
}
