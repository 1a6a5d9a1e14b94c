// Command chatserver is a chat and content service that uses all six packages of
// this module on its request paths, as a service would.
//
//	go run ./examples/chatserver
//
// It needs nothing but Go: an embedded SQLite database is filled in a temporary
// directory, an AI upstream and an object store are emulated on loopback, where
// they fail now and then, and demo visitors use the service, so that the page at
// /debug/performance is alive at once. Read wiring.go first: it is the recipe.
//
// # Flags
//
//	-addr 127.0.0.1:8080   where to listen
//	-demo=false            no demo visitors
//	-users 2000            size of the seeded data
//	-data DIR              keep the data here between runs
//	-migrations DIR        write the index migrations of Prisma, goose and golang-migrate, and exit
//	-engine default        the cache's engine: default, otter or ristretto
//	-off cache,cdn         pass through these blocks: cache, resilience, memory, cdn, imageopt, dbindex
//	-baseline              none of the blocks, but foreign-key indexes and a map of 30 seconds
//	-faults=false          the emulated services fail only by the switches of the page
//
// # Environment
//
//	DATABASE_URL       postgres://… instead of SQLite (tables go into the schema perfblocks_chat)
//	REDIS_URL          redis://… as the cache's second level
//	CDN_PROVIDER       cloudinary, s3, vercel or local, with the variables of package cdnenv
//	DEBUG_TOKEN        lets DELETE /debug/performance and the page's switches come from elsewhere than
//	                   loopback, with Authorization: Bearer TOKEN
//	GOMEMLIMIT         memory limit, as for every Go program
//
// # What a crash loses
//
// No message and no upload that was acknowledged. What calls to the model cost is
// written in batches, and a process that is killed loses the last second of it; one
// that is told to stop writes it first. See spent.go.
package main
