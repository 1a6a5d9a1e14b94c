// Package quant reduces pictures to palettes.
package quant
