// Package archtest holds the rules of this module that no linter knows about,
// and the test that applies them: who may import whom, which modules each
// package may reach and show, what may stand at package level, what every
// package's documentation has, and what stays out of the module.
//
// A rule is a function over a [Tree], so the same code judges the repository
// and the small fixtures that its test plants. [Policy] holds what is a
// decision rather than a mechanism: a new line there needs its reason in the
// commit. Run it with -count=1: it executes the go command, whose view of the
// module the test cache does not follow.
package archtest
