package cdn

import "strings"

// isFull reports a disk without room, which Plan 9 tells in words.
func isFull(err error) bool { return err != nil && strings.Contains(err.Error(), "file system full") }
