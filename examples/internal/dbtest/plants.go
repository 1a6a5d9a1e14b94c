package dbtest

import (
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// Schemas names the files of testdata that a lint must not complain about: tables with
// the indexes that their authors meant.
func Schemas() []string { return []string{"shop", "tenants", "fleet"} }

// Plant is a fault in one of the schemas, which a lint has to find.
type Plant struct {
	Schema string // in which it is planted
	SQL    string // what plants it
	Undo   string // what takes it away again; empty when it is for migration files only
	ID     string // the rule
	Index  string // the index of the finding; empty when there is none
	Server bool   // only the server knows that two texts mean the same
}

// Plants returns the faults. Each is the least change that makes the fault: beside it
// stands, in the same schema, what looks alike and is none.
func Plants() []Plant {
	drop := func(name string) string { return "DROP INDEX " + name }
	one := func(schema, id, name, def string) Plant {
		return Plant{Schema: schema, SQL: "CREATE INDEX " + name + " ON " + def, Undo: drop(name), ID: id, Index: name}
	}
	known := func(p Plant) Plant { p.Server = true; return p }
	gone := func(schema, name, def string) Plant {
		return Plant{Schema: schema, SQL: drop(name), Undo: "CREATE INDEX " + name + " ON " + def, ID: dbindex.RuleForeignKey}
	}
	return []Plant{
		// Duplicates: of an index, of a constraint, in other words, backward.
		one("shop", dbindex.RuleDuplicate, "zz_dup", `address (customer_id)`),
		one("shop", dbindex.RuleDuplicate, "zz_dup", `product (sku)`),
		one("shop", dbindex.RuleDuplicate, "zz_dup", `"order" (placed_at) WHERE state IN ('paid')`),
		one("shop", dbindex.RuleDuplicate, "zz_dup", `"order" (updated_at) WHERE state = 'placed' OR state = 'cart'`),
		one("shop", dbindex.RuleDuplicate, "zz_dup", `customer USING gin (full_name gin_trgm_ops)`),
		one("shop", dbindex.RuleDuplicate, "zz_dup", `customer ((LOWER( "email" )) text_pattern_ops)`),
		known(one("shop", dbindex.RuleDuplicate, "zz_dup", `customer ((lower((email)::text)) text_pattern_ops)`)),
		one("tenants", dbindex.RuleDuplicate, "zz_dup", `ticket (reporter_id DESC, tenant_id DESC)`),
		one("tenants", dbindex.RuleDuplicate, "zz_dup", `webhook_delivery (run_at, id) WHERE attempts < 10 AND state = 'queued'`),
		one("fleet", dbindex.RuleDuplicate, "zz_dup", `depot USING gist (place)`),
		one("fleet", dbindex.RuleDuplicate, "zz_dup", `trip (vehicle_id DESC, began)`),
		{Schema: "fleet", SQL: `CREATE UNIQUE INDEX zz_dup ON vehicle (vin)`, Undo: drop("zz_dup"), ID: dbindex.RuleDuplicate, Index: "zz_dup"},
		// Prefixes: of an index, a constraint, a partial one, with columns that the wider one has.
		one("shop", dbindex.RuleRedundant, "zz_pre", `review (product_id)`),
		one("shop", dbindex.RuleRedundant, "zz_pre", `stock (warehouse)`),
		one("shop", dbindex.RuleRedundant, "zz_pre", `product (category_id) WHERE active`),
		one("tenants", dbindex.RuleRedundant, "zz_pre", `comment (tenant_id, ticket_id)`),
		one("tenants", dbindex.RuleRedundant, "zz_pre", `ticket (tenant_id DESC, updated_at)`),
		one("tenants", dbindex.RuleRedundant, "zz_pre", `webhook_delivery (run_at) WHERE (attempts < 10) AND NOT state <> 'queued'`),
		known(one("tenants", dbindex.RuleRedundant, "zz_pre", `webhook_delivery (run_at) WHERE (attempts < 10) AND (state)::text = 'queued'`)),
		one("fleet", dbindex.RuleRedundant, "zz_pre", `day_total (vehicle_id) INCLUDE (metres)`),
		one("fleet", dbindex.RuleRedundant, "zz_pre", `alarm (kind)`),
		// Foreign keys: of one column, of two, served only in part.
		gone("shop", "address_customer", "address (customer_id)"),
		gone("shop", "order_ship_to", `"order" (ship_to) WHERE ship_to IS NOT NULL`),
		gone("tenants", "booking_member", "booking (tenant_id, member_id)"),
		gone("tenants", "project_lead", "project (tenant_id, lead_id) WHERE lead_id IS NOT NULL"),
		gone("fleet", "alarm_seen_by", "alarm (seen_by) WHERE seen_by IS NOT NULL"),
		// The rest, one or more of each.
		one("tenants", dbindex.RuleWide, "zz_wide", `ticket (tenant_id, state, priority, due_on, created_at, updated_at)`),
		one("shop", dbindex.RuleSelectivity, "zz_bool", `customer (marketing)`),
		one("fleet", dbindex.RuleSelectivity, "zz_bool", `driver USING hash (on_duty)`),
		one("shop", dbindex.RuleConstant, "zz_const", `review (id) WHERE status = 'deleted'`),
		one("tenants", dbindex.RuleConstant, "zz_const", `ticket (due_on) WHERE state IN ('open', 'closed')`),
		one("fleet", dbindex.RuleRepeated, "zz_twice", `alarm (raised, id, raised)`),
		{Schema: "shop", SQL: "CREATE INDEX zz_now ON \"order\" (placed_at) WHERE placed_at > now()", ID: dbindex.RuleImmutable, Index: "zz_now"},
		{Schema: "fleet", SQL: "CREATE INDEX zz_vector ON alarm USING gin (to_tsvector(note))", ID: dbindex.RuleImmutable, Index: "zz_vector"},
		{Schema: "fleet", SQL: "CREATE INDEX " + strings.Repeat("z", 64) + " ON trip (metres)", ID: dbindex.RuleName, Index: strings.Repeat("z", 64)},
		{Schema: "tenants", SQL: "CREATE INDEX ticket_due ON ticket (title)", ID: dbindex.RuleName, Index: "ticket_due"},
		{Schema: "shop", SQL: "CREATE UNIQUE INDEX zz_hash ON coupon USING hash (percent)", ID: dbindex.RuleUnsupported, Index: "zz_hash"},
		// Statements of migrations.
		{Schema: "shop", SQL: "CREATE INDEX zz_block ON product (price_cents)", ID: dbindex.RuleBlocking, Index: "zz_block"},
		{Schema: "tenants", SQL: "ALTER TABLE ticket ADD UNIQUE (tenant_id, title)", ID: dbindex.RuleBlocking},
		{Schema: "fleet", SQL: "DROP INDEX driver_birthday", ID: dbindex.RuleBlocking, Index: "driver_birthday"},
		{Schema: "fleet", SQL: "BEGIN; CREATE INDEX CONCURRENTLY zz_tx ON trip (metres); COMMIT", ID: dbindex.RuleTransaction, Index: "zz_tx"},
		{Schema: "fleet", SQL: "CREATE INDEX CONCURRENTLY IF NOT EXISTS zz_if ON trip (metres)", ID: dbindex.RuleIfNotExists, Index: "zz_if"},
		{Schema: "fleet", SQL: "SET lock_timeout = '1s'; SET statement_timeout = '5s'; CREATE INDEX CONCURRENTLY zz_time ON trip (metres)", ID: dbindex.RuleTimeout, Index: "zz_time"},
	}
}
