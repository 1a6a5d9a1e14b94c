// Package store is the chat service's database: schema, seed data and queries,
// on embedded SQLite or PostgreSQL through database/sql.
//
// Tables and distributions follow a chat application made with Prisma: quoted
// PascalCase tables, camelCase columns, text keys. A time is a timestamptz on
// PostgreSQL and integer milliseconds since 1970 on SQLite, as Prisma keeps it.
package store
