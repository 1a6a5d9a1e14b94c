package imageopt

import (
	"bytes"
	"errors"
	"fmt"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// Format is an image file format. The zero value, FormatAuto, asks for the
// smallest acceptable format of a result and stands for "unknown" elsewhere.
type Format uint8

const (
	// FormatAuto picks the format of a result; see [Spec].Format.
	FormatAuto Format = iota
	// FormatJPEG is baseline or progressive JPEG in; progressive out, small files
	// sequential.
	FormatJPEG
	// FormatPNG is PNG. Sources of 16 bits per channel come out with 8.
	FormatPNG
	// FormatGIF is GIF, still or animated, in and out.
	FormatGIF
	// FormatWebP is still WebP in, and lossless WebP out unless Options.Encoders
	// has another encoder for it.
	FormatWebP
	// FormatAVIF is written only by an encoder in Options.Encoders; never read.
	FormatAVIF
	// FormatBMP is read only, and only when Options.Inputs lists it.
	FormatBMP
	// FormatTIFF is read only, and only when Options.Inputs lists it.
	FormatTIFF

	formatCount
)

var formatNames = [formatCount]string{"auto", "jpeg", "png", "gif", "webp", "avif", "bmp", "tiff"}

// String returns the lower-case name: "auto", "jpeg", "png", "gif", "webp",
// "avif", "bmp" or "tiff".
func (f Format) String() string { return enumString("Format", formatNames[:], int(f)) }

// MarshalText returns the name that String gives, or an error matching
// [ErrOptions] for a value that is none of the constants.
func (f Format) MarshalText() ([]byte, error) { return enumText("Format", formatNames[:], int(f)) }

// UnmarshalText accepts the names that String gives, in any case, and "jpg". An
// empty text means FormatAuto; anything else is an error matching [ErrOptions].
func (f *Format) UnmarshalText(text []byte) error {
	if strings.EqualFold(string(text), "jpg") {
		*f = FormatJPEG
		return nil
	}
	return enumParse(f, "Format", formatNames[:], text)
}

// ContentType returns the media type, such as "image/jpeg", or
// "application/octet-stream" for FormatAuto.
func (f Format) ContentType() string {
	if f == FormatAuto || f >= formatCount {
		return "application/octet-stream"
	}
	return "image/" + formatNames[f]
}

// Ext returns the usual file name extension with its dot, such as ".jpg", or ""
// for FormatAuto.
func (f Format) Ext() string {
	switch {
	case f == FormatAuto || f >= formatCount:
		return ""
	case f == FormatJPEG:
		return ".jpg"
	}
	return "." + formatNames[f]
}

// Sniff returns the format that the first bytes of a file name, or FormatAuto
// when they name none. Twelve bytes are enough; it looks at no more than that.
func Sniff(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return FormatJPEG
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return FormatPNG
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return FormatGIF
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return FormatWebP
	case len(head) >= 12 && string(head[4:8]) == "ftyp" && (string(head[8:12]) == "avif" || string(head[8:12]) == "avis"):
		return FormatAVIF
	case bytes.HasPrefix(head, []byte("BM")):
		return FormatBMP
	case bytes.HasPrefix(head, []byte("II*\x00")), bytes.HasPrefix(head, []byte("MM\x00*")):
		return FormatTIFF
	}
	return FormatAuto
}

func isUnsupported(err error) bool {
	if _, ok := errors.AsType[jpeg.UnsupportedError](err); ok {
		return true
	}
	if _, ok := errors.AsType[png.UnsupportedError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tiff.UnsupportedError](err); ok {
		return true
	}
	return errors.Is(err, bmp.ErrUnsupported)
}

func enumString(typ string, names []string, v int) string {
	if v < 0 || v >= len(names) {
		return fmt.Sprintf("%s(%d)", typ, v)
	}
	return names[v]
}

func enumText(typ string, names []string, v int) ([]byte, error) {
	if v < 0 || v >= len(names) {
		return nil, fmt.Errorf("%w: %s(%d)", ErrOptions, typ, v)
	}
	return []byte(names[v]), nil
}

func enumParse[T ~uint8](dst *T, typ string, names []string, text []byte) error {
	if len(text) == 0 {
		*dst = 0
		return nil
	}
	i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, string(text)) })
	if i < 0 {
		return fmt.Errorf("%w: %s %.40q is none of %s", ErrOptions, typ, text, strings.Join(names, ", "))
	}
	*dst = T(i)
	return nil
}
