// Package imageencoders gives imageopt lossy WebP and AVIF by the programs cwebp and
// avifenc, where they are installed. Copy it, or write another for the encoder you use.
package imageencoders
