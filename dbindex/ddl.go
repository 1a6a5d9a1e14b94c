package dbindex

import (
	"maps"
	"slices"
	"strings"
)

// state is the schema that statements have led to so far.
type state struct {
	d           Dialect
	indexes     map[string]Index // by key
	places      map[string]place
	fks         []ForeignKey
	columns     map[columnKey]Column
	enums       map[string][]string
	fresh       map[string]bool // tables of the file that is read
	partitioned map[string]bool
	checked     []string // statements that look for invalid indexes
}

func newState(d Dialect) state {
	return state{d: d, indexes: map[string]Index{}, places: map[string]place{}, columns: map[columnKey]Column{},
		enums: map[string][]string{}, fresh: map[string]bool{}, partitioned: map[string]bool{}}
}

func (s *state) plain(schema string) string {
	if schema == "public" && s.d.family == postgres || schema == "main" && s.d.family == sqlite {
		return ""
	}
	return schema
}

func (s *state) tableKey(schema, table string) string {
	return s.plain(schema) + "\x00" + s.d.foldTable(table)
}

func (s *state) indexKey(ix Index) string {
	ix.Schema = s.plain(ix.Schema)
	if s.d.family == postgres && len(ix.Name) > maxNameBytes {
		ix.Name = ix.Name[:maxNameBytes]
	}
	return s.d.nameKey(ix)
}

// schema returns what is there now.
func (s *state) schema() Schema {
	out := Schema{ForeignKeys: s.fks}
	for _, key := range sortedKeys(s.indexes) {
		out.Indexes = append(out.Indexes, s.indexes[key])
	}
	for _, c := range s.columns {
		if c.Values == nil {
			c.Values = s.enums[c.Type]
		}
		out.Columns = append(out.Columns, c)
	}
	return out
}

// readIndex reads CREATE INDEX and what Parse reads over.
func (s *state) readIndex(toks []token) (ix Index, online, ifNot, only, ok bool) {
	p := parser{d: s.d, toks: toks}
	ix = p.statement()
	for i, t := range toks {
		if t.is("(") {
			break
		}
		next := parser{toks: toks[i:]}
		online = online || next.take("index concurrently")
		ifNot = ifNot || next.take("if not exists")
		only = only || next.take("on only")
	}
	return ix, online, ifNot, only, p.err == nil && len(p.toks) == 0
}

// apply changes the state as the statement changes the database.
func (f *fileRun) apply(st sqlStatement, toks []token) {
	p := &parser{d: f.d, toks: toks}
	switch {
	case p.take("create index"), p.take("create unique index"):
		ix, _, ifNot, _, ok := f.readIndex(toks)
		if ok {
			ix.Name = ix.name()
			f.putIndex(st, ix, ifNot)
		}
	case p.take("create type"):
		if _, name := p.dotted(); p.take("as enum") {
			f.enums[name] = texts(p.group())
		}
	case p.take("alter type"):
		if _, name := p.dotted(); p.err == nil {
			delete(f.enums, name) // whatever was added or renamed, it is no longer known
		}
	case p.take("drop index"):
		_ = p.take("concurrently")
		f.drop(p, func(schema, name string) {
			delete(f.indexes, f.indexKey(Index{Schema: schema, Name: name, Table: f.onTable(p)}))
		})
	case p.take("drop table"):
		f.drop(p, func(schema, name string) { f.forget(f.tableKey(schema, name), nil) })
	case p.take("alter index"):
		_ = p.take("if exists")
		schema, name := p.dotted()
		key := f.indexKey(Index{Schema: schema, Name: name})
		if ix, ok := f.indexes[key]; ok && p.take("rename to") {
			delete(f.indexes, key)
			ix.Name = p.name()
			f.putIndex(st, ix, true)
		}
	case p.take("alter table"):
		f.alterTable(st, p)
	case p.take("create"):
		f.createTable(st, p)
	}
}

// onTable reads the ON of MySQL's DROP INDEX.
func (f *fileRun) onTable(p *parser) (table string) {
	if f.d.isMySQL() && p.take("on") {
		_, table = p.dotted()
	}
	return table
}

// drop calls fn with each name of a list.
func (f *fileRun) drop(p *parser, fn func(schema, name string)) {
	_ = p.take("if exists")
	for {
		schema, name := p.dotted()
		if p.err != nil {
			return
		}
		if fn(schema, name); !p.take(",") {
			return
		}
	}
}

