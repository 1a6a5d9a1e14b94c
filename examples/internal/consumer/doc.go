// Package consumer tries the module as somebody who imports it: from a module outside
// of the tree, in an empty home, with each package alone. Its tests are slow, because
// everything is downloaded and compiled anew; they run with PERF_CONSUMER=1.
package consumer
