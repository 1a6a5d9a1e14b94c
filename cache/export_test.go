package cache

// NewLFU lets tests outside of the package reach the default engine.
var NewLFU = newLFU
