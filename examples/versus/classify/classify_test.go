package classify_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/resilience"
)

// floor is the share of right rows, of those that are no variants, under which the
// test fails.
const floor = 0.98

// maxOpen is the share of rows that may leave an answer open.
const maxOpen = 0.10

// flags are the answers of an Info that are yes or no. The any flags stand for an
// answer that the documents leave open; the row's reference says why.
type flags uint8

const (
	retry flags = 1 << iota
	notSent
	counts
	anyRetry
	anyNotSent
	anyCounts
	// variant marks an error whose source another row provokes too: the same
	// statement or reply with another code. It is scored apart.
	variant
)

const none flags = 0

// want is what the documents say of an error. An empty code is not compared.
type want struct {
	class resilience.Class
	code  string
	flags flags
}

// row is one error: ref names the document that the expectation follows, and text
// is part of the error's text, lest the row provokes another one.
type row struct {
	name, ref, text string
	want            want
	make            func(t *testing.T) error
}

// same says whether an answer fits.
func (w want) same(i resilience.Info) bool {
	fits := func(got bool, bit, any flags) bool {
		return w.flags&any != 0 || got == (w.flags&bit != 0)
	}
	return i.Class == w.class && (w.code == "" || i.Code == w.code) && fits(i.Retryable, retry, anyRetry) &&
		fits(i.NotSent, notSent, anyNotSent) && fits(i.Counts, counts, anyCounts)
}

// check provokes the errors of rows in order.
func (s *score) check(t *testing.T, group string, rows []row) {
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			err := r.make(t)
			for try := 1; try < 3 && (err == nil || !strings.Contains(err.Error(), r.text)); try++ {
				t.Logf("provoked %v; once more", err) // on a busy machine a fault may come at another moment
				err = r.make(t)
			}
			if err == nil || !strings.Contains(err.Error(), r.text) {
				t.Fatalf("provoked %v; want an error with %q", err, r.text)
			}
			got := resilience.Classify(err)
			right := r.want.same(got)
			s.add(group, r.want.flags, right)
			if !right {
				t.Logf("WRONG %s\n\tgot  %+v\n\twant %v %q %s\n\tby %s\n\t%v\n\t%s", t.Name(), got, r.want.class, r.want.code, r.want.flags, r.ref, err, types(err))
			}
		})
	}
}

// types lists the types along an error's chain, for the report of a wrong row.
func types(err error) string {
	var s strings.Builder
	for e := err; e != nil; e = errors.Unwrap(e) {
		s.WriteString(" " + typeName(e))
	}
	return s.String()
}

// TestClassify fails when fewer errors than the floor are told right, or when more
// rows than maxOpen leave an answer open.
func TestClassify(t *testing.T) {
	var s score
	s.check(t, "limits", limitRows()) // alone: it takes the process's descriptors away.
	groups := map[string]func(*testing.T) []row{
		"dns": dnsRows, "tls": tlsRows, "http": httpRows, "httpstatus": statusRows, "http2": http2Rows, "smtp": smtpRows,
		"postgres": postgresRows, "pq": pqRows, "mariadb": mariadbRows, "sqlite": sqliteRows,
		"redis": redisRows, "rediscluster": redisClusterRows, "s3": s3Rows, "mongo": mongoRows,
		"grpc": grpcRows, "connect": connectRows,
	}
	maps.Copy(groups, platformGroups())
	t.Run("group", func(t *testing.T) {
		for name, rows := range groups {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s.check(t, name, rows(t))
			})
		}
	})
	s.report(t)
}
