package jpegdec

import mathbits "math/bits"

// skim looks at the headers of all scans, h being the first, to learn how far the
// scans reach that must be read: as far as the scale needs, and further where a
// refinement touches both sides of that, since its bits cannot be told apart without
// knowing which coefficients are not zero.
func (d *decoder) skim(first scanHeader) {
	d.skimmed = true
	scans := []scanHeader{first}
	ahead := decoder{data: d.data, at: d.at, comps: d.comps, progressive: true}
	for {
		m, seg, err := ahead.segment()
		if err != nil || m == 0xd9 {
			break
		}
		if m != 0xda {
			continue
		}
		if h, err := ahead.parseScan(seg); err == nil && h.ah > 0 {
			scans = append(scans, h)
		}
	}
	for more := true; more; {
		more = false
		for _, h := range scans {
			for _, sc := range h.comps {
				if h.ah > 0 && h.ss <= sc.c.reach && h.se > sc.c.reach {
					sc.c.reach, more = h.se, true
				}
			}
		}
	}
}

// needed reports whether a scan has anything that the scale needs.
func (d *decoder) needed(h scanHeader) bool {
	for _, sc := range h.comps {
		if h.ss <= sc.c.reach {
			return true
		}
	}
	return false
}

func (d *decoder) progressiveScan(h scanHeader) error {
	for _, sc := range h.comps {
		if h.ss == 0 && h.ah == 0 && d.dc[sc.dc] == nil || h.ss > 0 && d.ac[sc.ac] == nil {
			return corrupt("no Huffman table")
		}
		c := sc.c
		if c.first == nil {
			c.first = make([]int16, c.mw*c.mh)
		}
		if h.ss > 0 && c.masks == nil {
			c.masks, c.coefs = make([]uint64, c.mw*c.mh), make([]int16, c.mw*c.mh*c.limit)
		}
	}
	if h.ss == 0 {
		return d.dcScan(h)
	}
	c, ac := h.comps[0].c, d.ac[h.comps[0].ac]
	block := d.acFirst
	if h.ah > 0 {
		block = d.acRefine
	}
	return d.eachMCU(h, c.bw, c.bh, func(x, y int) bool {
		i := y*c.mw + x
		return block(ac, c.coefs[i*c.limit:][:c.limit], &c.masks[i], h)
	})
}

func (d *decoder) dcScan(h scanHeader) error {
	one := func(sc *scanComp, x, y int) bool {
		c := sc.c
		p := &c.first[y*c.mw+x]
		if h.ah > 0 {
			d.r.fill()
			*p |= int16(d.r.take(1) << h.al)
			return true
		}
		diff, ok := d.r.difference(d.dc[sc.dc])
		c.pred += diff
		*p = int16(c.pred << h.al)
		return ok
	}
	if len(h.comps) == 1 {
		sc := &h.comps[0]
		return d.eachMCU(h, sc.c.bw, sc.c.bh, func(x, y int) bool { return one(sc, x, y) })
	}
	return d.eachMCU(h, d.mcusX, d.mcusY, func(x, y int) bool {
		for i := range h.comps {
			sc := &h.comps[i]
			for v := range sc.c.v {
				for u := range sc.c.h {
					if !one(sc, x*sc.c.h+u, y*sc.c.v+v) {
						return false
					}
				}
			}
		}
		return true
	})
}

// difference decodes what the first coefficient differs from that of the block before.
func (r *bits) difference(t *dcTable) (diff int32, ok bool) {
	r.fill()
	l, size := t.lookUp(r.acc)
	if l == 0 || size > 16 {
		return 0, false
	}
	r.take(l)
	if size > 0 {
		diff = extend(int32(r.take(size)), size)
	}
	return diff, true
}

// symbol decodes a run and what follows it: a value, or, when that is zero, the code
// for the end of the band (run < 15) or for a run of 16 (15). ok is false when the
// bits are no code.
func (r *bits) symbol(t *acTable) (run int, v int32, ok bool) {
	if r.n < 32 {
		r.fill()
	}
	e := t.look[r.acc>>(64-acBits)]
	l := uint(e & 63)
	if v := int32(e) >> 16; v != 0 {
		r.take(l)
		return int(e >> 8 & 15), v, true
	}
	sym := byte(e >> 8)
	if l == 0 {
		if sym, l = t.find(uint32(r.acc >> 48)); l == 0 {
			return 0, 0, false
		}
	}
	r.take(l)
	if size := uint(sym & 15); size > 0 {
		v = extend(int32(r.take(size)), size)
	}
	return int(sym >> 4), v, true
}

