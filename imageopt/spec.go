package imageopt

import (
	"fmt"
	"image"
	"image/color"
)

// Fit says how the upright source meets the box Width × Height. It matters when
// both are set; with one of them the other follows from the aspect ratio.
type Fit uint8

const (
	// FitInside scales until the picture lies inside the box. It is the default.
	FitInside Fit = iota
	// FitCover scales until the picture covers the box and crops the rest away,
	// keeping the part that Anchor names.
	FitCover
	// FitFill stretches the picture to the box, whatever its aspect ratio.
	FitFill
	// FitOutside scales until the picture just covers the box, without cropping.
	FitOutside
	// FitContain is FitInside, padded to the box with Background; Anchor says where
	// the picture lies in it.
	FitContain

	fitCount
)

var fitNames = [fitCount]string{"inside", "cover", "fill", "outside", "contain"}

// String returns the lower-case name: "inside", "cover", "fill", "outside" or
// "contain".
func (f Fit) String() string { return enumString("Fit", fitNames[:], int(f)) }

// MarshalText returns the name that String gives, or an error matching
// [ErrOptions] for a value that is none of the constants.
func (f Fit) MarshalText() ([]byte, error) { return enumText("Fit", fitNames[:], int(f)) }

// UnmarshalText accepts the names that String gives, in any case; an empty text
// means FitInside. Anything else is an error matching [ErrOptions].
func (f *Fit) UnmarshalText(text []byte) error { return enumParse(f, "Fit", fitNames[:], text) }

// Anchor names the part of the picture that FitCover keeps, and where FitContain
// puts the picture in its box.
type Anchor uint8

const (
	// AnchorCenter is the middle, the default.
	AnchorCenter Anchor = iota
	// AnchorTopLeft is the upper left corner of the upright picture.
	AnchorTopLeft
	// AnchorTop is the middle of the upper edge.
	AnchorTop
	// AnchorTopRight is the upper right corner.
	AnchorTopRight
	// AnchorLeft is the middle of the left edge.
	AnchorLeft
	// AnchorRight is the middle of the right edge.
	AnchorRight
	// AnchorBottomLeft is the lower left corner.
	AnchorBottomLeft
	// AnchorBottom is the middle of the lower edge.
	AnchorBottom
	// AnchorBottomRight is the lower right corner.
	AnchorBottomRight
	// AnchorAttention is where edges, colours and skin are, for FitCover; a guess that
	// costs little and knows no faces. Elsewhere, and for an animation that stays one, it
	// is the middle.
	AnchorAttention

	anchorCount
)

var anchorNames = [anchorCount]string{
	"center", "top-left", "top", "top-right", "left", "right", "bottom-left", "bottom", "bottom-right", "attention",
}

// String returns the lower-case name, such as "center" or "top-left".
func (a Anchor) String() string { return enumString("Anchor", anchorNames[:], int(a)) }

// MarshalText returns the name that String gives, or an error matching
// [ErrOptions] for a value that is none of the constants.
func (a Anchor) MarshalText() ([]byte, error) { return enumText("Anchor", anchorNames[:], int(a)) }

// UnmarshalText accepts the names that String gives, in any case; an empty text
// means AnchorCenter. Anything else is an error matching [ErrOptions].
func (a *Anchor) UnmarshalText(text []byte) error {
	return enumParse(a, "Anchor", anchorNames[:], text)
}

// Filter is a resampling filter. The kernels are those of the module
// github.com/disintegration/imaging; the arithmetic is this package's own.
type Filter uint8

const (
	// FilterLanczos is sharp and good for photos. It is the default.
	FilterLanczos Filter = iota
	// FilterCatmullRom is a sharp cubic with less ringing than Lanczos.
	FilterCatmullRom
	// FilterMitchell is the Mitchell-Netravali cubic, softer than CatmullRom.
	FilterMitchell
	// FilterLinear is the triangle.
	FilterLinear
	// FilterBox averages areas; enlarged pictures look blocky with it.
	FilterBox
	// FilterHermite is a smooth cubic of support one.
	FilterHermite
	// FilterBSpline is a very smooth cubic.
	FilterBSpline
	// FilterGaussian blurs.
	FilterGaussian
	// FilterBartlett is a sinc under a triangular window.
	FilterBartlett
	// FilterHann is a sinc under a Hann window.
	FilterHann
	// FilterHamming is a sinc under a Hamming window.
	FilterHamming
	// FilterBlackman is a sinc under a Blackman window.
	FilterBlackman
	// FilterWelch is a sinc under a parabolic window.
	FilterWelch
	// FilterCosine is a sinc under a cosine window.
	FilterCosine
	// FilterNearest takes the nearest sample, without any averaging.
	FilterNearest

	filterCount
)

var filterNames = [filterCount]string{
	"lanczos", "catmullrom", "mitchell", "linear", "box", "hermite", "bspline", "gaussian",
	"bartlett", "hann", "hamming", "blackman", "welch", "cosine", "nearest",
}

// String returns the lower-case name, such as "lanczos" or "catmullrom".
func (f Filter) String() string { return enumString("Filter", filterNames[:], int(f)) }

// MarshalText returns the name that String gives, or an error matching
// [ErrOptions] for a value that is none of the constants.
func (f Filter) MarshalText() ([]byte, error) { return enumText("Filter", filterNames[:], int(f)) }

// UnmarshalText accepts the names that String gives, in any case; an empty text
// means FilterLanczos. Anything else is an error matching [ErrOptions].
func (f *Filter) UnmarshalText(text []byte) error {
	return enumParse(f, "Filter", filterNames[:], text)
}

