package jpegdec

// skim looks at the headers of all scans, h being the first, to learn how many
// coefficients of each component are needed: those of the scale, and all of a band
// whose refinement would touch one of them, since its bits cannot be told apart
// without the others.
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
				if h.ah > 0 && h.ss <= sc.c.limit && h.se > sc.c.limit {
					sc.c.limit, more = h.se, true
				}
			}
		}
	}
	for i := range d.comps {
		d.comps[i].per = d.comps[i].limit + 1
	}
}

// needed reports whether a scan has anything that the scale needs.
func (d *decoder) needed(h scanHeader) bool {
	for _, sc := range h.comps {
		if h.ss <= sc.c.limit {
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
		if c := sc.c; c.coefs == nil {
			c.coefs = make([]int16, c.mw*c.mh*c.per)
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
	return d.eachMCU(c.bw, c.bh, func(x, y int) bool {
		return block(ac, c.coefs[(y*c.mw+x)*c.per:][:c.per], h)
	})
}

func (d *decoder) dcScan(h scanHeader) error {
	one := func(sc *scanComp, x, y int) bool {
		c := sc.c
		p := &c.coefs[(y*c.mw+x)*c.per]
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
		return d.eachMCU(sc.c.bw, sc.c.bh, func(x, y int) bool { return one(sc, x, y) })
	}
	return d.eachMCU(d.mcusX, d.mcusY, func(x, y int) bool {
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

// acFirst decodes one block of the first scan of a band.
func (d *decoder) acFirst(t *acTable, coefs []int16, h scanHeader) bool {
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
		k += run
		if k < len(coefs) && k <= h.se {
			coefs[k] = int16(v << h.al)
		}
	}
	return true
}

// acRefine decodes one more bit of a band: for each coefficient that is not zero yet
// a bit that may take it further from zero, and between them new ones.
func (d *decoder) acRefine(t *acTable, coefs []int16, h scanHeader) bool {
	k, step := h.ss, int16(1)<<h.al
	if len(coefs) <= h.se {
		return false // skim has made room for all of it
	}
	for d.eobRun == 0 && k <= h.se {
		run, v, ok := d.r.symbol(t)
		if !ok {
			return false
		}
		if v == 0 && run < 15 {
			d.endOfBand(run)
			break
		}
		k = d.correct(coefs, k, h.se, run, step)
		if v != 0 && k <= h.se {
			coefs[k] = step
			if v < 0 {
				coefs[k] = -step
			}
		}
		k++
	}
	if d.eobRun > 0 {
		d.correct(coefs, k, h.se, 64, step)
		d.eobRun--
	}
	return true
}

// correct refines coefficients from k on and returns the place of the zero that
// follows so many zeros.
func (d *decoder) correct(coefs []int16, k, se, zeros int, step int16) int {
	for ; k <= se; k++ {
		v := coefs[k]
		if v == 0 {
			if zeros == 0 {
				break
			}
			zeros--
			continue
		}
		if d.r.n == 0 {
			d.r.fill()
		}
		if d.r.take(1) != 0 && v&step == 0 {
			if v > 0 {
				coefs[k] = v + step
			} else {
				coefs[k] = v - step
			}
		}
	}
	return k
}

// reconstruct makes the planes of a progressive picture.
func (d *decoder) reconstruct() error {
	var b block
	for i := range d.comps {
		c := &d.comps[i]
		if c.coefs == nil {
			continue
		}
		c.makePlane(false)
		use := min(c.per, limits[c.denom]+1)
		for y := range c.mh {
			if err := d.ctx.Err(); err != nil {
				return err
			}
			for x := range c.mw {
				q := c.coefs[(y*c.mw+x)*c.per:][:use]
				last := 0
				b[0] = int32(q[0]) * int32(c.zq[0]>>7)
				for k, v := range q[1:] {
					if v != 0 {
						last = k + 1
						z := c.zq[last]
						b[z&127] = int32(v) * int32(z>>7)
					}
				}
				c.put(&b, last, x, y)
			}
		}
		c.coefs = nil
	}
	return nil
}
