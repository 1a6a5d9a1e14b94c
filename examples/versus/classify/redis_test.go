package classify_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/perfblocks/perfblocks/internal/realtest"
	"github.com/perfblocks/perfblocks/resilience"
)

// redisServer starts a server of this test's own, since the rows change its settings.
func redisServer(t *testing.T, settings ...string) string {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		realtest.Redis(t) // says what is missing, or fails where it is required.
		t.Skip("no redis-server on PATH; the rows need one whose settings they may change")
	}
	addr := refused(t)
	_, port, _ := net.SplitHostPort(addr)
	args := append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir(), "--enable-debug-command", "yes"}, settings...)
	c := exec.Command(path, args...)
	ok(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	probe := redisClient(t, addr)
	for range 500 {
		if err = probe.Ping(t.Context()).Err(); err == nil {
			return addr
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("redis-server does not answer: %v", err)
	return ""
}

func redisClient(t *testing.T, addr string, change ...func(*redis.Options)) *redis.Client {
	o := &redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true}
	for _, f := range change {
		f(o)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// words runs a command written as text.
func words(ctx context.Context, c interface {
	Do(context.Context, ...any) *redis.Cmd
}, command string) error {
	var args []any
	for w := range strings.FieldsSeq(command) {
		args = append(args, w)
	}
	return c.Do(ctx, args...).Err()
}

// state is a command's error while the server is in the state that set makes.
func state(c *redis.Client, set, unset, command string) func(*testing.T) error {
	return func(t *testing.T) error {
		run := func(list string) {
			for s := range strings.SplitSeq(list, ";") {
				ok(t, words(context.WithoutCancel(t.Context()), c, s))
			}
		}
		run(set)
		defer run(unset)
		return words(t.Context(), c, command)
	}
}

// until repeats a command until it fails so that the text is met, for 10 s at most.
func until(t *testing.T, text string, call func() error) error {
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err = call(); err != nil && strings.Contains(err.Error(), text) {
			return err
		}
	}
	return err
}

// loading asks while the server reads its data again, slowly.
func loading(ask func(*testing.T) error, c *redis.Client) func(*testing.T) error {
	return func(t *testing.T) error {
		ctx := t.Context()
		ok(t, words(ctx, c, "DEBUG POPULATE 3000"))
		ok(t, words(ctx, c, "CONFIG SET key-load-delay 300 loading-process-events-interval-bytes 1024"))
		done := make(chan error, 1)
		go func() { done <- words(ctx, c, "DEBUG RELOAD") }()
		err := until(t, "LOADING", func() error { return ask(t) })
		ok(t, <-done)
		ok(t, words(ctx, c, "FLUSHALL"))
		return err
	}
}

// busy asks while a script runs without end.
func busy(c *redis.Client) func(*testing.T) error {
	return func(t *testing.T) error {
		ctx := t.Context()
		ok(t, words(ctx, c, "CONFIG SET busy-reply-threshold 10"))
		done := make(chan error, 1)
		go func() { done <- c.Eval(ctx, "while true do end", nil).Err() }()
		err := until(t, "BUSY", func() error { return words(ctx, c, "GET k") })
		ok(t, words(ctx, c, "SCRIPT KILL"))
		<-done
		return err
	}
}

// redisRows follows redis.io: a command that the server refuses for its own state,
// before it runs, is not executed. The code is the reply's first word, which the
// protocol calls the error prefix; "ERR" alone says nothing and is not compared.
func redisRows(t *testing.T) []row {
	addr := redisServer(t)
	c := redisClient(t, addr, func(o *redis.Options) { o.ReadTimeout = 5 * time.Second })
	const refusal = retry | notSent | counts
	bad, away, over := resilience.ClassInvalid, resilience.ClassUnavailable, resilience.ClassOverloaded
	say := func(name, ref, text string, w want, set, unset, command string) row {
		return row{"Redis " + name, "redis.io: " + ref, text, w, state(c, set, unset, command)}
	}
	plain := func(name, ref, text string, w want, before, command string) row {
		return say(name, ref, text, w, before, "DEL k", command)
	}
	client := func(change func(*redis.Options)) func(*testing.T) error {
		return func(t *testing.T) error { return redisClient(t, addr, change).Set(t.Context(), "k", "v", 0).Err() }
	}
	rows := []row{
		{"Redis nil", "go doc redis.Nil: key does not exist", "nil", is(resilience.ClassNotFound, "", none), func(t *testing.T) error { return c.Get(t.Context(), "nothing").Err() }},
		plain("WRONGTYPE", "data types: operation against the wrong kind of value", "WRONGTYPE", is(bad, "WRONGTYPE", none), "SET k v", "LPUSH k x"),
		plain("unknown command", "RESP, errors: a generic ERR", "unknown command", is(bad, "", none), "PING", "NOSUCHCOMMAND x"),
		plain("no integer", "INCR: an error if the value is no integer", "not an integer", is(bad, "", none), "SET k v", "INCR k"),
		plain("BUSYGROUP", "XGROUP CREATE: the group exists", "BUSYGROUP", is(bad, "BUSYGROUP", none), "XGROUP CREATE k g $ MKSTREAM", "XGROUP CREATE k g $"),
		plain("NOGROUP", "XREADGROUP: no such group", "NOGROUP", is(resilience.ClassNotFound, "NOGROUP", none), "XADD k * a b", "XREADGROUP GROUP g me STREAMS k >"),
		{"Redis BUSYKEY", "redis.io: RESTORE: the key exists", "BUSYKEY", is(bad, "BUSYKEY", none), func(t *testing.T) error {
			ok(t, c.Set(t.Context(), "k", "v", 0).Err())
			return c.Restore(t.Context(), "k", 0, must[string](t)(c.Dump(t.Context(), "k").Result())).Err()
		}},
		plain("NOSCRIPT", "EVALSHA: load the script with EVAL", "NOSCRIPT", is(resilience.ClassNotFound, "NOSCRIPT", none), "PING", "EVALSHA "+strings.Repeat("0", 40)+" 0"),
		{"Redis EXECABORT", "redis.io: transactions: discarded because of previous errors", "EXECABORT", is(bad, "EXECABORT", none), func(t *testing.T) error {
			conn := c.Conn()
			defer conn.Close()
			ok(t, words(t.Context(), conn, "MULTI"))
			_ = words(t.Context(), conn, "NOSUCHCOMMAND")
			return words(t.Context(), conn, "EXEC")
		}},
		{"Redis transaction failed", "go doc redis.TxFailedErr; redis.io: WATCH, optimistic locking", "transaction failed", is(resilience.ClassConflict, "", retry), func(t *testing.T) error {
			return c.Watch(t.Context(), func(tx *redis.Tx) error {
				ok(t, c.Incr(t.Context(), "w").Err())
				_, err := tx.TxPipelined(t.Context(), func(p redis.Pipeliner) error { return p.Set(t.Context(), "w", 1, 0).Err() })
				return err
			}, "w")
		}},
		say("READONLY", "replication: a replica is read-only", "READONLY", is(away, "READONLY", refusal), "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "SET k v"),
		say("MASTERDOWN", "replication, replica-serve-stale-data no", "MASTERDOWN", is(away, "MASTERDOWN", refusal), "CONFIG SET replica-serve-stale-data no;REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "GET k"),
		say("NOREPLICAS", "replication, min-replicas-to-write: the write is not accepted", "NOREPLICAS", is(away, "NOREPLICAS", refusal), "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "SET k v"),
		say("OOM", "eviction, noeviction: no command that uses memory", "OOM", is(over, "OOM", refusal), "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "SET k v"),
		{"Redis BUSY", "redis.io: EVAL, busy-reply-threshold", "BUSY", is(over, "BUSY", refusal), busy(c)},
		{"Redis LOADING", "redis.io: persistence: the data is being loaded", "LOADING", is(away, "LOADING", refusal), loading(func(t *testing.T) error { return words(t.Context(), c, "GET k") }, c)},
		{"Redis NOAUTH", "redis.io: AUTH: refused until authenticated; the reply comes of the command itself", "NOAUTH", is(resilience.ClassUnauthorized, "NOAUTH", anyNotSent), func(t *testing.T) error {
			ok(t, words(t.Context(), c, "ACL SETUSER default resetpass >secret"))
			defer words(context.WithoutCancel(t.Context()), c, "ACL SETUSER default nopass")
			return client(func(*redis.Options) {})(t)
		}},
		{"Redis WRONGPASS", "redis.io: AUTH: of the login, before any command", "WRONGPASS", is(resilience.ClassUnauthorized, "WRONGPASS", notSent), client(func(o *redis.Options) { o.Username, o.Password = "nobody", "x" })},
		{"Redis NOPERM", "redis.io: ACL", "NOPERM", is(resilience.ClassUnauthorized, "NOPERM", none), func(t *testing.T) error {
			ok(t, words(t.Context(), c, "ACL SETUSER reader on >p ~* +get"))
			return client(func(o *redis.Options) { o.Username, o.Password = "reader", "p" })(t)
		}},
		{"Redis paused", "redis.io: CLIENT PAUSE; go doc redis.Options.ReadTimeout", "timeout", is(resilience.ClassTimeout, "", retry|counts), func(t *testing.T) error {
			ok(t, words(t.Context(), c, "CLIENT PAUSE 300"))
			return redisClient(t, addr, func(o *redis.Options) { o.ReadTimeout, o.Protocol = 50*time.Millisecond, 2 }).Get(t.Context(), "k").Err()
		}},
		{"Redis killed", "redis.io: CLIENT KILL closes the connection", "EOF", is(away, "", retry|counts), func(t *testing.T) error {
			conn := c.Conn()
			defer conn.Close()
			id := must[int64](t)(conn.ClientID(t.Context()).Result())
			time.AfterFunc(100*time.Millisecond, func() { _ = words(context.WithoutCancel(t.Context()), c, fmt.Sprint("CLIENT KILL ID ", id)) })
			return conn.BLPop(t.Context(), 3*time.Second, "nothing").Err()
		}},
		{"Redis pool timeout", "go doc redis.ErrPoolTimeout: our own pool is spent", "pool timeout", is(over, "", retry|notSent), func(t *testing.T) error {
			c := redisClient(t, addr, func(o *redis.Options) { o.PoolSize, o.PoolTimeout = 1, 20*time.Millisecond })
			conn := c.Conn()
			defer conn.Close()
			ok(t, conn.Ping(t.Context()).Err())
			return c.Ping(t.Context()).Err()
		}},
		{"Redis client closed", "go doc redis.ErrClosed: closed by ourselves, nothing sent", "client is closed", is(resilience.ClassPermanent, "", notSent), func(t *testing.T) error {
			c := redisClient(t, addr)
			ok(t, c.Close())
			return c.Ping(t.Context()).Err()
		}},
		{"Redis refused", "connect(2) ECONNREFUSED", "refused", is(away, "ECONNREFUSED", refusal|variant), func(t *testing.T) error { return redisClient(t, refused(t)).Ping(t.Context()).Err() }},
	}
	return append(rows, rueidisRows(t, addr, c)...)
}

// rueidisRows are replies that go-redis gets too, as another driver tells them.
func rueidisRows(t *testing.T, addr string, c *redis.Client) []row {
	o := rueidis.ClientOption{InitAddress: []string{addr}, DisableRetry: true, DisableCache: true, ForceSingleClient: true, ConnWriteTimeout: time.Second}
	r := must[rueidis.Client](t)(rueidis.NewClient(o))
	t.Cleanup(r.Close)
	do := func(args ...string) func(*testing.T) error {
		return func(t *testing.T) error { return r.Do(t.Context(), r.B().Arbitrary(args...).Build()).Error() }
	}
	return []row{
		{"rueidis nil", "go doc rueidis.Nil", "nil", is(resilience.ClassNotFound, "", none), do("GET", "nothing")},
		{"rueidis WRONGTYPE", "redis.io: data types", "WRONGTYPE", is(resilience.ClassInvalid, "WRONGTYPE", variant), func(t *testing.T) error { ok(t, do("SET", "r", "v")(t)); return do("LPUSH", "r", "x")(t) }},
		{"rueidis LOADING", "redis.io: persistence", "LOADING", is(resilience.ClassUnavailable, "LOADING", retry|notSent|counts|variant), loading(do("GET", "k"), c)},
		{"rueidis deadline", "go doc context.DeadlineExceeded; redis.io: CLIENT PAUSE", "deadline", is(resilience.ClassTimeout, "", retry|counts), func(t *testing.T) error {
			ok(t, words(t.Context(), c, "CLIENT PAUSE 300"))
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			return r.Do(ctx, r.B().Arbitrary("GET", "k").Build()).Error()
		}},
		{"rueidis no cache", "go doc rueidis.ErrNoCache: the server cannot track keys", "client", is(resilience.ClassPermanent, "", notSent), func(t *testing.T) error {
			p := o
			p.AlwaysRESP2, p.DisableCache = true, false
			_, err := rueidis.NewClient(p)
			if err == nil {
				err = errors.New("took it")
			}
			return err
		}},
		{"rueidis closed", "go doc rueidis.ErrClosing: closing, or the server is gone, which is left open", "closing", is(resilience.ClassUnavailable, "", notSent|anyRetry|anyCounts), func(t *testing.T) error {
			q := must[rueidis.Client](t)(rueidis.NewClient(o))
			q.Close()
			return q.Do(t.Context(), q.B().Ping().Build()).Error()
		}},
	}
}
