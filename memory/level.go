package memory

import (
	"fmt"
	"time"
)

// Level says how near the process is to its memory limit. The zero value is
// [LevelNormal]; a higher number is worse, so levels can be compared with <.
type Level uint8

const (
	// LevelNormal means there is room: nothing is shed.
	LevelNormal Level = iota
	// LevelHigh means that caches shrink and budgets narrow.
	LevelHigh
	// LevelCritical means that the process is about to be killed or to spend its
	// time collecting: caches give back most, long operations pause.
	LevelCritical
)

// String returns "normal", "high" or "critical".
func (l Level) String() string {
	switch l {
	case LevelNormal:
		return "normal"
	case LevelHigh:
		return "high"
	case LevelCritical:
		return "critical"
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// MarshalText returns the name as String does; unknown levels are an error.
func (l Level) MarshalText() ([]byte, error) {
	if l > LevelCritical {
		return nil, fmt.Errorf("memory: marshal level: unknown value %d", uint8(l))
	}
	return []byte(l.String()), nil
}

// UnmarshalText accepts "normal", "high" and "critical" in lower case, and leaves
// the level as it was on any other text.
func (l *Level) UnmarshalText(text []byte) error {
	for v := LevelNormal; v <= LevelCritical; v++ {
		if string(text) == v.String() {
			*l = v
			return nil
		}
	}
	return fmt.Errorf("memory: unmarshal level: unknown name %.32q", text)
}

// Default thresholds, as shares of the limit. They apply to unreclaimable bytes:
// past about 70 % live heap the collector itself becomes the bottleneck.
const (
	defaultHigh       = 0.70
	defaultCritical   = 0.85
	defaultHysteresis = 0.05
	committedCritical = 0.97
	psiSomeHigh       = 0.10 // share of time some task stalled on memory
	psiFullCritical   = 0.05 // share of time all tasks stalled on memory
	psiUsageFloor     = 0.50 // below this usage a stall is somebody else's
)

// judge turns samples into levels. It is a plain state machine: rising is
// immediate, falling takes hysteresis and dwell, one step at a time.
type judge struct {
	high, critical, hysteresis float64
	dwell                      time.Duration
	usePSI                     bool

	level     Level
	calmSince time.Time // first sample of the present calm; zero while not calm
}

// next returns the level after s and why it changed; why is "" for no change.
func (j *judge) next(s Stats) (to Level, why string) {
	raw, reason := j.raw(s, 0)
	if raw > j.level {
		j.level, j.calmSince = raw, time.Time{}
		return raw, reason
	}
	calm, _ := j.raw(s, j.hysteresis)
	if calm >= j.level {
		j.calmSince = time.Time{}
		return j.level, ""
	}
	if j.calmSince.IsZero() || s.At.Before(j.calmSince) { // a Source's clock can be set back
		j.calmSince = s.At
	}
	if s.At.Sub(j.calmSince) < j.dwell {
		return j.level, ""
	}
	j.level--
	j.calmSince = time.Time{}
	if j.level > calm {
		j.calmSince = s.At
	}
	return j.level, "recovered"
}

// raw judges one sample alone, with every threshold lowered by margin.
func (j *judge) raw(s Stats, margin float64) (Level, string) {
	u := s.Usage()
	committed := s.CgroupLimit > 0 && float64(s.Committed)/float64(s.CgroupLimit) >= committedCritical-margin
	stalls := j.usePSI && !s.PSI.Host && u >= psiUsageFloor-margin
	switch {
	case u >= j.critical-margin:
		return LevelCritical, "usage"
	case committed:
		return LevelCritical, "committed"
	case stalls && u >= j.high-margin && s.PSI.Full >= psiFullCritical:
		return LevelCritical, "stalls"
	case u >= j.high-margin:
		return LevelHigh, "usage"
	case stalls && s.PSI.Some >= psiSomeHigh:
		return LevelHigh, "stalls"
	}
	return LevelNormal, ""
}
