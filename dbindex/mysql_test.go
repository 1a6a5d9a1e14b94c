package dbindex_test

import (
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
)

// TestMySQLManual holds the statements for MySQL against the grammar of its manual:
// CREATE INDEX (15.1.15 in 8.0), ALTER TABLE (15.1.9), DROP INDEX (15.1.27) and "Online
// DDL Operations". No test runs them on a MySQL server.
func TestMySQLManual(t *testing.T) {
	key := []dbindex.Key{{Column: "a", Prefix: 10}, dbindex.Desc("b"), dbindex.Expr("lower(`c`)")}
	first := dbindex.Index{Name: "i", Schema: "db", Table: "t", Keys: key, Unique: true}
	hidden, other, renamed := first, first, first
	hidden.Ignored = true
	other.Keys = key[:2]
	renamed.Name = "j"
	for _, tc := range []struct {
		name       string
		want, have []dbindex.Index
		blocking   bool
		sql        string
	}{
		{"create", []dbindex.Index{first}, nil, false, "CREATE UNIQUE INDEX `i` ON `db`.`t` (`a`(10), `b` DESC, (lower(`c`))) ALGORITHM=INPLACE LOCK=NONE;\n"},
		{"create, blocking", []dbindex.Index{first}, nil, true, "CREATE UNIQUE INDEX `i` ON `db`.`t` (`a`(10), `b` DESC, (lower(`c`)));\n"},
		{"drop", nil, []dbindex.Index{first}, false, "ALTER TABLE `db`.`t` DROP INDEX `i`, ALGORITHM=INPLACE, LOCK=NONE;\n"},
		{"drop, blocking", nil, []dbindex.Index{first}, true, "DROP INDEX `i` ON `db`.`t`;\n"},
		{"rename", []dbindex.Index{renamed}, []dbindex.Index{first}, false, "ALTER TABLE `db`.`t` RENAME INDEX `i` TO `j`;\n"},
		{"hide", []dbindex.Index{hidden}, []dbindex.Index{first}, false, "ALTER TABLE `db`.`t` ALTER INDEX `i` INVISIBLE;\n"},
		{"show", []dbindex.Index{first}, []dbindex.Index{hidden}, false, "ALTER TABLE `db`.`t` ALTER INDEX `i` VISIBLE;\n"},
		{"replace", []dbindex.Index{other}, []dbindex.Index{first}, false,
			"CREATE UNIQUE INDEX `i_6148ff68` ON `db`.`t` (`a`(10), `b` DESC) ALGORITHM=INPLACE LOCK=NONE;\n" +
				"ALTER TABLE `db`.`t` DROP INDEX `i`, ALGORITHM=INPLACE, LOCK=NONE;\n" +
				"ALTER TABLE `db`.`t` RENAME INDEX `i_6148ff68` TO `i`;\n"},
	} {
		plan, err := dbindex.Diff(dbindex.MySQL(8, 0), tc.want, tc.have)
		plan.Blocking = tc.blocking
		if err != nil || plan.String() != tc.sql {
			t.Errorf("%s: %v\n%swant\n%s", tc.name, err, plan, tc.sql)
		}
	}
}
