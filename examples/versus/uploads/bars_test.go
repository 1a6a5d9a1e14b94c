package uploads

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// bars runs sides on the same work, in turns.
type bars struct {
	*testing.T
	target target
	admin  *s3.Client
	rounds int
	full   bool
	sides  map[string][]cost // of the last measurement
}

func newBars(t *testing.T, srv realtest.S3Server) *bars {
	b := &bars{T: t, rounds: 3, target: target{
		Endpoint: srv.Endpoint, Region: srv.Region, AccessKey: srv.AccessKey, SecretKey: srv.SecretKey, Bucket: "versus", Roots: srv.Roots,
	}}
	if b.full = os.Getenv("VERSUS_FULL") != ""; b.full {
		b.rounds = 9
	}
	var err error
	if b.admin, err = b.target.aws(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &b.target.Bucket}); err != nil {
		t.Fatal(err)
	}
	return b
}

// measure has each client do the job in each round.
func (b *bars) measure(j job, rounds int, clients ...string) {
	b.Helper()
	b.sides = map[string][]cost{}
	for range rounds {
		for _, c := range clients {
			j.Client, j.Target, j.Dir = c, b.target, b.TempDir()
			if j.Work == workFile {
				b.file(filepath.Join(j.Dir, "file"), j.Size)
			}
			b.sides[c] = append(b.sides[c], run(b.T, j))
			if err := os.RemoveAll(j.Dir); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, c := range clients {
		b.Logf("%s: %-24s CPU %v, %.0f allocs, %.1f MiB allocated, RSS %.1f MiB, wall %v", j.Work, c, cpu(b.sides[c]), median(b.sides[c], allocs),
			median(b.sides[c], func(c cost) float64 { return c.Bytes / mib }), median(b.sides[c], rss), b.sides[c][0].Wall)
	}
}

func (b *bars) file(path string, size int64) {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(f, newStream(noise(mib), size)); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

func median(cs []cost, f func(cost) float64) float64 {
	vs := make([]float64, len(cs))
	for i, c := range cs {
		vs[i] = f(c)
	}
	slices.Sort(vs)
	return vs[len(vs)/2]
}

func allocs(c cost) float64  { return c.Allocs }
func rss(c cost) float64     { return float64(c.RSS) / mib }
func cpu(cs []cost) string   { return fmt.Sprintf("%.3fs", median(cs, seconds)) }
func seconds(c cost) float64 { return c.CPU.Seconds() }

// ratio is the median over the rounds of one client's figure to another's.
func (b *bars) ratio(client, peer string, f func(cost) float64) float64 {
	vs := make([]float64, len(b.sides[client]))
	for i := range vs {
		vs[i] = f(b.sides[client][i]) / f(b.sides[peer][i])
	}
	slices.Sort(vs)
	return vs[len(vs)/2]
}

// atMost emits a row with the figures of the peers; limit 0 is no goal.
func (b *bars) atMost(measure, unit string, figure, limit float64, peers ...bench.Value) {
	b.Helper()
	row := bench.Row{Measure: measure, Unit: unit, Ours: figure, Peers: peers, OK: limit == 0 || figure <= limit}
	if limit > 0 {
		row.Goal = fmt.Sprintf("≤ %g", limit)
	}
	bench.Emit(b.T, row)
}

func (b *bars) peers(f func(cost) float64, names ...string) (vs []bench.Value) {
	for _, n := range names {
		vs = append(vs, bench.Value{Name: n, Value: median(b.sides[n], f)})
	}
	return vs
}

// check has each client store the same stream and compares what the server then has.
func (b *bars) check(clients ...string) {
	b.Helper()
	j := job{Work: workCheck, Size: 20*mib + 12_345, MaxMemory: 40 * mib}
	want := sha256.New()
	if _, err := io.Copy(want, newStream(noise(mib), j.Size)); err != nil {
		b.Fatal(err)
	}
	b.measure(j, 1, clients...)
	pages := s3.NewListObjectsV2Paginator(b.admin, &s3.ListObjectsV2Input{Bucket: &b.target.Bucket, Prefix: aws.String(workCheck + "/")})
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range page.Contents {
			n++
			out, err := b.admin.GetObject(b.Context(), &s3.GetObjectInput{Bucket: &b.target.Bucket, Key: o.Key})
			if err != nil {
				b.Fatal(err)
			}
			got := sha256.New()
			if _, err := io.Copy(got, out.Body); err != nil {
				b.Fatal(err)
			}
			if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
				b.Fatalf("%s is not what was sent", *o.Key)
			}
		}
	}
	if n != len(clients) {
		b.Fatalf("%d objects of %d clients", n, len(clients))
	}
}

// TestBars measures what the package promises.
func TestBars(t *testing.T) {
	b := newBars(t, realtest.S3TLS(t))
	b.check(oursOff, oursOn, awsTM, minioGo)
	for _, part := range []struct {
		name string
		run  func(*bars)
	}{
		{"small", (*bars).small}, {"readers", (*bars).readers}, {"stream", (*bars).stream}, {"streams", (*bars).streams}, {"file", (*bars).files},
	} {
		t.Run(part.name, func(t *testing.T) {
			sub := *b
			sub.T = t
			part.run(&sub)
		})
	}
}

// TestPlainHTTP prints the same small puts over http, where payloads are signed. minio-go
// is not among the clients: over http it sends signed chunks with the checksum behind
// them, which this server takes for another checksum and refuses.
func TestPlainHTTP(t *testing.T) {
	b := newBars(t, realtest.S3(t))
	j := job{Work: workSmall, N: 400, MaxMemory: 40 * mib}
	b.measure(j, b.rounds, oursOff, awsPut, awsTM)
	b.atMost("100 KB put over http, signed payloads: CPU", "of aws PutObject's", b.ratio(oursOff, awsPut, seconds), 0,
		bench.Value{Name: "transfermanager", Value: b.ratio(awsTM, awsPut, seconds)})
}

func (b *bars) small() {
	j := job{Work: workSmall, N: 600, MaxMemory: 40 * mib}
	b.measure(j, b.rounds, oursOff, oursOn, awsPut, awsTM, minioGo)
	for _, c := range []string{oursOff, oursOn} {
		b.atMost("100 KB put, 16 at once, "+c+": CPU", "of aws PutObject's", b.ratio(c, awsPut, seconds), 1.10,
			bench.Value{Name: minioGo, Value: b.ratio(minioGo, awsPut, seconds)})
		b.atMost("100 KB put, 16 at once, "+c+": CPU", "of transfermanager's", b.ratio(c, awsTM, seconds), 0.65)
		b.atMost("100 KB put, 16 at once, "+c+": allocations", "of aws PutObject's", b.ratio(c, awsPut, allocs), 1.15)
	}
}

func (b *bars) readers() {
	j := job{Work: workReaders, N: 200, MaxMemory: 40 * mib}
	b.measure(j, 3, oursOff, oursOn, awsTM, minioGo)
	for _, c := range []string{oursOff, oursOn} {
		b.atMost("200 readers of 100 KB, 16 at once, "+c+": peak RSS", "MiB", median(b.sides[c], rss), 32, b.peers(rss, awsTM, minioGo)...)
	}
}

func (b *bars) stream() {
	j := job{Work: workStream, Size: 1 << 30, MaxMemory: 40 * mib}
	rounds := 3
	if b.full {
		rounds = 7
	}
	b.measure(j, rounds, oursOff, oursOn, awsTM, minioGo)
	best := awsTM
	if b.ratio(minioGo, awsTM, seconds) < 1 {
		best = minioGo
	}
	for _, c := range []string{oursOff, oursOn} {
		b.atMost("stream of 1 GiB, "+c+": CPU", "of the best peer's", b.ratio(c, best, seconds), 1.0,
			bench.Value{Name: awsTM, Value: b.ratio(awsTM, best, seconds)}, bench.Value{Name: minioGo, Value: b.ratio(minioGo, best, seconds)})
		b.atMost("stream of 1 GiB, "+c+": peak RSS with MaxMemory 40 MiB", "MiB", median(b.sides[c], rss), 60, b.peers(rss, awsTM, minioGo)...)
	}
}

func (b *bars) streams() {
	j := job{Work: workStreams, Size: 128 * mib, MaxMemory: 40 * mib}
	if b.full {
		j.Size = 1 << 30
	}
	b.measure(j, 1, oursOff, oursOn, awsTM, minioGo)
	for _, c := range []string{oursOff, oursOn} {
		b.atMost(fmt.Sprintf("8 streams of %d MiB at once, %s: peak RSS beyond MaxMemory", j.Size/mib, c), "MiB", median(b.sides[c], rss)-40, 32, b.peers(rss, awsTM, minioGo)...)
	}
}

func (b *bars) files() {
	j := job{Work: workFile, Size: 384 * mib, MaxMemory: 40 * mib}
	b.measure(j, 1, oursOff, oursOn, awsTM, minioGo)
	for _, c := range []string{oursOff, oursOn} {
		b.atMost("a file of 384 MiB, "+c+": peak RSS", "MiB", median(b.sides[c], rss), 24, b.peers(rss, awsTM, minioGo)...)
	}
}
