package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/examples/internal/load"
)

// What users do, as shares of the actions after they have come in. The rest is reading.
const (
	shareWrites  = 0.05
	shareAsks    = 0.10
	shareUploads = 0.001
	shareImages  = 0.05
	shareUsage   = 0.04
	shareOpens   = 0.20 // another conversation is opened
	shareOlder   = 0.25 // of the reading: an older page
)

// The answers, as far as they are looked at.
type (
	message struct {
		ID        string    `json:"id"`
		CreatedAt time.Time `json:"createdAt"`
	}
	page struct {
		Messages []message `json:"messages"`
		Next     string    `json:"next"`
	}
	conversation struct {
		ID        string    `json:"id"`
		UpdatedAt time.Time `json:"updatedAt"`
	}
)

// users sends the visits of a run against one service.
type users struct {
	url    string
	client *http.Client
	ledger *ledger
	who    *load.Popularity
	n      int
	mode   mode
	photos []string
}

func newUsers(s *server, m mode, n int, zipf float64, day time.Duration, seed uint64) *users {
	t := &http.Transport{MaxIdleConnsPerHost: 1024, MaxConnsPerHost: 0}
	return &users{
		url: s.url, client: &http.Client{Transport: t, Timeout: 10 * time.Second}, ledger: newLedger(),
		who: load.NewPopularity(n, zipf, day, seed), n: n, mode: m, photos: photos(),
	}
}

// visit is one user: comes in, reads, writes, asks, and leaves.
func (us *users) visit(ctx context.Context, u *load.User) {
	v := &visitor{users: us, rnd: u.Rand, id: userID(us.who.Draw(u.Rand, u.Now()) + 1)}
	stay := u.Do(ctx, v.login)
	for stay = u.Do(ctx, v.list) && stay; stay; {
		stay = u.Do(ctx, v.act())
	}
}

// userID is the id of the i-th user of the service's data.
func userID(i int) string {
	sum := md5.Sum([]byte("u" + strconv.Itoa(i)))
	return "c" + hex.EncodeToString(sum[:12])
}

// visitor is what a user knows while there.
type visitor struct {
	*users
	rnd   *rand.Rand
	id    string
	convs []conversation
	conv  string // the open one
	next  string // cursor of its next older page
	wrote bool   // and looks next whether it is there
}

// act draws what the user does next.
func (v *visitor) act() func(context.Context) load.Outcome {
	writes, uploads, images := shareWrites, shareUploads, shareImages
	if v.mode.adverse {
		writes, uploads, images = 0.5, 0, 0
	}
	p := v.rnd.Float64()
	switch {
	case len(v.convs) == 0:
		return v.list
	case v.wrote:
		return v.read
	case v.conv == "":
		return v.open
	}
	for _, c := range []struct {
		share float64
		act   func(context.Context) load.Outcome
	}{
		{writes, v.write}, {shareAsks, v.ask}, {uploads, v.upload}, {images, v.image}, {shareUsage, v.usage}, {shareOpens, v.open},
	} {
		if p -= c.share; p < 0 {
			return c.act
		}
	}
	if v.next != "" && v.rnd.Float64() < shareOlder {
		return v.older
	}
	return v.read
}

func (v *visitor) login(ctx context.Context) load.Outcome {
	var u struct{ ID string }
	out := v.get(ctx, "user", "/api/users/"+v.id, &u)
	out.Right = out.Right && u.ID == v.id
	return out
}

func (v *visitor) list(ctx context.Context) load.Outcome {
	asked := time.Now()
	var l struct{ Conversations []conversation }
	out := v.get(ctx, "list", "/api/conversations?user="+v.id, &l)
	if out.Right {
		v.convs, v.conv = l.Conversations, ""
		out.Right = v.ledger.sawList(asked, l.Conversations)
		out.Stale = !out.Right
	}
	return out
}

// open picks a conversation near the top of the list.
func (v *visitor) open(ctx context.Context) load.Outcome {
	at := int(float64(min(len(v.convs), 12)) * v.rnd.Float64() * v.rnd.Float64())
	v.conv = v.convs[at].ID
	return v.read(ctx)
}

func (v *visitor) read(ctx context.Context) load.Outcome {
	v.wrote = false
	asked := time.Now()
	var p page
	out := v.get(ctx, "page", "/api/conversations/"+v.conv+"/messages", &p)
	if out.Right {
		v.next = p.Next
		out.Stale = !v.ledger.sawPage(v.conv, asked, p)
		out.Right = len(p.Messages) > 0 && !out.Stale
	}
	return out
}

func (v *visitor) older(ctx context.Context) load.Outcome {
	var p page
	out := v.get(ctx, "page", "/api/conversations/"+v.conv+"/messages?before="+url.QueryEscape(v.next), &p)
	v.next = p.Next
	return out
}

