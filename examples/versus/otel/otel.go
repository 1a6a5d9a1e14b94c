package otel

import (
	"context"
	"iter"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Metered is any block.
type Metered interface {
	Metrics() iter.Seq2[string, float64]
}

// Register lets a meter observe the block's figures whenever it is read. A family that
// appears later is not seen: register a block when it is set up as it will be.
func Register(m metric.Meter, b Metered) (metric.Registration, error) {
	families := map[string]metric.Float64Observable{}
	var all []metric.Observable
	for name := range b.Metrics() {
		family, _ := split(name)
		if families[family] != nil {
			continue
		}
		var o metric.Float64Observable
		var err error
		if strings.HasSuffix(family, "_total") {
			o, err = m.Float64ObservableCounter(family)
		} else {
			o, err = m.Float64ObservableGauge(family)
		}
		if err != nil {
			return nil, err
		}
		families[family] = o
		all = append(all, o)
	}
	return m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		for name, value := range b.Metrics() {
			family, labels := split(name)
			if o := families[family]; o != nil {
				to.ObserveFloat64(o, value, metric.WithAttributes(labels...))
			}
		}
		return nil
	}, all...)
}

// split takes a name such as cache_hits_total{cache="a",strategy="b"} apart.
func split(name string) (family string, labels []attribute.KeyValue) {
	family, rest, ok := strings.Cut(name, "{")
	for ok {
		key, value, found := strings.Cut(rest, `="`)
		if !found {
			break
		}
		end := 0
		for end < len(value) && value[end] != '"' {
			if value[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end, len(value))
		text := strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(value[:end])
		labels = append(labels, attribute.String(key, text))
		rest = strings.TrimPrefix(value[min(end+1, len(value)):], ",")
	}
	return family, labels
}
