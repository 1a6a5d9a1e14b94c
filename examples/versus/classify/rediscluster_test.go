package classify_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/perfblocks/perfblocks/resilience"
)

// redisClusterRows asks the nodes of a cluster of two with a client that follows no
// redirection. Key a is of slot 15495, on the second node; b of 3300, on the first.
func redisClusterRows(t *testing.T) []row {
	one, two := redisServer(t, "--cluster-enabled", "yes"), redisServer(t, "--cluster-enabled", "yes")
	a, b := redisClient(t, one), redisClient(t, two)
	run := func(c *redis.Client, command string) func(*testing.T) error {
		return func(t *testing.T) error { return words(t.Context(), c, command) }
	}
	const refusal = retry | notSent | counts
	redirect := is(resilience.ClassUnavailable, "", notSent|anyRetry|anyCounts)
	return []row{
		{"Redis CLUSTERDOWN, no slot", "redis.io: cluster spec: hash slot not served", "CLUSTERDOWN", is(resilience.ClassUnavailable, "CLUSTERDOWN", refusal), run(a, "GET a")},
		{"Redis MOVED", "redis.io: cluster spec, MOVED redirection: ask the other node; the same node is left open", "MOVED", redirect, func(t *testing.T) error {
			host, port, _ := net.SplitHostPort(two)
			ok(t, words(t.Context(), a, "CLUSTER ADDSLOTSRANGE 0 8191"))
			ok(t, words(t.Context(), b, "CLUSTER ADDSLOTSRANGE 8192 16383"))
			ok(t, words(t.Context(), b, "CLUSTER SET-CONFIG-EPOCH 2"))
			ok(t, words(t.Context(), a, "CLUSTER MEET "+host+" "+port))
			return until(t, "MOVED", func() error { return words(t.Context(), a, "GET a") })
		}},
		{"Redis CROSSSLOT", "redis.io: cluster spec: keys of several slots", "CROSSSLOT", is(resilience.ClassInvalid, "CROSSSLOT", none), run(a, "MGET a b")},
		{"Redis ASK", "redis.io: cluster spec, ASK redirection: ask the other node once; the same node is left open", "ASK", redirect, func(t *testing.T) error {
			id := must[string](t)(b.ClusterMyID(t.Context()).Result())
			for range 200 { // both must know that the cluster is well.
				if err := words(t.Context(), a, "SET {b}1 x"); err == nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			ok(t, words(t.Context(), a, "CLUSTER SETSLOT 3300 MIGRATING "+strings.TrimSpace(id)))
			return words(t.Context(), a, "GET {b}2")
		}},
		{"Redis TRYAGAIN", "redis.io: cluster spec: multiple keys while a slot moves", "TRYAGAIN", is(resilience.ClassUnavailable, "TRYAGAIN", refusal), run(a, "MGET {b}1 {b}2")},
	}
}
