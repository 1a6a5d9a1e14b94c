package jpegenc

const fraction = 13

// Cosines in units of 1 << fraction, as the factorisation of Loeffler, Ligtenberg and
// Moschytz combines them.
const (
	c0298 = 2446  // 0.298631336
	c0390 = 3196  // 0.390180644
	c0541 = 4433  // 0.541196100
	c0765 = 6270  // 0.765366865
	c0899 = 7373  // 0.899976223
	c1175 = 9633  // 1.175875602
	c1501 = 12299 // 1.501321110
	c1847 = 15137 // 1.847759065
	c1961 = 16069 // 1.961570560
	c2053 = 16819 // 2.053119869
	c2562 = 20995 // 2.562915447
	c3072 = 25172 // 3.072711026
)

// forward transforms samples around zero in place. The coefficients are eight times
// those of the standard.
func forward(b *[64]int32) {
	const keep = 2 // more bits between the passes
	for i := 0; i < 64; i += 8 {
		r := b[i:][:8]
		s0, d0, s1, d1 := r[0]+r[7], r[0]-r[7], r[1]+r[6], r[1]-r[6]
		s2, d2, s3, d3 := r[2]+r[5], r[2]-r[5], r[3]+r[4], r[3]-r[4]
		e0, e3, e1, e2 := s0+s3, s0-s3, s1+s2, s1-s2
		r[0], r[4] = (e0+e1)<<keep, (e0-e1)<<keep
		const down, half = fraction - keep, 1 << (fraction - keep - 1)
		m := (e2+e3)*c0541 + half
		r[2], r[6] = (m+e3*c0765)>>down, (m-e2*c1847)>>down
		o1, o3, o5, o7 := forwardOdd(d0, d1, d2, d3, half)
		r[1], r[3], r[5], r[7] = o1>>down, o3>>down, o5>>down, o7>>down
	}
	for i := range 8 {
		const down, half = fraction + keep, 1 << (fraction + keep - 1)
		s0, d0, s1, d1 := b[i]+b[56+i], b[i]-b[56+i], b[8+i]+b[48+i], b[8+i]-b[48+i]
		s2, d2, s3, d3 := b[16+i]+b[40+i], b[16+i]-b[40+i], b[24+i]+b[32+i], b[24+i]-b[32+i]
		e0, e3, e1, e2 := s0+s3, s0-s3, s1+s2, s1-s2
		b[i], b[32+i] = (e0+e1+1<<(keep-1))>>keep, (e0-e1+1<<(keep-1))>>keep
		m := (e2+e3)*c0541 + half
		b[16+i], b[48+i] = (m+e3*c0765)>>down, (m-e2*c1847)>>down
		o1, o3, o5, o7 := forwardOdd(d0, d1, d2, d3, half)
		b[8+i], b[24+i], b[40+i], b[56+i] = o1>>down, o3>>down, o5>>down, o7>>down
	}
}

// forwardOdd makes the odd coefficients of the differences of opposite samples.
func forwardOdd(d0, d1, d2, d3, half int32) (o1, o3, o5, o7 int32) {
	p, q := d3+d1, d2+d0
	r := (p+q)*c1175 + half
	p, q = r-p*c1961, r-q*c0390
	s, t := (d3+d0)*c0899, (d2+d1)*c2562
	return d0*c1501 - s + q, d1*c3072 - t + p, d2*c2053 - t + q, d3*c0298 - s + p
}
