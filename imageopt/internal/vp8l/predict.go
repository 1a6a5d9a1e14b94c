package vp8l

// modes is the number of ways to predict a pixel from its neighbours.
const modes = 14

// predict is the prediction of a pixel by its left, upper, upper right and upper
// left neighbours.
func predict(mode uint8, l, t, tr, tl uint32) uint32 {
	switch mode {
	case 1:
		return l
	case 2:
		return t
	case 3:
		return tr
	case 4:
		return tl
	case 5:
		return avg(avg(l, tr), t)
	case 6:
		return avg(l, tl)
	case 7:
		return avg(l, t)
	case 8:
		return avg(tl, t)
	case 9:
		return avg(t, tr)
	case 10:
		return avg(avg(l, tl), avg(t, tr))
	case 11:
		return choose(l, t, tl)
	case 12:
		return each(l, t, tl, func(l, t, tl int32) int32 { return l + t - tl })
	case 13:
		return each(avg(l, t), tl, 0, func(a, tl, _ int32) int32 { return a + (a-tl)/2 })
	}
	return 0xff000000
}

// avg is the mean of each channel, rounded down.
func avg(a, b uint32) uint32 { return (((a ^ b) & 0xfefefefe) >> 1) + (a & b) }

func choose(l, t, tl uint32) uint32 {
	d := int32(0)
	for s := 0; s < 32; s += 8 {
		a, b, c := int32(l>>s&255), int32(t>>s&255), int32(tl>>s&255)
		d += abs(b-c) - abs(a-c)
	}
	if d < 0 {
		return l
	}
	return t
}

func each(a, b, c uint32, f func(a, b, c int32) int32) (v uint32) {
	for s := 0; s < 32; s += 8 {
		v |= uint32(min(max(f(int32(a>>s&255), int32(b>>s&255), int32(c>>s&255)), 0), 255)) << s
	}
	return v
}

func abs(v int32) int32 {
	if v < 0 {
		return -v
	}
	return v
}

// sub subtracts channel by channel.
func sub(a, b uint32) uint32 {
	return (0x00ff00ff+(a&0xff00ff00)-(b&0xff00ff00))&0xff00ff00 | (0xff00ff00+(a&0x00ff00ff)-(b&0x00ff00ff))&0x00ff00ff
}

// at predicts pixel (x, y), whose index is i. The first row and column have rules of
// their own.
func at(pix []uint32, i, x, y, w int, mode uint8) uint32 {
	switch {
	case i == 0:
		return 0xff000000
	case y == 0:
		return pix[i-1]
	case x == 0:
		return pix[i-w]
	}
	return predict(mode, pix[i-1], pix[i-w], pix[i-w+1], pix[i-w-1])
}

// predicted returns what remains of the picture after prediction, and the mode of
// each tile of 2^b × 2^b pixels.
func predicted(pix []uint32, w, h int, b uint, stop func() bool) (rest, tiles []uint32) {
	rest = make([]uint32, len(pix))
	side := 1 << b
	last := uint8(0)
	for y0 := 0; y0 < h; y0 += side {
		for x0 := 0; x0 < w; x0 += side {
			if stop() {
				return rest, append(tiles, make([]uint32, ((w+side-1)>>b)*((h+side-1)>>b)-len(tiles))...)
			}
			x1, y1 := min(x0+side, w), min(y0+side, h)
			last = bestMode(pix, x0, y0, x1, y1, w, last)
			tiles = append(tiles, 0xff000000|uint32(last)<<8)
			for y := y0; y < y1; y++ {
				for x := x0; x < x1; x++ {
					i := y*w + x
					rest[i] = sub(pix[i], at(pix, i, x, y, w, last))
				}
			}
		}
	}
	return rest, tiles
}

// bestMode is the mode that leaves the least; the one before has an advantage.
func bestMode(pix []uint32, x0, y0, x1, y1, w int, last uint8) uint8 {
	x0, y0 = max(x0, 1), max(y0, 1) // elsewhere the mode makes no difference
	best, least := last, int32(1<<31-1)
	for k := range uint8(modes) {
		mode := (last + k) % modes
		sum := int32(0)
		for y := y0; y < y1 && sum < least; y++ {
			for x := x0; x < x1; x++ {
				i := y*w + x
				d := sub(pix[i], predict(mode, pix[i-1], pix[i-w], pix[i-w+1], pix[i-w-1]))
				sum += abs(int32(int8(d))) + abs(int32(int8(d>>8))) + abs(int32(int8(d>>16))) + abs(int32(int8(d>>24)))
			}
		}
		if sum < least {
			best, least = mode, sum
		}
	}
	return best
}

// subtractGreen takes green from red and blue, which often go along with it.
func subtractGreen(pix []uint32, stop func() bool) []uint32 {
	out := make([]uint32, len(pix))
	for i, p := range pix {
		if i%often == 0 && stop() {
			break
		}
		g := p >> 8 & 255
		out[i] = sub(p, g<<16|g)
	}
	return out
}
