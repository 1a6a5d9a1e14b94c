// Package rediscache is a second level of package cache in Redis: records that the
// nodes of a service share, and invalidations that reach all of them.
//
// # Getting started
//
//	remote, err := rediscache.New(rediscache.Options{URL: "redis://localhost:6379/0", Prefix: "chat:"})
//	if err != nil {
//		return err
//	}
//	defer remote.Close()
//	c, err := cache.New(cache.Options{Remote: remote})
//	users, err := cache.Add(c, cache.Strategy[User]{Name: "user_data", Codec: cache.JSON[User]()})
//
// Close the cache before its remote. Redis need not be up for any of this.
//
// # Units
//
// Durations are [time.Duration]; Redis keeps them in milliseconds. Sizes are in
// bytes. A position is an incarnation in the upper 32 bits and a count in the lower.
//
// # Concurrency
//
// All methods are safe for concurrent use. An operation runs on a goroutine that
// lasts until Redis answers or the connection breaks; at most 256 do, and a caller
// waits for its turn, and for the answer, no longer than its ctx and Options.Timeout.
// Hooks run on the goroutine that did the work. [New] starts nothing; [Remote.Close]
// waits for all goroutines.
//
// What holds on a Redis that is up: an [Remote.Invalidate] that returned is seen by
// every later [Remote.Get] on every node. A record whose load began before an
// invalidation of one of its tags is never returned after it. Watchers get every
// invalidation in the order of positions, or are told that they missed some.
//
// # Errors
//
// [New] returns errors matching [ErrOptions]. [Remote.Get] returns an error matching
// cache.ErrNotFound for all that is not a valid record of the key: garbage is a miss.
// Operations return [ErrClosed] after Close, and else an error that matches that of
// the ctx, or tells what the network or Redis said. No error holds a password, a
// value, or the arguments of a command.
//
// # Cost
//
// Each method but Watch is one round trip, by one script of which only the name is
// sent, and O(n) in the tags. On Redis Cluster with a Prefix that has no hash tag,
// Get is two. Redis keeps for each record its data, 48 bytes, the codec's name, and
// the tags with 4 bytes each; and for the last 100,000 to 200,000 invalidated tags
// (Options.MaxTags) a field of a hash each. An operation costs a goroutine. Every
// node pings Redis three times per Options.PushTimeout.
//
// # Limits
//
//   - Redis 6 or newer, or a server that is true to it: scripts, RESP3, and the
//     run_id of INFO. An ACL user needs the keys ~prefix*, the channels &prefix*, and
//     +evalsha +eval +info +hmget +hset +hlen +persist +rename +unlink +strlen +get
//     +set +pttl +getrange +publish +subscribe +unsubscribe +ping +hello +select.
//   - All tags of a prefix are in one slot, on one node of a Redis Cluster. Records
//     spread over all, unless the Prefix has a hash tag: then Get is one round trip.
//   - A restart of Redis and a failover to a replica make all records invalid, even
//     where Redis kept them: the last invalidations may be missing from what it kept.
//     A former master that takes over again, without having been restarted, is found
//     out when a node that has seen a later position speaks to it.
//   - A node that is cut off from Redis serves from memory for Options.PushTimeout
//     and then cache.Options.TagRecheck more, without hearing of invalidations.
//   - Redis Cluster, sentinels and TLS need a Client or URL that says so. The push
//     connection of a cluster goes to the node of the tags.
//   - A lease (cache.Strategy.Lease) is a key of its own, deleted after the load or when
//     its time is up. Those who wait for it ask again every 2 to 50 ms.
//   - Reserved: the keys that begin with Prefix and "r:", "l:" or "tags:".
//
// # Background
//
// Redis keeps, per tag, the count of its last invalidation; a record carries the
// count that was read before its value was loaded. Comparing them needs no clock,
// no lock, and no list of the keys that have a tag. When the table of tags is full, the
// older half is forgotten, and its highest count stands for all tags in it. A random
// incarnation, above all that any node has seen, tells lost counts from kept ones.
package rediscache
