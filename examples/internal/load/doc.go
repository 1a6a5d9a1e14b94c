// Package load makes the load of users who come, do things, think in between, and go.
//
// Users arrive by a Poisson process whose rate follows a compressed day, and each
// stays for a number of actions: a partly open system. What an action is, the caller
// says; when it is to begin is drawn beforehand, and does not wait for the answers. A
// latency is counted from that moment, so that a service that stands still for two
// seconds has all the users of these two seconds against it, not only those whom it
// happened to serve: the mistake called coordinated omission.
//
// Background: Schroeder, Wierman and Harchol-Balter, "Open Versus Closed: A Cautionary
// Tale" (NSDI 2006); Gil Tene, wrk2.
package load
