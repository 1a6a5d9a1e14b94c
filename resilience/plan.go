package resilience

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"time"
)

// asks are the questions that the errors of one type can answer, one bit each, in
// the order in which they are put.
type asks uint16

const (
	askSelf asks = 1 << iota
	askRetryAfter
	askTimeout
	askIs
	askSafe
	askStatus
	askState
	askAPI
	askRedis
	askRueidis
	askMongo
	askMSSQL
	askType // what is known of the type
)

// wraps says how the errors of one type unwrap.
type wraps uint8

const (
	wrapsNone wraps = iota
	wrapsOne
	wrapsMany
)

// plan says how to read the errors of one type, so that no error pays for
// questions that its type cannot answer.
type plan struct {
	asks  asks
	wraps wraps
	typeInfo
	path []int // fields that lead to the number
}

// wrapType is the type of fmt.Errorf with one %w, textType that of errors.New;
// neither is exported, and most errors in Go are one of the two.
var (
	wrapType = reflect.TypeOf(fmt.Errorf("%w", io.EOF))
	textType = reflect.TypeOf(io.EOF)
)

// foreignTypes caches, for each type of error met, how to read it.
var foreignTypes sync.Map // reflect.Type → *plan

// planOf returns the plan of t, the type of err.
func planOf(t reflect.Type, err error) *plan {
	p, ok := foreignTypes.Load(t)
	if !ok {
		p, _ = foreignTypes.LoadOrStore(t, planFor(t, err))
	}
	return p.(*plan)
}

func planFor(t reflect.Type, err error) *plan {
	p := &plan{asks: answers(err)}
	switch err.(type) { //nolint:errorlint // The walk unwraps by itself.
	case interface{ Unwrap() error }:
		p.wraps = wrapsOne
	case interface{ Unwrap() []error }:
		p.wraps = wrapsMany
	}
	info, ok := lookupType(t)
	if !ok {
		return p
	}
	if info.fields != nil {
		if p.path, ok = pathTo(t, info.fields); !ok {
			return p // The type has changed.
		}
	}
	p.typeInfo = info
	if info.describe != nil || info.class != ClassUnknown {
		p.asks |= askType
	}
	return p
}

// answers finds out which interfaces an error has.
func answers(err error) (a asks) {
	for _, q := range [...]struct {
		bit asks
		ok  func() bool
	}{
		{askSelf, func() bool { return has[Classified](err) }},
		{askRetryAfter, func() bool { return has[interface{ RetryAfter() time.Duration }](err) }},
		{askTimeout, func() bool { return has[interface{ Timeout() bool }](err) }},
		{askIs, func() bool { return has[interface{ Is(error) bool }](err) }},
		{askSafe, func() bool { return has[interface{ SafeToRetry() bool }](err) }},
		{askStatus, func() bool {
			return has[interface{ HTTPStatusCode() int }](err) || has[interface{ StatusCode() int }](err) ||
				has[interface{ HTTPStatus() int }](err)
		}},
		{askState, func() bool { return has[interface{ SQLState() string }](err) }},
		{askAPI, func() bool { return has[apiError](err) || has[apiErrorV1](err) }},
		{askRedis, func() bool { return has[interface{ RedisError() }](err) }},
		{askRueidis, func() bool { return has[rueidisError](err) }},
		{askMongo, func() bool { return has[interface{ HasErrorLabel(string) bool }](err) }},
		{askMSSQL, func() bool { return has[interface{ SQLErrorNumber() int32 }](err) }},
	} {
		if q.ok() {
			a |= q.bit
		}
	}
	return a
}

func has[T any](err error) bool {
	_, ok := err.(T)
	return ok
}

// The errors of smithy-go and of the AWS SDK before it, and of rueidis.
type (
	apiError interface {
		ErrorCode() string
		ErrorMessage() string
	}
	apiErrorV1 interface {
		Code() string
		Message() string
		OrigErr() error
	}
	rueidisError interface {
		IsNil() bool
		IsClusterDown() bool
	}
)

// askSafely is ask for errors whose methods may panic.
func (p *plan) askSafely(question asks, err error, f *finding) {
	defer func() { _ = recover() }()
	p.ask(question, err, f)
}

