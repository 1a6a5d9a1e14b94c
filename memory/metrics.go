package memory

import "strings"

// metricSet yields metrics of one object until the consumer has enough.
type metricSet struct {
	yield  func(string, float64) bool
	labels string // name="value", without braces
	done   bool
}

func (m *metricSet) add(name string, v float64) {
	m.done = m.done || !m.yield(name+"{"+m.labels+"}", v)
}

// with adds a second label, whose value needs no escaping.
func (m *metricSet) with(name, key, value string, v float64) {
	m.done = m.done || !m.yield(name+"{"+m.labels+","+key+`="`+value+`"}`, v)
}

// labels returns key="value" in the exposition format of Prometheus.
func labels(key, value string) string {
	return key + `="` + labelEscaper().Replace(value) + `"`
}

func labelEscaper() *strings.Replacer {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
}