// Spec says what the result shall be. The zero value keeps the size, turns the
// picture upright, drops metadata and picks the format. All sizes are in pixels
// of the upright picture, that is after the EXIF orientation.
type Spec struct {
	// Width and Height are the box of the result, in pixels. Zero follows from the
	// other and the aspect ratio; both zero keep the size of the source or Crop.
	Width, Height int
	// Fit says how the picture meets the box. Default FitInside.
	Fit Fit
	// Anchor is the part kept by FitCover and the place in FitContain's box.
	Anchor Anchor
	// Crop is taken from the upright source before anything else. It must lie
	// within the source. The zero rectangle means all of it.
	Crop image.Rectangle
	// AllowUpscale lets the result have more pixels than the source. Without it a
	// box that is too large shrinks in proportion until it needs no enlargement
	// (FitContain still pads to the full box).
	AllowUpscale bool
	// Format is the format of the result. FormatAuto makes the smallest of the
	// candidates that Accept allows and an encoder exists for: for a JPEG or lossy
	// WebP source JPEG and any lossy encoder of Options.Encoders; otherwise PNG and
	// WebP, and JPEG too when the picture is opaque and looks like a photo; for an
	// animated source GIF. The source itself is a candidate as well, even if it is up to
	// twice as wide; see [Optimizer.Process].
	Format Format
	// Accept is the value of an HTTP Accept header, used with FormatAuto only. Empty
	// and bare wildcards allow JPEG, PNG and GIF; WebP and AVIF need to be named.
	Accept string
	// Quality of lossy formats, 1 to 100. Default 80. JPEG keeps all of its chroma
	// from 90 on, and a quarter of it (4:2:0) below.
	Quality int
	// TargetBytes asks for a JPEG of at most that many bytes and the highest quality
	// that allows, up to Quality when that is set. Unless quality alone leaves it
	// smaller, the result has at least 92 % of them. When even quality 1 is larger the
	// error matches ErrTooLarge. Other formats do not heed it. Zero means no target.
	TargetBytes int
	// TargetSSIM asks for a JPEG of the lowest quality at which the mean structural
	// similarity of its luma to the resized picture is at least this, over 0 and below 1,
	// up to Quality or else 100. What looks alike is around 0.95 to 0.98. It takes the
	// time of about eight encodings, and excludes TargetBytes. Other formats do not heed
	// it. Zero means no target.
	TargetSSIM float64
	// Filter for resampling. Default FilterLanczos.
	Filter Filter
	// LinearLight averages light instead of sRGB values, so that fine bright detail
	// keeps its brightness. It costs several times the time of resampling, and halos
	// at dark edges are more visible.
	LinearLight bool
	// Metadata says what the result has of the source's metadata. Default
	// MetadataStrip.
	Metadata Metadata
	// Background replaces transparency: it is used under pictures whose result has
	// no alpha channel (JPEG) and for FitContain's padding; set explicitly, it
	// flattens every result. Nil means white for JPEG and transparent padding
	// where the format has alpha.
	Background color.Color
}

// searches reports whether the quality of a JPEG is to be found.
func (s *Spec) searches() bool { return s.TargetBytes > 0 || s.TargetSSIM > 0 }

// withQuality returns the spec with the quality that its zero stands for.
func (s Spec) withQuality() Spec {
	switch {
	case s.Quality != 0:
	case s.searches():
		s.Quality = 100
	default:
		s.Quality = 80
	}
	return s
}

// key tells specs apart, but for Width, Quality and Accept.
func (s *Spec) key() string {
	ground := "none"
	if s.Background != nil {
		ground = fmt.Sprint(toNRGBA(s.Background))
	}
	return fmt.Sprint(s.TargetBytes, " ", s.TargetSSIM, " ", s.Height, s.Fit, s.Anchor, s.Crop, s.AllowUpscale, s.Format, s.Filter, s.LinearLight, s.Metadata, ground)
}

func (s *Spec) validate(f *fieldErrors, maxSide int) {
	f.check(s.Width >= 0 && s.Width <= maxSide, "Width %d is not in 0..%d", s.Width, maxSide)
	f.check(s.Height >= 0 && s.Height <= maxSide, "Height %d is not in 0..%d", s.Height, maxSide)
	f.check(s.Fit < fitCount, "Fit %v is unknown", s.Fit)
	f.check(s.Anchor < anchorCount, "Anchor %v is unknown", s.Anchor)
	f.check(s.Filter < filterCount, "Filter %v is unknown", s.Filter)
	f.check(s.Metadata < metadataCount, "Metadata %v is unknown", s.Metadata)
	f.check(s.Format <= FormatAVIF, "Format %v cannot be written", s.Format)
	f.check(s.Quality >= 0 && s.Quality <= 100, "Quality %d is not in 1..100", s.Quality)
	f.check(s.TargetBytes >= 0, "TargetBytes %d is negative", s.TargetBytes)
	f.check(s.TargetSSIM >= 0 && s.TargetSSIM < 1, "TargetSSIM %v is not in 0..1", s.TargetSSIM) // nor NaN
	f.check(s.TargetBytes == 0 || s.TargetSSIM == 0, "TargetBytes and TargetSSIM are both set")
	f.check(s.Crop == (image.Rectangle{}) || !s.Crop.Empty() && s.Crop.Min.X >= 0 && s.Crop.Min.Y >= 0,
		"Crop %v is empty or outside", s.Crop)
	f.check(len(s.Accept) <= maxAccept, "Accept is longer than %d bytes", maxAccept)
}
