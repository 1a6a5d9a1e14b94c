package memory

const defaultSemaphoreBytes = 64 << 20

// SemaphoreOptions configures a [Semaphore]. The zero value hands out 64 MiB.
type SemaphoreOptions struct {
	// Name labels the semaphore in metrics. Default "semaphore".
	Name string
	// MaxBytes is how many bytes can be held at once. Default 64 MiB; negative is
	// an error.
	MaxBytes int64
	// RunAlone admits a request larger than MaxBytes once nothing else is held,
	// and holds everybody else back until it is done. Default: ErrTooLarge.
	RunAlone bool
	// Monitor narrows the semaphore while memory is short: to one half at
	// LevelHigh, to one quarter at LevelCritical. One request at a time always runs,
	// so that work goes on. nil means that only MaxBytes counts.
	Monitor *Monitor
	// Disabled grants everything at once and counts nothing.
	Disabled bool
}

// SemaphoreStats is a snapshot of a [Semaphore]; counters are since NewSemaphore.
type SemaphoreStats struct {
	// MaxBytes is the bound; Available is the part that memory pressure leaves.
	MaxBytes, Available int64
	// InUse is held now, Peak is the most ever held, in bytes.
	InUse, Peak int64
	// Waiting is the number of requests that wait now.
	Waiting int
	// Granted counts requests served, Waited those that had to wait first.
	Granted, Waited uint64
	// Refused counts requests that ended with ErrTooLarge, ErrClosed or their ctx.
	Refused uint64
}
