package otel_test

import (
	"maps"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/perfblocks/perfblocks/examples/versus/otel"
	"github.com/perfblocks/perfblocks/memory"
)

// TestRegister reads a block through the SDK, and compares each figure with the block's.
func TestRegister(t *testing.T) {
	c, err := memory.NewCache(memory.CacheOptions[string, int]{Name: `a "quoted", name`, MaxItems: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	reg, err := otel.Register(provider.Meter("test"), c)
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Unregister()
	if err := c.Set("tea", 42); err != nil { // after Register: the figures are read afresh
		t.Fatal(err)
	}
	c.Get("tea")
	var got metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	sum := map[string]float64{}
	for _, scope := range got.ScopeMetrics {
		for _, m := range scope.Metrics {
			var points []metricdata.DataPoint[float64]
			switch data := m.Data.(type) {
			case metricdata.Sum[float64]:
				points = data.DataPoints
			case metricdata.Gauge[float64]:
				points = data.DataPoints
			}
			for _, p := range points {
				if name, ok := p.Attributes.Value("cache"); !ok || name.AsString() != `a "quoted", name` {
					t.Errorf("%s has the labels %v", m.Name, p.Attributes)
				}
				sum[m.Name] += p.Value
			}
		}
	}
	want := map[string]float64{}
	for name, v := range c.Metrics() {
		for family := range sum {
			if len(name) > len(family) && name[:len(family)] == family && name[len(family)] == '{' {
				want[family] += v
			}
		}
	}
	if len(sum) < 10 || sum["memory_cache_hits_total"] != 1 || !maps.Equal(sum, want) {
		t.Errorf("figures %v; want %v", sum, want)
	}
}
