package cdn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path"
	"time"
)

// logKept is how long a log waits for a caller who uploads the same content again.
const logKept = 24 * time.Hour

// partLog is the file that tells a later process of an upload in parts: which it is,
// and what the provider has of it. Losing its end costs parts that are sent again,
// losing all of it an upload that the provider must forget by itself; so only its first
// line is synced. A nil file is a log that could not be written.
type partLog struct {
	l         *Local
	name      string // below the root
	resumable bool   // the content can be read again
	head      partHead
	id        string           // of the upload, "" before it has begun
	parts     map[int]PartInfo // read from the file
	sound     int64            // bytes of the file up to its last whole line
	file      *os.File
}

// partHead is the first line. The object is what the provider was told at Begin.
type partHead struct {
	Provider string    `json:"provider"`
	Object   Object    `json:"object"`
	PartSize int64     `json:"partSize"`
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`
}

// openPartLog returns the log of the object at the provider, with what was logged before
// of the very same: an upload keeps the attributes that it was begun with, so that other
// attributes, or parts of another size, are another upload with a file of its own.
func (l *Local) openPartLog(provider string, obj Object, size int64) *partLog {
	if len(obj.Metadata) == 0 {
		obj.Metadata = nil
	}
	g := &partLog{l: l, resumable: obj.SHA256 != [32]byte{}, head: partHead{Provider: provider, Object: obj, PartSize: size}}
	text, err := json.Marshal(g.head)
	sum := sha256.Sum256(text)
	g.name = "parts/" + hex.EncodeToString(sum[:16])
	if !g.resumable || err != nil {
		g.name += fmt.Sprintf("-%x-%d", time.Now().UnixNano(), l.temps.Add(1))
		return g
	}
	if old, err := l.readPartLog(g.name); err == nil {
		g.id, g.parts, g.head = old.id, old.parts, old.head
		g.file, _ = l.root.OpenFile(g.name, os.O_WRONLY|os.O_APPEND, 0o600)
		if g.file != nil {
			_ = g.file.Truncate(old.sound) // what is added behind a torn line could not be read
		}
	}
	return g
}

// readPartLog reads a log as far as it is sound.
func (l *Local) readPartLog(name string) (*partLog, error) {
	b, err := fs.ReadFile(l.root.FS(), name)
	if err != nil {
		return nil, err
	}
	g := &partLog{l: l, name: name, parts: map[int]PartInfo{}}
	for {
		line, rest, whole := bytes.Cut(b[g.sound:], []byte("\n"))
		sum, text, _ := bytes.Cut(line, []byte(" "))
		if !whole || string(sum) != lineSum(text) {
			break
		}
		if g.sound == 0 {
			err = json.Unmarshal(text, &g.head)
			g.id, g.resumable = g.head.ID, g.head.Object.SHA256 != [32]byte{}
		} else {
			var part PartInfo
			if err = json.Unmarshal(text, &part); err == nil {
				g.parts[part.Number] = part
			}
		}
		if err != nil {
			return nil, err
		}
		g.sound = int64(len(b) - len(rest))
	}
	if g.id == "" {
		return nil, errDamaged
	}
	return g, nil
}

func lineSum(text []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) }

// begin writes the first line, durably.
func (g *partLog) begin(id string) {
	g.id, g.head.ID, g.head.Time = id, id, time.Now().UTC()
	f, err := g.l.root.OpenFile(g.name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	g.file = f
	if g.line(g.head) && f.Sync() == nil {
		_ = g.l.syncDir(path.Dir(g.name)) // as above, a loss is only of resuming
	}
}

// add notes that the provider has a part. It may be called by several workers: a line
// is one write at the end of the file.
func (g *partLog) add(part PartInfo) { g.line(part) }

func (g *partLog) line(v any) bool {
	if g.file == nil {
		return false
	}
	text, err := json.Marshal(v)
	if err != nil {
		return false
	}
	_, err = g.file.Write(fmt.Appendf(nil, "%s %s\n", lineSum(text), text))
	return err == nil
}

// close lets go of the file and leaves it for another try.
func (g *partLog) close() {
	if g.file != nil {
		g.file.Close()
	}
}

// remove forgets the upload.
func (g *partLog) remove() { _ = g.l.root.Remove(g.name) } // if it stays it is aborted later, which is harmless

// sweepParts aborts the uploads that nobody will go on with: streams whose process has
// ended, and content that is no longer pending and that nobody has sent again for long.
func (u *Uploader) sweepParts(ctx context.Context) {
	m, ok := u.p.(Multiparter)
	if !ok {
		return
	}
	names, err := fs.ReadDir(u.local.root.FS(), "parts")
	if err != nil {
		return
	}
	for _, d := range names {
		g, err := u.local.readPartLog("parts/" + d.Name())
		u.mu.Lock()
		live := u.logs["parts/"+d.Name()]
		u.mu.Unlock()
		if live {
			continue
		}
		if err != nil {
			_ = u.local.root.Remove("parts/" + d.Name())
			continue
		}
		it := u.local.find(g.head.Object.Key)
		pending := it != nil && it.state == statePending && it.sum == g.head.Object.SHA256
		if g.head.Provider != u.name || g.resumable && (pending || time.Since(g.head.Time) < logKept) {
			continue
		}
		p := &partUpload{u: u, m: m, obj: g.head.Object, log: g}
		p.abort(ctx, g.id)
	}
}
