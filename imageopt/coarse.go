package imageopt

import (
	"errors"
	"fmt"
	"io"

	"github.com/perfblocks/perfblocks/imageopt/internal/header"
)

// eighth reports whether a file is read for the means of its blocks alone.
func (w wanted) eighth(h *header.Header) bool {
	return w.scale == 8 && h.Progressive && h.Samples > 0
}

// loadCoarse reads the rest of the file and keeps what coarse leaves of it.
func (s *source) loadCoarse(limit int64) error {
	all := int64(len(s.data))
	s.data = s.data[:s.coarse.Filter(s.data)]
	for s.rest != nil {
		if err := s.room(limit); err != nil {
			return err
		}
		at := len(s.data)
		k, err := fill(s.rest, s.data[at:min(int64(cap(s.data)), int64(at)+limit+1-all)])
		if errors.Is(err, io.EOF) {
			s.rest, err = nil, nil
		}
		if err != nil {
			return fmt.Errorf("imageopt: read source: %w", err)
		}
		if all += int64(k); all > limit {
			return &LimitError{Limit: "bytes", Got: all, Max: limit}
		}
		s.data = s.data[:at+s.coarse.Filter(s.data[at:at+k])]
	}
	s.spared = all - int64(len(s.data))
	return nil
}

// firstShare is the part of a file for which room is made at first. What is kept of
// photos is 9 to 16 % of them.
const firstShare = 5

// room makes room for more of a file of which not all is kept, at the second need for as
// much as there can be.
func (s *source) room(limit int64) error {
	have := int64(cap(s.data))
	if have-int64(len(s.data)) >= firstRead || have > limit {
		return nil
	}
	n := 2 * have
	if s.size > 0 && have < s.size/firstShare {
		n = s.size / firstShare
	} else if s.size > 0 {
		n = max(s.size+1, have+firstRead)
	}
	n = min(n, limit+1)
	if err := s.hold(n); err != nil {
		return err
	}
	s.data = append(make([]byte, 0, n), s.data...)
	return nil
}
