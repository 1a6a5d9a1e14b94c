package resilience

// errnoInfo knows nothing here: Plan 9 has texts in place of error numbers.
func errnoInfo(error) (Info, bool) { return Info{}, false }
