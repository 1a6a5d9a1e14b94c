// Package header reads what image files say about themselves before any pixel is
// decoded, estimates what their decoders allocate, and copies files without their
// metadata. It allocates next to nothing, whatever the file claims.
package header
