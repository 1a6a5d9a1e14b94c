package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
	"github.com/perfblocks/perfblocks/imageopt"
)

//go:embed web
var webFiles embed.FS

//go:embed photos/*.jpg
var photoFiles embed.FS

var photoNames = []string{"jon-tyson.jpg", "fatih.jpg", "seondol-son.jpg"}

// picture is a photo on the page.
type picture struct {
	HTML    template.HTML
	Caption string
}

// The page's own policy: style attributes are allowed for the placeholders that
// stand in for pictures until they have loaded.
const homeCSP = "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; connect-src 'self'; img-src 'self' data: http://127.0.0.1:*; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// webAssets serves the page's style and script, but not its template.
func webAssets() http.Handler {
	files := http.FileServerFS(webFiles)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, ".css") && !strings.HasSuffix(r.URL.Path, ".js") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		files.ServeHTTP(w, r)
	})
}

// getHome is the chat page of ?user=, by default the busiest.
func (a *app) getHome(w http.ResponseWriter, r *http.Request) error {
	ctx, id := r.Context(), r.FormValue("user")
	if id == "" {
		id = a.busiest[0]
	}
	u, err := a.user(ctx, id)
	if err != nil {
		return err
	}
	list, err := a.list(ctx, id)
	if err != nil {
		return err
	}
	data := struct {
		User         store.User
		List         []store.Conversation
		Conversation store.Conversation
		Messages     []store.Message
		Users        []string
		Pictures     []picture
	}{User: u, List: list, Users: a.busiest[:min(len(a.busiest), 5)], Pictures: a.pictures}
	conv := r.FormValue("conversation")
	if conv == "" && len(list) > 0 {
		conv = list[0].ID
	}
	if conv != "" {
		text, err := a.messages(ctx, conv, store.Cursor{}, pageSize)
		if err != nil {
			return err
		}
		var p page
		if err := json.Unmarshal(text, &p); err != nil {
			return err
		}
		data.Messages = p.Messages
		if data.Conversation, err = a.conversation(ctx, conv); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := a.homeTmpl.Execute(&b, data); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", homeCSP)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	_, err = w.Write(b.Bytes())
	return err
}

// makePictures renders the <picture> elements once: they do not change.
func (a *app) makePictures() error {
	for _, name := range photoNames {
		src, err := photoFiles.ReadFile("photos/" + name)
		if err != nil {
			return err
		}
		holder, err := a.images.Placeholder(a.ctx, src, imageopt.PlaceholderColor)
		if err != nil {
			return err
		}
		w := 400 // CSS pixels; the page makes it narrower where it must
		html, err := a.img.HTML(imageopt.Picture{
			Src: "photos/" + name, Alt: "Photo by " + author(name), Width: w, Height: w * holder.Height / max(holder.Width, 1), Responsive: true,
			Sizes: "(max-width: 800px) 92vw, 24vw", Placeholder: holder.Value, Widths: []int{320, 640, 960, 1280},
		})
		if err != nil {
			return err
		}
		a.pictures = append(a.pictures, picture{HTML: html, Caption: author(name) + ", Unsplash"})
	}
	return nil
}

// author reads "jon-tyson.jpg" as "Jon Tyson".
func author(name string) string {
	words := strings.Split(strings.TrimSuffix(name, ".jpg"), "-")
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, " ")
}
