package cache

// NewOtter lets tests outside of the package reach the default engine.
var NewOtter = newOtter