func (f *fileRun) putIndex(st sqlStatement, ix Index, ifNot bool) {
	key := f.indexKey(ix)
	if first, ok := f.indexes[key]; ok {
		if !ifNot || first.Name != ix.Name {
			f.add(st, RuleName, Error, ix.Table, ix.Name, "", "index %q has the same name as one on %q: the second CREATE fails, or is skipped", ix.Name, first.Table)
		}
		return
	}
	f.indexes[key] = ix
	f.places[key] = place{st.file, st.line}
}

// forget removes a table with all that belongs to it, or only what names a column.
func (f *fileRun) forget(table string, column *string) {
	maps.DeleteFunc(f.indexes, func(_ string, ix Index) bool {
		return f.tableKey(ix.Schema, ix.Table) == table && (column == nil || slices.Contains(ix.Columns(), *column))
	})
	f.fks = slices.DeleteFunc(f.fks, func(fk ForeignKey) bool {
		return f.tableKey(fk.Schema, fk.Table) == table && (column == nil || slices.Contains(fk.Columns, *column))
	})
	maps.DeleteFunc(f.columns, func(k columnKey, _ Column) bool {
		return k.schema+"\x00"+k.table == table && (column == nil || k.name == f.d.foldColumn(*column))
	})
}

// texts returns the string constants of a list.
func texts(items [][]token) (list []string) {
	for _, item := range items {
		if len(item) == 1 && item[0].kind == str {
			list = append(list, strings.ReplaceAll(strings.Trim(item[0].text, "'"), "''", "'"))
		}
	}
	return list
}

// names returns the identifiers of a list of columns.
func (p *parser) names() (list []string) {
	for _, item := range p.group() {
		sub := parser{d: p.d, toks: item}
		list = append(list, sub.name())
	}
	return list
}

// tableDDL is a CREATE or ALTER TABLE that is read.
type tableDDL struct {
	*fileRun
	st            sqlStatement
	schema, table string
}

// createTable reads CREATE … TABLE; of views that hold rows only the name.
func (f *fileRun) createTable(st sqlStatement, p *parser) {
	for _, w := range []string{"or", "replace", "global", "local", "temporary", "temp", "unlogged", "materialized"} {
		p.take(w)
	}
	view := p.take("view")
	if !view && !p.take("table") {
		return
	}
	_ = p.take("if not exists")
	t := tableDDL{fileRun: f, st: st}
	t.schema, t.table = p.dotted()
	if p.err != nil {
		return
	}
	f.fresh[f.tableKey(t.schema, t.table)] = true
	if view || !p.at("(") {
		return
	}
	for _, item := range p.group() {
		t.item(&parser{d: f.d, toks: item})
	}
	if p.take("partition by") {
		f.partitioned[f.tableKey(t.schema, t.table)] = true
	}
}

// item reads a column or a constraint of a table.
func (t *tableDDL) item(p *parser) {
	name := ""
	if p.take("constraint") {
		name = p.name()
	}
	if t.constraint(p, name, nil) || name != "" || len(p.toks) == 0 || p.take("like") || p.take("exclude") {
		return
	}
	column := p.name()
	if p.err != nil || len(p.toks) == 0 {
		return
	}
	_, kind := p.dotted()
	c := Column{Schema: t.schema, Table: t.table, Name: column, Type: kind}
	if kind == "tinyint" && len(p.toks) > 2 && p.toks[1].text == "1" {
		c.Type = "tinyint(1)"
	}
	t.columns[columnKey{t.plain(t.schema), t.d.foldTable(t.table), t.d.foldColumn(column)}] = c
	for len(p.toks) > 0 && p.err == nil { // DEFAULT, NOT NULL, COLLATE, … are passed over
		if !t.constraint(p, "", []string{column}) && len(p.toks) > 0 {
			p.skip()
		}
	}
}

// skip passes one token, or a bracket with what it encloses.
func (p *parser) skip() {
	n := 1
	if p.at("(") || p.at("[") {
		n = closing(p.toks, 0) + 1
	}
	p.toks = p.toks[n:]
}

// constraint reads one constraint of a table, or of the column that is given.
func (t *tableDDL) constraint(p *parser, name string, column []string) bool {
	columns := func() []string {
		if column != nil {
			return column
		}
		return p.names()
	}
	switch {
	case p.take("primary key"):
		t.owned(p, PrimaryKey, name, columns)
	case p.take("unique"):
		_ = p.take("nulls not distinct")
		if t.d.isMySQL() && (p.take("key") || p.take("index")) {
			t.inline(p, true)
			return true
		}
		t.owned(p, UniqueConstraint, name, columns)
	case column == nil && t.d.isMySQL() && (p.take("key") || p.take("index")):
		t.inline(p, false)
	case column == nil && p.take("foreign key"):
		cols := p.names()
		if p.take("references") {
			t.reference(p, name, cols)
		}
	case column != nil && p.take("references"):
		t.reference(p, name, column)
	case p.take("check"):
		t.check(p)
	default:
		return false
	}
	return true
}

