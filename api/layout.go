package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

//go:embed pages/*.html
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// A view is one page within the shared layout (pages/layout.html): header, navigation, main landmark, footer.
type view struct {
	Title string
	Lang  string // of the page's text; empty means English
	Brand string // whose page it is; empty means Purser
	Home  string // where the brand links to; empty for no link
	Nav   []navLink
	Who   *signedIn // nil while nobody is signed in
	// Width is narrow for a form, reading for text, and empty for tables.
	Width   string
	Refresh int // seconds after which the page loads itself again; 0 for never
	Footer  []string
	Data    any // what the page's own template gets
}

// navLink is a link in the header.
type navLink struct {
	Label, URL string
	Current    bool
}

// signedIn is the corner of the header that tells who is signed in, with the button that ends the session.
type signedIn struct{ Email, CSRF string }

// pagePolicy is what the Content-Security-Policies of our own pages begin with: no script at all, and nothing from anywhere
// else. A page whose form leads elsewhere adds its own form-action, because of two the first counts.
const pagePolicy = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"

const (
	closedPolicy = pagePolicy + "; form-action 'self'"
	framedPolicy = closedPolicy + "; frame-src 'self'" // shows another of our pages in a frame
)

// asset is an embedded file under an address that changes with its content, so that it may be cached for ever.
type asset struct {
	url, contentType string
	body             []byte
}

var assetTypes = map[string]string{".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".js": "text/javascript; charset=utf-8"}

// assets are the embedded files by their plain names, those of vendored libraries among them.
var assets = loadAssets()

func loadAssets() map[string]asset {
	out := map[string]asset{}
	err := fs.WalkDir(assetFiles, "assets", func(file string, entry fs.DirEntry, err error) error {
		contentType, ok := assetTypes[path.Ext(file)]
		if err != nil || !ok { // a folder, a licence or the like
			return err
		}
		body, err := assetFiles.ReadFile(file)
		if err != nil {
			return err
		}
		name, ext, _ := strings.Cut(path.Base(file), ".")
		out[path.Base(file)] = asset{"/assets/" + name + "." + contentHash(body) + "." + ext, contentType, body}
		return nil
	})
	if err != nil {
		panic(err) // the files are part of the program
	}
	return out
}

// contentHash is the part of an asset's address that changes with its content.
func contentHash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:6])
}

// serveAsset answers an embedded file. An address with another content's hash is not found, so that no cache keeps the wrong one.
func (s *Server) serveAsset(c *fiber.Ctx) error {
	for _, a := range assets {
		if a.url == c.Path() {
			c.Set(fiber.HeaderContentType, a.contentType)
			c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
			return c.Send(a.body)
		}
	}
	return fiber.ErrNotFound
}

// templates are the pages by the name of their file without its extension, each with the layout around it.
var templates = loadTemplates("layout", func(name string) (string, bool) { return name, !strings.HasPrefix(name, "shop") })

// shopTemplates are the customers' pages, pages/shop_<name>.html, by that name.
var shopTemplates = loadTemplates("shop", func(name string) (string, bool) { return strings.CutPrefix(name, "shop_") })

// loadTemplates puts a frame around each file that named has a name for.
func loadTemplates(frame string, named func(file string) (name string, ok bool)) map[string]*template.Template {
	layout := template.Must(template.New(frame).Funcs(template.FuncMap{
		"asset": func(name string) (string, error) {
			if a, ok := assets[name]; ok {
				return a.url, nil
			}
			return "", fmt.Errorf("no asset %q", name)
		},
		"htmxConfig": func() string { return htmxConfig },
		"when":       func(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05 UTC") },
		"stamp":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}).ParseFS(templateFiles, "pages/"+frame+".html"))
	files, err := templateFiles.ReadDir("pages")
	if err != nil {
		panic(err)
	}
	out := map[string]*template.Template{}
	for _, f := range files {
		file := strings.TrimSuffix(f.Name(), ".html")
		if name, ok := named(file); ok && file != frame {
			out[name] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, "pages/"+f.Name()))
		}
	}
	return out
}

// show answers with a page. It is rendered whole before anything is written, so that an error never follows half a page.
func (s *Server) show(c *fiber.Ctx, status int, name string, v view) error {
	if v.Lang == "" {
		v.Lang = "en"
	}
	if v.Brand == "" {
		v.Brand = "Purser"
	}
	if v.Footer == nil {
		v.Footer = []string{"Purser " + s.Version}
	}
	var out bytes.Buffer
	if err := templates[name].ExecuteTemplate(&out, "layout", v); err != nil {
		return err
	}
	pageHeaders(c, closedPolicy)
	return c.Status(status).Send(out.Bytes())
}

// pageHeaders sets what every page has. The referrer stays within this site and is not left out altogether, because with
// no-referrer browsers send "Origin: null" with our own forms.
func pageHeaders(c *fiber.Ctx, policy string) {
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Set(fiber.HeaderCacheControl, "no-store")
	setIfMissing(c, fiber.HeaderContentSecurityPolicy, policy)
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
}

// message is a page that says one thing.
type message struct{ Heading, Text string }

// refuse answers an error of a page as a page. The heading is the problem's title and the text its detail, both safe to show.
func (s *Server) refuse(c *fiber.Ctx, err error) error {
	p := s.finish(problemOf(err), requestOf(c))
	for name, values := range p.GetHeaders() {
		if name != fiber.HeaderWWWAuthenticate {
			c.Set(name, values[0])
		}
	}
	m := message{Heading: p.Title, Text: p.Detail}
	if p.Status >= fiber.StatusInternalServerError {
		m.Text += " Request id: " + p.RequestID
	}
	a := accountOf(c)
	v := s.operatorView(c, p.Title, a, m)
	if v.Width = "reading"; a == nil || !a.Operator() {
		v.Nav, v.Home = nil, "" // what they lead to is not for them
	}
	return s.show(c, p.Status, "message", v)
}

// operatorView is a page of the operators, for a itself or, where a is nil, for whoever opens it.
func (s *Server) operatorView(c *fiber.Ctx, title string, a *models.Account, data any) view {
	v := view{Title: title, Home: "/operator", Data: data}
	links := []navLink{{"Overview", "/operator", false}, {"Queues", "/asynqmon", false}}
	if s.Mailbox {
		links = append(links, navLink{"Mailbox", "/mailbox", false})
	}
	if s.Demo {
		links = append(links, navLink{"Webhooks", "/demo/webhooks", false}, navLink{"Storefront", "/demo", false})
	}
	v.Nav = append(links, navLink{"API", "/docs", false})
	for i := range v.Nav {
		l := &v.Nav[i]
		l.Current = c.Path() == l.URL || l.URL != "/demo" && strings.HasPrefix(c.Path(), l.URL+"/")
	}
	if a != nil {
		v.Who = &signedIn{Email: a.Email, CSRF: csrfToken(s.cookie(c, sessionCookie))}
	}
	return v
}
