// Package httpcall is what the providers of cdn that are written on net/http share:
// bodies that are let go of when a call returns, replies that are errors unless they
// prove to be none, ranges that are checked, and the kinds of failure.
package httpcall