// owned records the index of a primary key or unique constraint.
func (t *tableDDL) owned(p *parser, kind Constraint, name string, columns func() []string) {
	if p.take("using index") {
		key := t.indexKey(Index{Schema: t.schema, Name: p.name()})
		if ix, ok := t.indexes[key]; ok {
			ix.Constraint, ix.Unique = kind, true
			t.indexes[key] = ix
		}
		return
	}
	cols := columns()
	if p.err != nil {
		return
	}
	ix := Index{Name: name, Schema: t.schema, Table: t.table, Unique: true, Constraint: kind}
	for _, c := range cols {
		ix.Keys = append(ix.Keys, Asc(c))
	}
	if name == "" && kind == PrimaryKey {
		ix.Name = t.table + "_pkey"
	} else if name == "" {
		ix.Name = t.table + "_" + strings.Join(cols, "_") + "_key"
	}
	key := t.indexKey(ix)
	t.indexes[key], t.places[key] = ix, place{t.st.file, t.st.line}
}

// inline records KEY name (columns) of MySQL.
func (t *tableDDL) inline(p *parser, unique bool) {
	ix := Index{Name: p.name(), Schema: t.schema, Table: t.table, Unique: unique}
	for _, item := range p.group() {
		ix.Keys = append(ix.Keys, p.key(item))
	}
	if p.err == nil {
		t.putIndex(t.st, ix, false)
	}
}

func (t *tableDDL) reference(p *parser, name string, columns []string) {
	_, ref := p.dotted()
	if p.at("(") {
		p.names()
	}
	if p.err != nil {
		return
	}
	if name == "" {
		name = t.table + "_" + strings.Join(columns, "_") + "_fkey"
	}
	t.fks = append(t.fks, ForeignKey{Name: name, Schema: t.schema, Table: t.table, Columns: columns, RefTable: ref, File: t.st.file, Line: t.st.line})
}

// check keeps a CHECK constraint with the column that it begins with.
func (t *tableDDL) check(p *parser) {
	if !p.at("(") {
		return
	}
	end := closing(p.toks, 0)
	text := p.toks[1:end]
	p.toks = p.toks[end+1:]
	c, ok := (reader{d: t.d}).pred(text, 0).(compare)
	key := columnKey{t.plain(t.schema), t.d.foldTable(t.table), c.bare()}
	if col, known := t.columns[key]; ok && known {
		col.Checks = append(col.Checks, RawSQL(joinText(text)))
		t.columns[key] = col
	}
}

func (f *fileRun) alterTable(st sqlStatement, p *parser) {
	_ = p.take("if exists")
	p.take("only")
	t := tableDDL{fileRun: f, st: st}
	t.schema, t.table = p.dotted()
	if p.err != nil {
		return
	}
	for _, action := range split(p.toks, ",") {
		t.action(&parser{d: f.d, toks: action})
	}
}

func (t *tableDDL) action(p *parser) {
	table := t.tableKey(t.schema, t.table)
	switch {
	case p.take("add"):
		p.take("column")
		_ = p.take("if not exists")
		t.item(p)
	case p.take("drop constraint"):
		_ = p.take("if exists")
		name := p.name()
		delete(t.indexes, t.indexKey(Index{Schema: t.schema, Name: name, Table: t.table}))
		t.fks = slices.DeleteFunc(t.fks, func(fk ForeignKey) bool {
			return t.tableKey(fk.Schema, fk.Table) == table && fk.Name == name
		})
	case t.d.isMySQL() && (p.take("drop index") || p.take("drop key")):
		delete(t.indexes, t.indexKey(Index{Schema: t.schema, Name: p.name(), Table: t.table}))
	case p.take("drop"):
		p.take("column")
		_ = p.take("if exists")
		if name := p.name(); p.err == nil {
			t.forget(table, &name)
		}
	case p.take("rename to"):
		t.forget(table, nil) // under its new name it is not followed
	case p.take("rename"), p.take("alter"):
		p.take("column")
		if name := p.name(); p.err == nil {
			delete(t.columns, columnKey{t.plain(t.schema), t.d.foldTable(t.table), t.d.foldColumn(name)})
			if p.take("to") {
				t.forget(table, &name)
			}
		}
	}
}
