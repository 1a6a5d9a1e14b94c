package main

import (
	"net/http"
	"strings"
	"testing"
)

func (s *service) flip(name string, on bool) {
	s.t.Helper()
	path := "/debug/performance/switches/" + name + "?on=" + map[bool]string{true: "true", false: "false"}[on]
	s.check(s.do("POST", path, "", nil), http.StatusNoContent, nil)
}

// TestSwitches turns each switch on and off, and sees what it does.
func TestSwitches(t *testing.T) {
	s := start(t, nil)
	user := s.app.busiest[0]
	ask := func() (a answer) {
		s.post("/api/ask", map[string]string{"user": user, "prompt": "hello"}, 200, &a)
		return a
	}
	figures := func() (f snapshot) {
		s.get("/api/debug/performance", 200, &f)
		return f
	}
	if ask().Degraded {
		t.Fatal("the model is down before it is switched off")
	}
	s.flip("upstream", true)
	if !ask().Degraded {
		t.Error("the model answers while it is switched off")
	}
	s.flip("upstream", false)

	before := figures().Memory.Heap
	s.flip("memory", true)
	s.app.monitor.Check(t.Context())
	if held := int64(len(s.app.switches.ballast)) << 20; held < 64<<20 {
		t.Errorf("the memory switch holds %d bytes; heap before %d", held, before)
	}
	s.flip("memory", false)
	if s.app.switches.ballast != nil {
		t.Error("the ballast is still held")
	}

	plan := func() string {
		plans, err := s.app.store.Plans(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return plans["page"]
	}
	indexed := plan()
	s.flip("index", true)
	if got := plan(); got == indexed {
		t.Errorf("the plan without the index is the same: %s", got)
	}
	s.flip("index", false)
	if got := plan(); got != indexed {
		t.Errorf("the plan afterwards = %s; want %s", got, indexed)
	}

	s.flip("cdn", true)
	if on := figures().Switches; !on["cdn"] || on["upstream"] || len(on) != 7 {
		t.Errorf("switches = %v", on)
	}
}

// TestSwitchesRefuse: switches are for this machine only, and say what they take.
func TestSwitchesRefuse(t *testing.T) {
	s := start(t, nil)
	for path, want := range map[string]int{"cdn?on=maybe": 400, "nothing?on=true": 404, "memory?on=true&bytes=x": 400} {
		s.check(s.do("POST", "/debug/performance/switches/"+path, "", nil), want, nil)
	}
	s.check(s.do("POST", "/debug/performance/switches/cdn?on=true", "", nil, "X-Forwarded-For", "203.0.113.1"), 403, nil)
}

// TestBaseline: without the blocks the map answers, and does not see writes.
func TestBaseline(t *testing.T) {
	s := start(t, nil, "-baseline", "-faults=false")
	user := s.app.busiest[0]
	var list struct{ Conversations []struct{ ID string } }
	s.get("/api/conversations?user="+user, 200, &list)
	path := "/api/conversations/" + list.Conversations[0].ID + "/messages"
	var p page
	s.get(path, 200, &p)
	s.post(path, map[string]string{"content": "fresh"}, 200, nil)
	var again page
	s.get(path, 200, &again)
	if again.Messages[0].ID != p.Messages[0].ID {
		t.Error("the map of the baseline saw a write")
	}
	var f snapshot
	s.get("/api/debug/performance", 200, &f)
	if f.Cache.HitRate <= 0 || len(f.Off) != len(blocks) {
		t.Errorf("hit rate %v, off %v; want hits of the map and all blocks off", f.Cache.HitRate, f.Off)
	}
	plans, err := s.app.store.Plans(t.Context())
	if err != nil || strings.Contains(plans["page"], "SCAN ") {
		t.Errorf("page without a foreign-key index: %s, %v", plans["page"], err)
	}
}
