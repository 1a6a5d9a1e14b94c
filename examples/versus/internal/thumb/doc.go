// Command thumb makes small pictures of a JPEG once, with one of two libraries, and
// prints the most memory that the process has had resident, in bytes.
package main
