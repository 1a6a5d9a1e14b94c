package rediscache

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

const (
	defaultURL         = "redis://127.0.0.1:6379"
	defaultPrefix      = "cache:"
	defaultTimeout     = time.Second
	defaultPushTimeout = time.Second
	defaultMaxTags     = 100_000
	defaultMaxRecord   = 16 << 20
	maxNameLen         = 128
	minPushTimeout     = 10 * time.Millisecond
	largestRecord      = 256 << 20
)

// ErrOptions matches every error that [New] returns for a bad field; the text
// lists all bad fields at once, without repeating the URL or a password.
var ErrOptions = errors.New("rediscache: invalid options")

// Options configures a [Remote]. The zero value is a working configuration for a
// Redis on this machine; a zero field means the default that its comment gives.
// New keeps no reference to its slices.
type Options struct {
	// URL says where Redis is: redis://user:password@host:port/db, rediss:// for
	// TLS, unix://user:password@/path?db=0. Further nodes of a cluster are given as
	// ?addr=host:port, a sentinel's master as ?master_set=name. Reserved characters
	// of a password are percent-encoded. Default redis://127.0.0.1:6379.
	URL string
	// Client replaces URL where more is to be set: certificates, rotating
	// credentials, sentinels. It is copied. Client-side caching and retries are
	// switched off: no answer here may come from a local copy, and a caller would
	// rather load than wait for another try. Default nil: from URL.
	Client *rueidis.ClientOption
	// Prefix starts the name of every key and channel. Caches share records and
	// invalidations if and only if they share Redis, database and Prefix. On Redis
	// Cluster a prefix with a hash tag, such as "{chat}:", keeps all in one slot; any
	// other spreads the records over the nodes. Default "cache:".
	Prefix string
	// Name labels this remote in [Remote.Metrics]. Default "default".
	Name string
	// Timeout bounds each operation, together with the caller's ctx, and the
	// making of a connection. Default 1 second.
	Timeout time.Duration
	// PushTimeout is how long the connection that brings invalidations may be silent
	// before it counts as lost; it is pinged thrice in that time. Default 1 second,
	// at least 10 milliseconds.
	PushTimeout time.Duration
	// MaxTags is how many invalidated tags Redis remembers at least, and half of how
	// many at most. Records that are older than the last ones forgotten count as
	// invalid. A tag is a field of a hash there. Default 100,000.
	MaxTags int
	// MaxRecordBytes is the size above which records are not stored nor read, since
	// they would hold up Redis for all. Default 16 MiB, at most 256 MiB.
	MaxRecordBytes int
	// DisablePush keeps this node from listening for invalidations; cache.Options
	// .TagRecheck bounds its staleness then. It still tells the other nodes.
	DisablePush bool
	// Disabled makes the remote a pass-through that never talks to Redis: it holds
	// no record, and takes invalidations without telling anyone.
	Disabled bool
	// Hooks observes the remote.
	Hooks Hooks
	// Logger receives what nobody else is told: the push connection lost and
	// regained, and positions lost. Nil: silent.
	Logger *slog.Logger
}

// withDefaults checks o and fills its zero fields. It returns the client's options.
func (o Options) withDefaults() (Options, rueidis.ClientOption, error) {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if o.Timeout < 0 {
		bad("Timeout %v is negative", o.Timeout)
	}
	if o.PushTimeout != 0 && o.PushTimeout < minPushTimeout {
		bad("PushTimeout %v is below %v", o.PushTimeout, minPushTimeout)
	}
	if o.MaxTags < 0 {
		bad("MaxTags %d is negative", o.MaxTags)
	}
	if o.MaxRecordBytes < 0 || o.MaxRecordBytes > largestRecord {
		bad("MaxRecordBytes %d is not in 0 to %d", o.MaxRecordBytes, largestRecord)
	}
	if len(o.Name) > maxNameLen {
		bad("Name is longer than %d bytes", maxNameLen)
	}
	if len(o.Prefix) > maxNameLen {
		bad("Prefix is longer than %d bytes", maxNameLen)
	}
	setDefault(&o.Name, "default")
	setDefault(&o.Prefix, defaultPrefix)
	setDefault(&o.Timeout, defaultTimeout)
	setDefault(&o.PushTimeout, defaultPushTimeout)
	setDefault(&o.MaxTags, defaultMaxTags)
	setDefault(&o.MaxRecordBytes, defaultMaxRecord)
	client, err := o.clientOption()
	if err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return o, client, fmt.Errorf("%w: %w", ErrOptions, errors.Join(errs...))
	}
	return o, client, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// clientOption returns the options of the client by URL or Client. No error
// repeats what was given, which may hold a password.
func (o Options) clientOption() (co rueidis.ClientOption, err error) {
	switch {
	case o.Client != nil && o.URL != "":
		return co, errors.New("both URL and Client are set")
	case o.Client != nil:
		co = *o.Client
		co.InitAddress = slices.Clone(co.InitAddress)
		co.ClientSetInfo = slices.Clone(co.ClientSetInfo)
		co.Standalone.ReplicaAddress = slices.Clone(co.Standalone.ReplicaAddress)
	case o.URL == "":
		co, err = parseURL(defaultURL)
	default:
		co, err = parseURL(o.URL)
	}
	if err != nil {
		return co, err
	}
	if o.Client == nil {
		co.Dialer.Timeout = max(co.Dialer.Timeout, o.Timeout)
		setDefault(&co.ConnWriteTimeout, max(o.Timeout, time.Second))
	}
	co.DisableCache, co.DisableRetry = true, true
	co.ClientTrackingOptions = nil
	switch {
	case len(co.InitAddress) == 0:
		return co, errors.New("no InitAddress in Client")
	case co.AlwaysRESP2:
		return co, errors.New("RESP2 is asked for, which cannot check the push connection")
	case co.ReplicaOnly:
		return co, errors.New("a Client for replicas only")
	case co.PipelineMultiplex > rueidis.MaxPipelineMultiplex:
		return co, errors.New("the PipelineMultiplex of Client is too large")
	}
	return co, nil
}

// parseURL reads a URL. What is wrong is told without the URL's own text.
func parseURL(text string) (co rueidis.ClientOption, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return co, errors.New("URL is malformed; reserved characters of a password must be percent-encoded")
	}
	path := strings.TrimPrefix(u.Path, "/")
	switch u.Scheme {
	case "redis", "rediss", "valkey", "valkeys":
		if u.Host == "" && u.User == nil && u.Path != "" {
			return co, errors.New("URL has no host")
		}
		if strings.Trim(path, "0123456789") != "" {
			return co, errors.New("URL: the path is not the number of a database")
		}
	case "unix":
		if path == "" {
			return co, errors.New("URL has no path of a socket")
		}
	default:
		return co, errors.New("URL: the scheme is not redis, rediss or unix")
	}
	if u.Opaque != "" || u.Fragment != "" {
		return co, errors.New("URL is malformed: it has no // or an unencoded #")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return co, errors.New("URL: the query is malformed")
	}
	known := []string{"addr", "client_name", "db", "dial_timeout", "master_set", "skip_verify", "write_timeout"}
	for name := range query {
		if !slices.Contains(known, name) {
			return co, fmt.Errorf("URL: a parameter is not one of %s", strings.Join(known, ", "))
		}
	}
	if u.Path == "/" { // means none
		u.Path = ""
	}
	co, err = rueidis.ParseURL(u.String())
	if err != nil || co.SelectDB < 0 || co.Dialer.Timeout < 0 || co.ConnWriteTimeout < 0 {
		return co, errors.New("URL: the database or the value of a parameter is malformed")
	}
	return co, nil
}
