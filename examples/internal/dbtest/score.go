package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing/fstest"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// Score tells how a lint fared on one schema.
type Score struct {
	Planted, Found int
	False          []dbindex.Finding // in the schema as its authors meant it
	Missed         []Plant           // planted and not found
}

func (s *Score) plant(p Plant, list []dbindex.Finding) {
	s.Planted++
	for _, f := range list {
		if f.ID == p.ID && (p.Index == "" || f.Index == p.Index) {
			s.Found++
			return
		}
	}
	s.Missed = append(s.Missed, p)
}

// ScoreFiles reads the text of a schema as a migration file, then with each fault in a
// second file.
func ScoreFiles(schema, text string) (s Score, err error) {
	lint := func(plant string) ([]dbindex.Finding, error) {
		files := fstest.MapFS{"1_schema.sql": {Data: []byte(text)}, "2_plant.sql": {Data: []byte(plant)}}
		return dbindex.LintFiles(dbindex.Postgres(15), files, dbindex.LintOptions{})
	}
	if s.False, err = lint(""); err != nil {
		return s, err
	}
	for _, p := range Plants() {
		if p.Schema != schema || p.Server {
			continue
		}
		list, err := lint(p.SQL + ";")
		if err != nil {
			return s, err
		}
		s.plant(p, list)
	}
	return s, nil
}

// ScoreLive creates the schema in an empty PostgreSQL database, and inspects it as it
// is and with each fault.
func ScoreLive(ctx context.Context, db *sql.DB, schema, text string) (s Score, err error) {
	if _, err := db.ExecContext(ctx, text); err != nil {
		return s, fmt.Errorf("schema %s: %w", schema, err)
	}
	lint := func() ([]dbindex.Finding, error) {
		found, err := live.Inspect(ctx, db, live.InspectOptions{})
		if err == nil && len(found.Unknown) > 0 {
			err = fmt.Errorf("schema %s: not understood: %v", schema, found.Unknown)
		}
		return dbindex.Lint(dbindex.Postgres(15), found, dbindex.LintOptions{}), err
	}
	if s.False, err = lint(); err != nil {
		return s, err
	}
	for _, p := range Plants() {
		if p.Schema != schema || p.Undo == "" {
			continue
		}
		if _, err := db.ExecContext(ctx, p.SQL); err != nil {
			return s, fmt.Errorf("%s: %w", p.SQL, err)
		}
		list, err := lint()
		if err != nil {
			return s, err
		}
		s.plant(p, list)
		if _, err := db.ExecContext(ctx, p.Undo); err != nil {
			return s, fmt.Errorf("%s: %w", p.Undo, err)
		}
	}
	return s, nil
}

// ChatText returns the text of the chat application's tables with its indexes.
func ChatText(tables string) (string, error) {
	var b strings.Builder
	b.WriteString(tables)
	for _, ix := range ChatIndexes() {
		create, err := ix.SQL(dbindex.Postgres(15))
		if err != nil {
			return "", err
		}
		b.WriteString(create + ";\n")
	}
	return b.String(), nil
}
