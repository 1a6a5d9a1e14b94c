package cdn

import "sync/atomic"

const minBuffer = 32 << 10

type budget struct{ used atomic.Int64 }
type lanes struct{}
type call struct{}
type lifecycle int