// ask puts one question, which the type of err can answer.
func (p *plan) ask(question asks, err error, f *finding) {
	switch question {
	case askSelf:
		f.set(err.(Classified).ResilienceInfo(), rankSelf)
	case askRetryAfter:
		if after := err.(interface{ RetryAfter() time.Duration }).RetryAfter(); f.info.RetryAfter == 0 {
			f.info.RetryAfter = max(0, after)
		}
	case askTimeout:
		if err.(interface{ Timeout() bool }).Timeout() {
			f.set(with(ClassTimeout, "", "net"), rankGuess)
		}
	case askIs:
		f.askIs(err.(interface{ Is(error) bool }))
	case askSafe: // The contract of pgconn: nothing was sent.
		f.info.NotSent = f.info.NotSent || err.(interface{ SafeToRetry() bool }).SafeToRetry()
	case askStatus:
		if status := statusOf(err); status >= 400 && status <= 599 {
			f.set(ClassifyHTTP(status, ""), rankCode)
		}
	case askState:
		if code := err.(interface{ SQLState() string }).SQLState(); code != "" {
			f.set(ClassifySQLState(code), rankDriver)
		}
	case askAPI:
		f.askAPI(err)
	case askRedis:
		f.redis(err.Error())
	case askRueidis:
		if err.(rueidisError).IsNil() {
			f.set(with(ClassNotFound, "nil", "redis"), rankDriver)
			return
		}
		f.redis(err.Error())
	case askMongo:
		f.askMongo(err)
	case askMSSQL:
		f.askMSSQL(err.(interface{ SQLErrorNumber() int32 }).SQLErrorNumber())
	case askType:
		p.askType(err, f)
	}
}

// askType says what is known of the type, by the number in the error if it has one.
func (p *plan) askType(err error, f *finding) {
	if p.describe == nil {
		f.set(p.info(), p.rank)
		return
	}
	var n int64
	if p.fields != nil {
		var ok bool
		if n, ok = readNumber(reflect.ValueOf(err), p.path); !ok {
			return
		}
	}
	if i := p.describe(err, n); i.Source != "" {
		f.set(i, p.rank)
	}
}

// askIs asks for the sentinels that the errors of others stand for.
func (f *finding) askIs(err interface{ Is(error) bool }) {
	switch {
	case err.Is(context.Canceled):
		f.set(canceledInfo(), rankContext)
		return
	case err.Is(context.DeadlineExceeded):
		f.set(timeoutInfo(), rankContext)
		return
	case err.Is(errors.ErrUnsupported):
		f.set(with(ClassPermanent, "unsupported", "os"), rankCode)
		return
	}
	for i := range sentinels {
		if sentinels[i].asked && err.Is(sentinels[i].err) {
			f.set(sentinels[i].info(), rankCode)
			return
		}
	}
}

// statusOf returns the HTTP status that err tells of.
func statusOf(err error) int {
	switch e := err.(type) { //nolint:errorlint // The walk unwraps by itself.
	case interface{ HTTPStatusCode() int }:
		return e.HTTPStatusCode()
	case interface{ StatusCode() int }:
		return e.StatusCode()
	case interface{ HTTPStatus() int }:
		return e.HTTPStatus()
	}
	return 0
}

// askAPI asks for the code of an API; where the code is not known, the fault says
// whose it was, unless an HTTP status has said so already.
func (f *finding) askAPI(err error) {
	code := ""
	switch e := err.(type) { //nolint:errorlint // The walk unwraps by itself.
	case apiError:
		code = e.ErrorCode()
	case apiErrorV1:
		code = e.Code()
	}
	i := classifyAPICode(code)
	if i.Class != ClassUnknown {
		f.set(i, rankDriver)
		return
	}
	m := reflect.ValueOf(err).MethodByName("ErrorFault")
	if !m.IsValid() || m.Type().NumIn() != 0 || m.Type().NumOut() != 1 || m.Type().Out(0).Kind() != reflect.Int {
		return
	}
	switch m.Call(nil)[0].Int() {
	case 1: // smithy.FaultServer
		f.set(with(ClassInternal, code, "api"), rankGuess)
	case 2: // smithy.FaultClient
		f.set(with(ClassInvalid, code, "api"), rankGuess)
	}
}

func (f *finding) redis(text string) {
	if i := classifyRedis(text); i.Class != ClassUnknown {
		f.set(i, rankDriver)
	}
}

// refusedStream stands in the text of HTTP/2 that a request was not processed and
// cannot be sent again because its body is gone (RFC 9113, 8.7).
const refusedStream = "; REFUSED_STREAM; "

// text says what the text of an error means that is of errors.New, and nothing but
// its text: the whole text must be that of an error of the standard library, or of
// the drivers that texts names, or begin as one that has a value in it.
func (f *finding) text(err error) {
	text := err.Error()
	if i, ok := sentinelTexts[text]; ok {
		if sentinels[i].err == err { //nolint:errorlint // The walk unwraps by itself.
			f.set(sentinels[i].info(), rankCode)
		}
		return
	}
	if k, ok := texts[text]; ok {
		f.set(k.info(), rankCode)
		return
	}
	low, high := 0, len(formats)
	for low < high { // The last format that is not after text.
		if m := int(uint(low+high) >> 1); formats[m].head <= text {
			low = m + 1
		} else {
			high = m
		}
	}
	if low > 0 && strings.HasPrefix(text, formats[low-1].head) {
		i := formats[low-1].info()
		i.NotSent = i.NotSent || strings.Contains(text, refusedStream)
		f.set(i, rankCode)
	}
}
