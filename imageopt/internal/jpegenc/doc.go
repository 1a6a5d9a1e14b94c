// Package jpegenc encodes planes of 8-bit samples as JPEG, with Huffman tables made for
// the picture: sequential, or progressive, which is smaller. It can aim at a size in
// bytes by quantising the transformed picture again instead of transforming it again.
package jpegenc
