package jpegenc

import "encoding/binary"

// writer gathers bits into bytes, with a zero behind each 0xff.
type writer struct {
	out []byte
	acc uint64 // the last n bits, at the bottom
	n   uint
}

// put appends up to 32 bits.
func (w *writer) put(v uint32, n uint) {
	w.acc = w.acc<<n | uint64(v)
	if w.n += n; w.n >= 32 {
		w.flush()
	}
}

// flush moves 32 bits out.
func (w *writer) flush() {
	w.n -= 32
	v := uint32(w.acc >> (w.n & 63))
	if x := ^v; (x-0x01010101)&^x&0x80808080 == 0 {
		w.out = binary.BigEndian.AppendUint32(w.out, v)
		return
	}
	for i := 24; i >= 0; i -= 8 {
		b := byte(v >> i)
		if w.out = append(w.out, b); b == 0xff {
			w.out = append(w.out, 0)
		}
	}
}

// end fills the last byte with ones.
func (w *writer) end() {
	if r := w.n & 7; r > 0 {
		w.put(1<<(8-r)-1, 8-r)
	}
	for ; w.n > 0; w.n -= 8 {
		b := byte(w.acc >> (w.n - 8))
		if w.out = append(w.out, b); b == 0xff {
			w.out = append(w.out, 0)
		}
	}
}