// endOfBand begins a run of blocks without further coefficients.
func (d *decoder) endOfBand(run int) {
	if d.r.n < 32 {
		d.r.fill()
	}
	d.eobRun = 1<<run + int(d.r.take(uint(run)))
}

// acFirst decodes one block of the first scan of a band. coefs are those that the
// scale needs, from the second on; mask tells which of all are not zero.
func (d *decoder) acFirst(t *acTable, coefs []int16, mask *uint64, h scanHeader) bool {
	if d.eobRun > 0 {
		d.eobRun--
		return true
	}
	for k := h.ss; k <= h.se; k++ {
		run, v, ok := d.r.symbol(t)
		if !ok {
			return false
		}
		if v == 0 && run < 15 {
			d.endOfBand(run)
			d.eobRun--
			break
		}
		if k += run; v != 0 && k <= h.se {
			*mask |= 1 << k
			if k <= len(coefs) {
				coefs[k-1] = int16(v << h.al)
			}
		}
	}
	return true
}

// acRefine decodes one more bit of a band: for each coefficient that is not zero yet
// a bit that may take it further from zero, and between them new ones.
func (d *decoder) acRefine(t *acTable, coefs []int16, mask *uint64, h scanHeader) bool {
	m, rest, step := *mask, uint64(1)<<h.se<<1-uint64(1)<<h.ss, int16(1)<<h.al
	for d.eobRun == 0 && rest != 0 {
		run, v, ok := d.r.symbol(t)
		if !ok {
			return false
		}
		if v == 0 && run < 15 {
			d.endOfBand(run)
			break
		}
		zeros := rest &^ m
		for ; run > 0 && zeros != 0; run-- {
			zeros &= zeros - 1
		}
		bit := zeros & -zeros // that of the new coefficient; 0 behind the band
		d.correct(coefs, m&rest&(bit-1), step)
		if v != 0 && bit != 0 {
			*mask |= bit
			if k := mathbits.TrailingZeros64(bit); k <= len(coefs) {
				coefs[k-1] = step
				if v < 0 {
					coefs[k-1] = -step
				}
			}
		}
		rest &= -bit << 1
	}
	if d.eobRun > 0 {
		d.correct(coefs, m&rest, step)
		d.eobRun--
	}
	return true
}

// correct takes a bit for each coefficient of m, and changes those that are kept.
func (d *decoder) correct(coefs []int16, m uint64, step int16) {
	if m == 0 {
		return
	}
	kept := m & (2<<len(coefs) - 1)
	for ; kept != 0; kept &= kept - 1 {
		v := &coefs[mathbits.TrailingZeros64(kept)-1]
		if d.r.n == 0 {
			d.r.fill()
		}
		if d.r.take(1) != 0 && *v&step == 0 {
			if *v > 0 {
				*v += step
			} else {
				*v -= step
			}
		}
	}
	for n := uint(mathbits.OnesCount64(m >> (len(coefs) + 1))); n > 0; {
		if d.r.n == 0 {
			d.r.fill()
		}
		k := min(n, d.r.n)
		d.r.take(k)
		n -= k
	}
}

// reconstruct makes the planes of a progressive picture.
func (d *decoder) reconstruct() error {
	var b block
	for i := range d.comps {
		c := &d.comps[i]
		if c.first == nil {
			continue
		}
		d.makePlane(c, false)
		for y := range c.mh {
			if err := d.ctx.Err(); err != nil {
				return err
			}
			d.open(c, 1)
			for x := range c.mw {
				i := y*c.mw + x
				b[0] = int32(c.first[i]) * int32(c.zq[0]>>7)
				last := 0
				if c.masks != nil {
					last = c.spread(&b, i)
				}
				c.put(&b, last, x, y)
			}
			if err := d.done(c); err != nil {
				return err
			}
		}
		c.first, c.masks, c.coefs = nil, nil, nil
	}
	return nil
}

// spread puts the coefficients of block i into b, which is clear, and returns the
// last one.
func (c *component) spread(b *block, i int) (last int) {
	q := c.coefs[i*c.limit:][:c.limit]
	for m := c.masks[i] & (2<<c.limit - 1); m != 0; m &= m - 1 {
		last = mathbits.TrailingZeros64(m)
		z := c.zq[last&63]
		b[z&127] = int32(q[last-1]) * int32(z>>7)
	}
	return last
}
