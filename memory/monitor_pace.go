package memory

import "time"

// How fast the monitor samples. Nobody knows how much of the garbage is live before
// the next collection tells, so the pace counts all of it as used.
const (
	hurry     = 10        // above LevelNormal, and near a threshold, that many samples for one
	rush      = 50        // and at most that many while memory is seen to run out
	fillSpeed = 256 << 20 // bytes a second that a program can be thought to start using at any time
)

// pace chooses the time to the next sample so that it comes about halfway to the
// moment at which the next threshold could be reached.
type pace struct {
	interval time.Duration
	high     float64
	critical float64

	at    time.Time // of the last sample; zero before the first
	held  int64     // used and garbage then
	speed float64   // bytes a second, as seen; halves with each sample that shows less
}

// next returns how long to wait after s, which put the level at level.
func (p *pace) next(s Stats, level Level) time.Duration {
	held := s.Used + max(0, s.HeapObjects-s.HeapLive)
	seen := 0.0
	if dt := s.At.Sub(p.at).Seconds(); !p.at.IsZero() && dt > 0 {
		seen = float64(held-p.held) / dt
	}
	p.speed = max(seen, p.speed/2, 0)
	p.at, p.held = s.At, held

	wait := p.interval
	if level > LevelNormal {
		wait = p.interval / hurry
	}
	if s.Limit > 0 {
		room := p.room(s, held, level)
		wait = min(wait, max(p.interval/hurry, halfway(room, fillSpeed)))
		wait = min(wait, max(p.interval/rush, halfway(room, p.speed)))
	}
	return max(time.Millisecond, wait)
}

// room returns the bytes that can still be taken until the level rises.
func (p *pace) room(s Stats, held int64, level Level) int64 {
	next := p.high
	if level > LevelNormal {
		next = p.critical
	}
	room := int64(next*float64(s.Limit)) - held
	if s.CgroupLimit > 0 {
		room = min(room, int64(committedCritical*float64(s.CgroupLimit))-s.Committed)
	}
	return max(0, room)
}

// halfway returns half the time in which room fills at speed bytes a second.
func halfway(room int64, speed float64) time.Duration {
	if speed <= 0 {
		return forever
	}
	return time.Duration(min(float64(room)/speed/2*float64(time.Second), float64(time.Hour)))
}
