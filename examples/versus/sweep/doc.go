// Package sweep measures what freeing dead entries costs. It holds only tests.
package sweep
