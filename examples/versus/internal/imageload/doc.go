// Program imageload serves pictures from a folder over HTTP, resized by this module
// or by imaging, until its standard input ends. It then prints the most memory that
// it has had resident, in bytes.
package main
