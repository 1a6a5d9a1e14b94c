package ristrettocache_test

import (
	"testing"

	"github.com/perfblocks/perfblocks/cache/cachetest"
	"github.com/perfblocks/perfblocks/cache/ristrettocache"
)

func TestConforms(t *testing.T) { cachetest.Run(t, ristrettocache.New) }
