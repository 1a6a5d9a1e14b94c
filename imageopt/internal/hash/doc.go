// Package hash computes BlurHash and ThumbHash of small pictures.
package hash
