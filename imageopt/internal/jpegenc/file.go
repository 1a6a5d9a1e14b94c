package jpegenc

// file writes the whole file, scan by scan, so that no more than the symbols of one
// are in memory.
func (e *encoder) file(sequential bool) ([]byte, error) {
	scans := progression(len(e.comps))
	if sequential {
		scans = []scan{{se: 63}}
		for i := range e.comps {
			scans[0].comps = append(scans[0].comps, i)
		}
	}
	w := &writer{out: make([]byte, 0, e.room())}
	w.out = append(w.out, 0xff, 0xd8)
	w.segment(0xe0, []byte("JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")...)
	e.header(w, sequential)
	for i := range scans {
		s := &scans[i]
		s.spare, e.Buffers.tokens = e.Buffers.tokens, nil
		if err := s.run(e, sequential); err != nil {
			return nil, err
		}
		w.codes(s)
		s.header(w, e)
		w.tokens(s)
		e.Buffers.tokens = append(s.spare, s.chunks()...)
	}
	return append(w.out, 0xff, 0xd9), nil
}

// room estimates the length of the file. For photos it is seldom off by a quarter, at
// whatever quality.
func (e *encoder) room() int {
	n := 1024
	for _, c := range e.comps {
		n += c.used*4/5 + len(c.means)/2
	}
	return n
}

func (w *writer) segment(marker byte, data ...byte) {
	w.out = append(w.out, 0xff, marker, byte((len(data)+2)>>8), byte(len(data)+2))
	w.out = append(w.out, data...)
}

// header writes the quantisers and the frame.
func (e *encoder) header(w *writer, sequential bool) {
	var dqt []byte
	for t := range min(len(e.comps), 2) {
		dqt = append(append(dqt, byte(t)), e.quant[t].table[:]...)
	}
	w.segment(0xdb, dqt...)
	sof := []byte{8, byte(e.h >> 8), byte(e.h), byte(e.w >> 8), byte(e.w), byte(len(e.comps))}
	for i, c := range e.comps {
		sof = append(sof, byte(i+1), byte(c.h<<4|c.h), byte(c.table))
	}
	marker := byte(0xc2)
	if sequential {
		marker = 0xc0
	}
	w.segment(marker, sof...)
}

// codes writes the codes that a scan uses.
func (w *writer) codes(s *scan) {
	var dht []byte
	for t, c := range s.code {
		if len(c.vals) == 0 {
			continue
		}
		dht = append(dht, byte(t>>1<<4|t&1))
		dht = append(append(dht, c.counts[:]...), c.vals...)
	}
	if len(dht) > 0 {
		w.segment(0xc4, dht...)
	}
}

func (s *scan) header(w *writer, e *encoder) {
	sos := []byte{byte(len(s.comps))}
	for _, i := range s.comps {
		t := byte(e.comps[i].table)
		switch {
		case s.ss > 0:
			t = 0 // a scan of one component has but one code
		case s.se > 0:
			t |= t << 4
		default:
			t <<= 4
		}
		sos = append(sos, byte(i+1), t)
	}
	w.segment(0xda, append(sos, byte(s.ss), byte(s.se), byte(s.ah<<4|s.al))...)
}

// tokens writes the data of a scan.
func (w *writer) tokens(s *scan) {
	var table [4][256]uint32 // bits and, above them, their number
	for t, c := range s.code {
		for sym := range table[t] {
			table[t][sym] = uint32(c.bits[sym]) | uint32(c.lens[sym])<<16
		}
	}
	for _, chunk := range s.chunks() {
		for _, t := range chunk {
			n := t >> 16 & 31
			if t&plain != 0 {
				w.put(t&0xffff, uint(n))
				continue
			}
			c := table[t>>21&3][t>>24]
			w.put(c&0xffff<<n|t&0xffff, uint(c>>16+n))
		}
	}
	w.end()
}
