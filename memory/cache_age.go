package memory

// Ages of entries in a large cache under PolicyLRU.
const (
	agesPerLap = 8 // while each entry of a full shard is replaced once
	ageYoung   = 3 // as many whole ages, 3/8 of a lap, an entry counts as young
	ages       = counterMax

	firstChances = 2
)

// age tells which entries of a shard are so new that whoever set them may not have
// come to ask for them. The order of a shard cannot: where most entries are used, those
// that are spared pass the end of it much faster than others come. An entry has the age
// at which it was set in the bits of the frequency, which PolicyLRU does not need; 0
// stands for none. The ages recur: an old entry of a shard that was full and has grown
// to many times its size since can be taken for young, and then stays for one lap more.
type age struct {
	now   uint64 // 1 to ages; 0: nothing was evicted yet, and entries have no age
	steps int    // entries that came or were evicted at this age
	begun bool   // every young entry has an age
}

// step notes that an entry of a shard with that many has come or was evicted. Both
// count: what makes room for a large value ages the others as well.
func (a *age) step(entries int) {
	if a.steps++; a.now == 0 || a.steps*agesPerLap > 2*entries {
		a.begun = a.begun || a.now > ageYoung
		a.now, a.steps = a.now%ages+1, 0
	}
}

// young tells whether that age is one of the last.
func (a *age) young(age uint64) bool {
	return age != 0 && (a.now+ages-age)%ages <= ageYoung
}

// chances returns how many entries a search may spare. Until young entries can be told
// they are so few that no search comes to those before a third of the shard has gone.
func (a *age) chances() int {
	if a.now != 0 && !a.begun {
		return firstChances
	}
	return chances
}
