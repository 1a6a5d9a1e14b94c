// Package oom runs a service in a memory control group and sees whether it lives.
// The service is the same three times: naive, with the runtime's limit alone, and
// with the blocks of package memory.
package oom
