package faulttest_test

import (
	"fmt"
	"time"

	"github.com/perfblocks/perfblocks/resilience/faulttest"
)

func ExampleSchedule() {
	for _, p := range faulttest.Schedule() {
		fmt.Println(p.Name, p.For)
	}
	// Output:
	// healthy 30s
	// down 30s
	// after down 30s
	// slow 10s
	// after slow 1m0s
	// flaky 30s
	// after flaky 30s
}

func ExampleReport() {
	r := faulttest.Report{Phases: []faulttest.PhaseReport{
		{Name: "down", Requests: 1000, Attempts: 40},
		{Name: "after down", Requests: 1000, Succeeded: 997, Attempts: 1020, Recovery: time.Second},
	}}
	after := r.Phase("after down")
	fmt.Printf("%.2f attempts per request while down\n", r.Phase("down").Load())
	fmt.Printf("%.1f %% answered afterwards, all well after %v\n", 100*after.Success(), after.Recovery)
	// Output:
	// 0.04 attempts per request while down
	// 99.7 % answered afterwards, all well after 1s
}