func (v *visitor) usage(ctx context.Context) load.Outcome {
	var d struct{ Days []any }
	return v.get(ctx, "usage", "/api/usage/daily?user="+v.id, &d)
}

func (v *visitor) write(ctx context.Context) load.Outcome {
	text := fmt.Sprintf(`{"content":"message %d of a visit"}`, v.rnd.IntN(1<<20))
	var m message
	out := v.post(ctx, "write", "/api/conversations/"+v.conv+"/messages", "application/json", strings.NewReader(text), &m)
	if out.Right = out.Right && m.ID != ""; out.Right {
		v.ledger.wrote(v.conv, m)
		v.wrote = true
	}
	return out
}

func (v *visitor) ask(ctx context.Context) load.Outcome {
	var a struct {
		Answer   string
		Degraded bool
	}
	text := fmt.Sprintf(`{"user":%q,"prompt":"How do I find slow query %d?"}`, v.id, v.rnd.IntN(100))
	out := v.post(ctx, "ask", "/api/ask", "application/json", strings.NewReader(text), &a)
	out.Right, out.Degraded = out.Right && a.Answer != "", a.Degraded
	return out
}

func (v *visitor) image(ctx context.Context) load.Outcome {
	q := url.Values{"url": {v.photos[v.rnd.IntN(len(v.photos))]}, "w": {[]string{"320", "640", "960"}[v.rnd.IntN(3)]}, "q": {"80"}}
	body, out := v.do(ctx, "image", http.MethodGet, "/img/?"+q.Encode(), "", nil)
	out.Right = out.Status == http.StatusOK && len(body) > 1000
	return out
}

// upload sends a picture that nobody sent before, and reads what came of it.
func (v *visitor) upload(ctx context.Context) load.Outcome {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "picture.jpg")
	if err == nil {
		err = jpeg.Encode(part, picture(v.rnd), nil)
	}
	if err != nil || form.Close() != nil {
		return load.Outcome{Class: "upload"}
	}
	var up struct {
		Key, URL string
		Bytes    int64
	}
	out := v.post(ctx, "upload", "/api/upload", form.FormDataContentType(), &body, &up)
	if out.Right = out.Right && up.Key != "" && up.URL != ""; out.Right {
		u := upload{url: absolute(v.url, up.URL), size: up.Bytes}
		if content, err := fetch(ctx, v.client, u.url); err == nil && int64(len(content)) == up.Bytes {
			u.sum = sha256.Sum256(content)
		}
		v.ledger.uploaded(up.Key, u)
	}
	return out
}

// picture is a soft pattern of 1600×1200.
func picture(rnd *rand.Rand) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, 1600, 1200))
	a, b, c := rnd.IntN(200)+20, rnd.IntN(200)+20, rnd.IntN(256)
	for y := range 1200 {
		for x := range 1600 {
			m.SetRGBA(x, y, color.RGBA{uint8(x / a * 37), uint8(y / b * 53), uint8((x*y/4096 + c) & 255), 255})
		}
	}
	return m
}

func absolute(base, ref string) string {
	if strings.HasPrefix(ref, "/") {
		return base + ref
	}
	return ref
}

func (v *visitor) get(ctx context.Context, class, path string, into any) load.Outcome {
	return decoded(into)(v.do(ctx, class, http.MethodGet, path, "", nil))
}

func (v *visitor) post(ctx context.Context, class, path, contentType string, body io.Reader, into any) load.Outcome {
	return decoded(into)(v.do(ctx, class, http.MethodPost, path, contentType, body))
}

// decoded is right if the answer is 200 with the JSON that is expected.
func decoded(into any) func([]byte, load.Outcome) load.Outcome {
	return func(body []byte, out load.Outcome) load.Outcome {
		out.Right = out.Status == http.StatusOK && json.Unmarshal(body, into) == nil
		return out
	}
}

func (v *visitor) do(ctx context.Context, class, method, path, contentType string, body io.Reader) ([]byte, load.Outcome) {
	out := load.Outcome{Class: class}
	req, err := http.NewRequestWithContext(ctx, method, v.url+path, body)
	if err != nil {
		return nil, out
	}
	req.Header.Set("Accept", "image/webp,*/*")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := v.client.Do(req)
	if err != nil {
		return nil, out
	}
	defer res.Body.Close()
	content, err := io.ReadAll(io.LimitReader(res.Body, 32<<20))
	if err == nil {
		out.Status = res.StatusCode
	}
	return content, out
}

func fetch(ctx context.Context, c *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	content, err := io.ReadAll(io.LimitReader(res.Body, 32<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", res.Status)
	}
	return content, err
}
