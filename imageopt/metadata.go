package imageopt

import (
	"slices"

	"github.com/perfblocks/perfblocks/imageopt/internal/header"
)

// Metadata says what of a source's metadata a result has. Positions (GPS), camera
// data, comments, thumbnails and gain maps never survive.
type Metadata uint8

const (
	// MetadataStrip keeps nothing. Colours are converted to sRGB. It is the default.
	MetadataStrip Metadata = iota
	// MetadataKeepICC keeps the RGB profile of a source, matrix or tables, instead of
	// converting to sRGB, in JPEG, PNG and WebP. Other formats are converted; with
	// FormatAuto they are not among the candidates. A source without a profile, or with
	// one that is damaged or as good as sRGB, comes out without one.
	MetadataKeepICC
	// MetadataKeepCopyright keeps the texts of the EXIF fields Artist and Copyright, up
	// to 1 KiB each, in JPEG, PNG and WebP. Colours are converted to sRGB.
	MetadataKeepCopyright

	metadataCount
)

var metadataNames = [metadataCount]string{"strip", "keep-icc", "keep-copyright"}

// String returns the lower-case name: "strip", "keep-icc" or "keep-copyright".
func (m Metadata) String() string { return enumString("Metadata", metadataNames[:], int(m)) }

// MarshalText returns the name that String gives, or an error matching
// [ErrOptions] for a value that is none of the constants.
func (m Metadata) MarshalText() ([]byte, error) {
	return enumText("Metadata", metadataNames[:], int(m))
}

// UnmarshalText accepts the names that String gives, in any case; an empty text
// means MetadataStrip. Anything else is an error matching [ErrOptions].
func (m *Metadata) UnmarshalText(text []byte) error {
	return enumParse(m, "Metadata", metadataNames[:], text)
}

// describable are the formats that metadata can be put into.
func describable(f Format) bool { return f == FormatJPEG || f == FormatPNG || f == FormatWebP }

// keepsICC reports whether the result has the profile of the source, and with
// FormatAuto leaves the ways that can hold it.
func (s *source) keepsICC(spec *Spec, ways []Format) ([]Format, bool) {
	if spec.Metadata != MetadataKeepICC || !s.viewer {
		return ways, false
	}
	fit := slices.DeleteFunc(slices.Clone(ways), func(f Format) bool { return !describable(f) })
	if len(fit) == 0 {
		return ways, false
	}
	return fit, true
}

// dress puts into a finished file what spec keeps of the source's metadata.
func (s *source) dress(f file, spec *Spec, keepICC bool, w, h int) file {
	var exif, icc []byte
	if spec.Metadata == MetadataKeepCopyright {
		exif = s.head.Credits.EXIF()
	}
	if keepICC {
		icc = s.head.ICC
	}
	if exif == nil && icc == nil {
		return f
	}
	switch f.format {
	case FormatJPEG:
		f.data = header.EmbedJPEG(f.data, exif, icc)
	case FormatPNG:
		f.data = header.EmbedPNG(f.data, exif, icc)
	case FormatWebP:
		f.data = header.EmbedWebP(f.data, exif, icc, w, h)
	}
	return f
}
