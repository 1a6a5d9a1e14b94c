package rediscache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/rediscache"
	"github.com/redis/rueidis"
)

func TestOptions(t *testing.T) {
	const pw = "hunter2"
	long := strings.Repeat("x", 129)
	for name, o := range map[string]rediscache.Options{
		"unencoded slash":     {URL: "redis://u:" + pw + "/x@h:1/0"},
		"unencoded hash":      {URL: "redis://u:" + pw + "#x@h:1/0"},
		"unencoded question":  {URL: "redis://u:" + pw + "?x@h:1/0"},
		"unencoded percent":   {URL: "redis://u:" + pw + "%zz@h:1/0"},
		"control character":   {URL: "redis://u:" + pw + "\n@h:1/0"},
		"no scheme":           {URL: "u:" + pw + "@h:1"},
		"other scheme":        {URL: pw + "://h:1"},
		"http":                {URL: "http://u:" + pw + "@h"},
		"opaque":              {URL: "redis:u:" + pw + "@h"},
		"no host":             {URL: "redis:///0"},
		"port":                {URL: "redis://u:" + pw + "@h:port"},
		"database":            {URL: "redis://h/" + pw},
		"huge database":       {URL: "redis://h/99999999999999999999"},
		"path":                {URL: "redis://h/1/" + pw},
		"database in query":   {URL: "redis://h?db=" + pw},
		"negative database":   {URL: "redis://h?db=-1"},
		"unknown parameter":   {URL: "redis://h?" + pw + "=1"},
		"bad query":           {URL: "redis://h?%" + pw},
		"bad timeout":         {URL: "redis://h?dial_timeout=" + pw},
		"bad skip_verify":     {URL: "rediss://h?skip_verify=" + pw},
		"unix without a path": {URL: "unix://"},
		"both":                {URL: "redis://u:" + pw + "@h", Client: &rueidis.ClientOption{InitAddress: []string{"h:1"}}},
		"no address":          {Client: &rueidis.ClientOption{Password: pw}},
		"RESP2":               {Client: &rueidis.ClientOption{Password: pw, AlwaysRESP2: true, InitAddress: []string{"h:1"}}},
		"replicas only":       {Client: &rueidis.ClientOption{Password: pw, ReplicaOnly: true, InitAddress: []string{"h:1"}}},
		"multiplex":           {Client: &rueidis.ClientOption{PipelineMultiplex: 99, InitAddress: []string{"h:1"}}},
		"timeout":             {Timeout: -1},
		"push timeout":        {PushTimeout: time.Microsecond},
		"negative push":       {PushTimeout: -1},
		"tags":                {MaxTags: -1},
		"record":              {MaxRecordBytes: -1},
		"large record":        {MaxRecordBytes: 1 << 30},
		"name":                {Name: long},
		"prefix":              {Prefix: long},
	} {
		r, err := rediscache.New(o)
		if r != nil || !errors.Is(err, rediscache.ErrOptions) {
			t.Errorf("%s: New = %v, %v; want ErrOptions", name, r, err)
			continue
		}
		if strings.Contains(err.Error(), pw) {
			t.Errorf("%s: the error repeats the password: %v", name, err)
		}
	}
	_, err := rediscache.New(rediscache.Options{URL: "x", Timeout: -1, PushTimeout: -1, MaxTags: -1, MaxRecordBytes: -1, Name: long, Prefix: long})
	for _, field := range []string{"URL", "Timeout", "PushTimeout", "MaxTags", "MaxRecordBytes", "Name", "Prefix"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error %q does not tell about %s", err, field)
		}
	}
}

func TestOptionsGood(t *testing.T) {
	co := rueidis.ClientOption{InitAddress: []string{"h:1"}, ClientTrackingOptions: []string{"BCAST"}}
	for name, o := range map[string]rediscache.Options{
		"zero":      {},
		"user":      {URL: "redis://u:p%40ss@h:6379/3"},
		"TLS":       {URL: "rediss://h?skip_verify"},
		"valkey":    {URL: "valkey://h"},
		"IPv6":      {URL: "redis://[::1]:6379/"},
		"unix":      {URL: "unix:///run/redis.sock?db=2"},
		"cluster":   {URL: "redis://a:1?addr=b:2&addr=c:3&client_name=n&dial_timeout=1s&write_timeout=2s"},
		"sentinel":  {URL: "redis://a:1?master_set=m"},
		"no host":   {URL: "redis://:6379"},
		"Client":    {Client: &co},
		"dark name": {Name: "a\"b\\c\nd\xff", Prefix: "\x00\xff\n]]--"},
	} {
		r, err := rediscache.New(o)
		if err != nil {
			t.Errorf("%s: New error = %v", name, err)
			continue
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: Close error = %v", name, err)
		}
	}
	if len(co.ClientTrackingOptions) != 1 || co.DialCtxFn != nil || co.DisableCache {
		t.Error("New changed the caller's Client")
	}
}

// TestDisabled: a cache over a disabled remote keeps its memory, as one without.
func TestDisabled(t *testing.T) {
	r, err := rediscache.New(rediscache.Options{URL: "redis://127.0.0.1:1", Disabled: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx := t.Context()
	if pos, err := r.Position(ctx); pos == 0 || err != nil {
		t.Errorf("Position = %d, %v", pos, err)
	}
	if err := r.Set(ctx, "k", record(1, "t")); err != nil {
		t.Errorf("Set error = %v", err)
	}
	if _, err := r.Get(ctx, "k"); !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("Get error = %v; want ErrNotFound", err)
	}
	if pos, err := r.Invalidate(ctx, []string{"t"}, false); pos == 0 || err != nil {
		t.Errorf("Invalidate = %d, %v", pos, err)
	}
	wctx, cancel := context.WithCancel(ctx)
	var kinds []cache.RemoteEventKind
	err = r.Watch(wctx, func(ev cache.RemoteEvent) { kinds = append(kinds, ev.Kind); cancel() })
	if !errors.Is(err, context.Canceled) || len(kinds) != 1 || kinds[0] != cache.RemoteReady {
		t.Errorf("Watch told %v and returned %v", kinds, err)
	}
	if s := r.Stats(); s.Operations != 0 || s.Connects != 0 {
		t.Errorf("Stats() = %+v; want no operation", s)
	}
}

func TestMetrics(t *testing.T) {
	r, err := rediscache.New(rediscache.Options{Name: "a\"b\\\n"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	for name, v := range r.Metrics() {
		if !strings.HasPrefix(name, "rediscache_") || !strings.HasSuffix(name, `{remote="a\"b\\\n"}`) || v != 0 {
			t.Errorf("sample %s %v", name, v)
		}
		n++
	}
	if n < 15 {
		t.Errorf("%d samples", n)
	}
	for range r.Metrics() {
		break
	}
	if s := (rediscache.Stats{}); s.HitRatio() != 0 || s.MeanTime() != 0 {
		t.Error("ratios of nothing are not 0")
	}
	if s := (rediscache.Stats{Hits: 3, Misses: 1, Time: 4 * time.Second, Operations: 2}); s.HitRatio() != 0.75 || s.MeanTime() != 2*time.Second {
		t.Errorf("HitRatio = %v, MeanTime = %v", s.HitRatio(), s.MeanTime())
	}
}
