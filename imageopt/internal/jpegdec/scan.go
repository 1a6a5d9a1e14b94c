package jpegdec

// scanHeader is what a scan's header says.
type scanHeader struct {
	comps          []scanComp
	ss, se, ah, al int
}

type scanComp struct {
	c      *component
	dc, ac byte
}

func (d *decoder) parseScan(s []byte) (h scanHeader, err error) {
	if len(d.comps) == 0 {
		return h, corrupt("scan before its frame")
	}
	if len(s) < 1 || s[0] < 1 || int(s[0]) > len(d.comps) || len(s) != 4+2*int(s[0]) {
		return h, corrupt("scan header")
	}
	n := int(s[0])
	sum := 0
	for i := range n {
		var sc scanComp
		for j := range d.comps {
			if d.comps[j].id == s[1+2*i] {
				sc.c = &d.comps[j]
			}
		}
		if sc.c == nil {
			return h, corrupt("unknown component in a scan")
		}
		for _, other := range h.comps {
			if other.c == sc.c {
				return h, corrupt("repeated component in a scan")
			}
		}
		sc.dc, sc.ac = s[2+2*i]>>4, s[2+2*i]&15
		if sc.dc > 3 || sc.ac > 3 {
			return h, corrupt("table selector")
		}
		sum += sc.c.h * sc.c.v
		h.comps = append(h.comps, sc)
	}
	if n > 1 && sum > 10 {
		return h, corrupt("sampling factors")
	}
	if !d.progressive {
		h.se = 63
		return h, nil
	}
	t := s[1+2*n:]
	h.ss, h.se, h.ah, h.al = int(t[0]), int(t[1]), int(t[2]>>4), int(t[2]&15)
	if h.ss == 0 && h.se != 0 || h.ss > h.se || h.se > 63 || h.ss != 0 && n != 1 ||
		h.ah != 0 && h.ah != h.al+1 || h.al > 13 {
		return h, corrupt("progression")
	}
	return h, nil
}

// scan decodes the scan whose header is s, and leaves at behind its data.
func (d *decoder) scan(s []byte) error {
	h, err := d.parseScan(s)
	if err != nil {
		return err
	}
	if !d.begun && d.o.Check != nil {
		if err := d.o.Check(d.w, d.h, d.colour()); err != nil {
			return err
		}
	}
	if !d.begun && d.o.Stream != nil {
		d.rows = d.o.Stream(d.image())
	}
	d.begun = true
	if d.progressive && !d.skimmed {
		d.skim(h)
	}
	if d.progressive && !d.needed(h) {
		d.r.src, d.r.at = d.data, d.at
		for {
			at, m := d.r.marker()
			if m < 0xd0 || m > 0xd7 {
				d.at = at
				return nil
			}
			d.r.at = at + 2
		}
	}
	for _, sc := range h.comps {
		c := sc.c
		if c.zq == nil {
			q := d.quant[c.tq]
			if q == nil {
				return corrupt("no quantisation table")
			}
			c.zq = quantPlaces(q)
		}
		if d.progressive {
			continue
		}
		if c.begun && d.rows != nil {
			return errAgain
		}
		if !c.begun {
			d.makePlane(c, d.o.Partial)
		}
	}
	d.r.start(d.data, d.at)
	if d.progressive {
		err = d.progressiveScan(h)
	} else {
		err = d.sequentialScan(h)
	}
	d.at = d.r.at
	return err
}

// lost is the error for data that ended or made no sense.
func (d *decoder) lost() error {
	if at, _ := d.r.marker(); d.r.over() && at == len(d.data) {
		return truncated("scan")
	}
	return corrupt("scan data")
}

// resync goes to the restart marker number i.
func (d *decoder) resync(i int) error {
	at, m := d.r.marker()
	if m == 0 {
		return truncated("restart marker")
	}
	if m != 0xd0+byte(i&7) {
		return corrupt("restart marker")
	}
	d.r.start(d.data, at+2)
	d.eobRun = 0
	for i := range d.comps {
		d.comps[i].pred = 0
	}
	return nil
}

// eachMCU calls unit for each MCU of the scan, and goes over restart markers between
// them.
func (d *decoder) eachMCU(h scanHeader, nx, ny int, unit func(x, y int) bool) error {
	left, marker := d.restart, 0
	d.eobRun = 0
	for i := range d.comps {
		d.comps[i].pred = 0
	}
	for y := range ny {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		d.openAll(h)
		for x := range nx {
			if d.restart > 0 {
				if left == 0 {
					if d.r.over() {
						return d.lost()
					}
					if err := d.resync(marker); err != nil {
						return err
					}
					marker++
					left = d.restart
				}
				left--
			}
			if !d.r.ready() || !unit(x, y) {
				return d.lost()
			}
		}
		if err := d.doneAll(h); err != nil {
			return err
		}
	}
	if d.r.over() {
		return d.lost()
	}
	return nil
}

func (d *decoder) sequentialScan(h scanHeader) error {
	type lane struct {
		c  *component
		dc *dcTable
		ac *acTable
	}
	lanes := make([]lane, len(h.comps))
	for i, sc := range h.comps {
		lanes[i] = lane{c: sc.c, dc: d.dc[sc.dc], ac: d.ac[sc.ac]}
		if lanes[i].dc == nil || lanes[i].ac == nil {
			return corrupt("no Huffman table")
		}
		if sc.c.limit < 63 {
			lanes[i].ac.skips()
		}
	}
	var b block
	one := func(l *lane, x, y int) bool {
		c := l.c
		diff, last, ok := d.r.block(l.dc, l.ac, &b, c.zq, c.limit)
		if !ok {
			return false
		}
		c.pred += diff
		b[0] = c.pred * int32(c.zq[0]>>7)
		c.put(&b, last, x, y)
		return true
	}
	if len(lanes) == 1 {
		l := &lanes[0]
		return d.eachMCU(h, l.c.bw, l.c.bh, func(x, y int) bool { return one(l, x, y) })
	}
	return d.eachMCU(h, d.mcusX, d.mcusY, func(x, y int) bool {
		for i := range lanes {
			l := &lanes[i]
			for v := range l.c.v {
				for h := range l.c.h {
					if !one(l, x*l.c.h+h, y*l.c.v+v) {
						return false
					}
				}
			}
		}
		return true
	})
}

// put transforms b into block (x, y) of the plane, and clears it. last is the last
// coefficient that is not zero.
func (c *component) put(b *block, last, x, y int) {
	n := 8 / c.denom
	st := c.plane.Stride
	dst := c.plane.Pix[(y*n-c.band.top)*st+x*n:]
	if last == 0 {
		flat(dst, st, n, b[0])
		return
	}
	switch c.denom {
	case 1:
		full(b, dst, st, last)
		clear(b[:64])
	case 2:
		idct4(b, dst, st)
		clear(b[:64])
	case 4:
		idct2(b, dst, st)
		b[1], b[8], b[9], b[2], b[16] = 0, 0, 0, 0, 0
	}
}
