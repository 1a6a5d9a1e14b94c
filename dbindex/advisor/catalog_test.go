package advisor

import (
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
)

// TestBtreeBytes holds estimates against the sizes that PostgreSQL 15 gave such indexes on
// 800,000 rows: values begin where their type may.
func TestBtreeBytes(t *testing.T) {
	tab := &table{rows: 800_000, byName: map[string]*column{}}
	for _, c := range []column{{name: "id", kind: "text", width: 26}, {name: "room", kind: "text", width: 26}, {name: "at", kind: "timestamp with time zone", width: 8}} {
		tab.columns = append(tab.columns, &c)
		tab.byName[c.name] = &c
	}
	asc := dbindex.Asc
	for _, tt := range []struct {
		index dbindex.Index
		real  int64
	}{
		{dbindex.Index{Keys: []dbindex.Key{asc("room"), asc("at")}}, 47_259_648},
		{dbindex.Index{Keys: []dbindex.Key{asc("room"), asc("at")}, Include: []string{"id"}}, 76_029_952},
		{dbindex.Index{Keys: []dbindex.Key{asc("room")}, Include: []string{"id"}}, 61_816_832},
	} {
		got := tab.btreeBytes(tt.index, tab.rows)
		if off := float64(got) / float64(tt.real); off < 0.97 || off > 1.03 {
			t.Errorf("btreeBytes(%v include %v) = %d; it took %d", tt.index.Keys, tt.index.Include, got, tt.real)
		}
	}
}
