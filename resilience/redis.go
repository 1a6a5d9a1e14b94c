package resilience

import "strings"

// classifyRedis knows the errors of Redis and Valkey by their first word, and those
// of the generic ERR by their text.
func classifyRedis(text string) Info {
	prefix, rest, _ := strings.Cut(text, " ")
	switch prefix {
	case "ERR":
		return redisGeneric(rest)
	case "redis:": // go-redis gives its own errors the same type.
		switch rest {
		case "nil":
			return with(ClassNotFound, "nil", "redis")
		case "transaction failed": // A watched key changed.
			return with(ClassConflict, "tx_failed", "redis")
		}
		return Info{}
	}
	k, ok := redisCodes[prefix]
	if !ok {
		return Info{}
	}
	i := k.info()
	i.Code, i.Source = prefix, "redis"
	return i
}

// redisGeneric knows the errors that have no word of their own.
func redisGeneric(text string) Info {
	switch {
	case text == "max number of clients reached":
		i := with(ClassOverloaded, "ERR", "redis")
		i.NotSent = true
		return i
	case text == "invalid password", text == "operation not permitted":
		return with(ClassUnauthorized, "ERR", "redis")
	case strings.HasPrefix(text, "no such key"):
		return with(ClassNotFound, "ERR", "redis")
	}
	return with(ClassInvalid, "ERR", "redis")
}

// redisCodes are the words of Redis that it sends before it executes anything, but
// for those without unsent, by its documents and source.
var redisCodes = map[string]known{
	"LOADING":      {class: ClassUnavailable, effect: unsent},
	"MASTERDOWN":   {class: ClassUnavailable, effect: unsent},
	"CLUSTERDOWN":  {class: ClassUnavailable, effect: unsent},
	"TRYAGAIN":     {class: ClassUnavailable, effect: unsent},
	"READONLY":     {class: ClassUnavailable, effect: unsent},
	"MOVED":        {class: ClassUnavailable, effect: unsent},
	"ASK":          {class: ClassUnavailable, effect: unsent},
	"REDIRECT":     {class: ClassUnavailable, effect: unsent},
	"NOREPLICAS":   {class: ClassUnavailable, effect: unsent},
	"MISCONF":      {class: ClassUnavailable, effect: unsent},
	"NOMASTERLINK": {class: ClassUnavailable, effect: unsent},
	"NOGOODSLAVE":  {class: ClassUnavailable, effect: unsent},
	"NOQUORUM":     {class: ClassUnavailable, effect: unsent},
	"IOERR":        {class: ClassUnavailable},
	"BUSY":         {class: ClassOverloaded, effect: unsent},
	"OOM":          {class: ClassOverloaded, effect: unsent},
	"INPROG":       {class: ClassConflict, effect: unsent},
	"UNKILLABLE":   {class: ClassConflict},
	"UNBLOCKED":    {class: ClassCanceled},
	"NOAUTH":       {class: ClassUnauthorized},
	"WRONGPASS":    {class: ClassUnauthorized, effect: unsent},
	"NOPERM":       {class: ClassUnauthorized},
	"DENIED":       {class: ClassUnauthorized},
	"NOGROUP":      {class: ClassNotFound},
	"NOSCRIPT":     {class: ClassNotFound},
	"WRONGTYPE":    {class: ClassInvalid},
	"EXECABORT":    {class: ClassInvalid},
	"CROSSSLOT":    {class: ClassInvalid},
	"BUSYGROUP":    {class: ClassInvalid},
	"BUSYKEY":      {class: ClassInvalid},
	"NOTBUSY":      {class: ClassInvalid},
	"NOPROTO":      {class: ClassInvalid},
	"UNSTABLE":     {class: ClassUnavailable},
}
