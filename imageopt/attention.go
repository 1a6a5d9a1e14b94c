package imageopt

import (
	"context"
	"image"
	"slices"
)

// previewSide is the size of the picture that attention is found in.
const previewSide = 64

// attend moves the part that p keeps to where the most is to be seen, as
// AnchorAttention wants. FitCover cuts along one axis only, and so does this.
func (j *job) attend(ctx context.Context, spec *Spec, p plan, info Info) (plan, error) {
	whole := image.Rect(0, 0, info.Width, info.Height)
	if !spec.Crop.Empty() {
		whole = spec.Crop
	}
	free := whole.Size().Sub(p.win.Size())
	if spec.Anchor != AnchorAttention || spec.Fit != FitCover || free == (image.Point{}) {
		return p, nil
	}
	small := plan{win: whole}
	small.w, small.h = inside(whole.Dx(), whole.Dy(), previewSide, previewSide, true)
	small.box = image.Pt(small.w, small.h)
	pic, err := j.raster.render(ctx, small, info.Orientation, scaling{filter: FilterBox, workers: 1}, asRGB)
	if err != nil {
		return p, err
	}
	columns, rows := attention(pic.nrgba())
	at := whole.Min
	if free.X > 0 {
		at.X += best(columns, p.win.Dx(), whole.Dx())
	} else {
		at.Y += best(rows, p.win.Dy(), whole.Dy())
	}
	p.win = image.Rectangle{Min: at, Max: at.Add(p.win.Size())}
	return p, nil
}

// attention scores the columns and rows of a small picture: edges draw the eye, colours
// do a little, and skin does.
func attention(m *image.NRGBA) (columns, rows []int) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	columns, rows = make([]int, w), make([]int, h)
	luma := func(x, y int) int {
		px := m.Pix[min(y, h-1)*m.Stride+4*min(x, w-1):][:4]
		return (2*int(px[0]) + 5*int(px[1]) + int(px[2])) * int(px[3]) / (8 * 255)
	}
	for y := range h {
		for x := range w {
			px := m.Pix[y*m.Stride+4*x:][:4]
			r, g, b := int(px[0]), int(px[1]), int(px[2])
			l := luma(x, y)
			score := abs(l-luma(x+1, y)) + abs(l-luma(x, y+1))
			if px[3] > 127 {
				score += (max(r, g, b) - min(r, g, b)) / 8
				if r > 95 && g > 40 && b > 20 && r > g+15 && g >= b && r < 3*b {
					score += 32
				}
			}
			columns[x] += score
			rows[y] += score
		}
	}
	return columns, rows
}

func abs(v int) int { return max(v, -v) }

// best returns where a window of so many pixels of all shows the most, and of places
// that hardly differ the one in their middle, so that what it shows is not at its edge.
func best(scores []int, window, all int) int {
	n := len(scores)
	size := min(max((window*n+all/2)/all, 1), n)
	sums := make([]int, n-size+1)
	for i := range sums {
		for _, v := range scores[i : i+size] {
			sums[i] += v
		}
	}
	if n == size {
		return (all - window) / 2
	}
	most := slices.Max(sums)
	var good []int
	middle := 0
	for i, v := range sums {
		if v+most/50 >= most {
			good = append(good, i)
			middle += i
		}
	}
	middle /= len(good)
	at := slices.MinFunc(good, func(a, b int) int { return abs(a-middle) - abs(b-middle) })
	return (all - window) * at / (n - size)
}
