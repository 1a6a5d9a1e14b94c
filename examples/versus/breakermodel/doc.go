// Package breakermodel runs random histories through circuit breakers, ours and
// other people's, and through a model of what they promise. It holds only tests.
package breakermodel
