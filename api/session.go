package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

// The cookies of pages where people sign in. Over https their names have the prefix __Host-, so that no neighbouring host can
// set them.
const (
	sessionCookie = "purser_session"
	doorCookie    = "purser_door" // ties a sign-in form to the browser that it was sent to
)

func (s *Server) cookieName(name string) string {
	if s.overTLS() {
		return "__Host-" + name
	}
	return name
}

// overTLS reports whether people reach us by https, which only the public address tells: the proxy in front may talk to us
// in the clear.
func (s *Server) overTLS() bool { return strings.HasPrefix(s.public, "https://") }

func (s *Server) cookie(c *fiber.Ctx, name string) string { return c.Cookies(s.cookieName(name)) }

// setCookie sets a cookie that no script can read and that other sites' forms are sent without. An empty value removes it;
// a lifetime of 0 seconds ends with the browser.
func (s *Server) setCookie(c *fiber.Ctx, name, value string, seconds int) {
	if value == "" {
		seconds = -1
	}
	cookie := http.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/", MaxAge: seconds,
		Secure: s.overTLS(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	c.Response().Header.Add(fiber.HeaderSetCookie, cookie.String())
}

// account is who is signed in, or nil. A session that has ended is nobody; an error is the database's.
func (s *Server) account(c *fiber.Ctx) (*models.Account, error) {
	token := s.cookie(c, sessionCookie)
	if token == "" {
		return nil, nil
	}
	a, err := s.store.SessionAccount(c.UserContext(), token)
	if models.CodeOf(err) == models.CodeUnauthorized {
		return nil, nil
	}
	return a, err
}

// csrfToken is what forms carry to prove that they came from a page of ours: it follows from the secret of the browser's
// cookie, which other sites cannot read.
func csrfToken(cookie string) string {
	if cookie == "" {
		return ""
	}
	m := hmac.New(sha256.New, []byte(cookie))
	m.Write([]byte("csrf"))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// door returns the secret of the sign-in form's cookie, which it sets if the browser has none.
func (s *Server) door(c *fiber.Ctx) string {
	if known := s.cookie(c, doorCookie); len(known) >= 43 {
		return known
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	secret := base64.RawURLEncoding.EncodeToString(b[:])
	s.setCookie(c, doorCookie, secret, 0)
	return secret
}

var (
	errForeign = newProblem(codeForbidden, "The request came from another site.")
	errExpired = newProblem(codeForbidden, "The form is out of date. Go back, load the page again and send it once more.")
)

// sameOrigin refuses what another site made the browser send, by the headers that browsers add to every request that may
// change something. Requests with neither of them do not come from a browser (net/http.CrossOriginProtection has the rules).
func (s *Server) sameOrigin(c *fiber.Ctx) error {
	r := http.Request{Method: c.Method(), Host: string(c.Request().Host()), URL: &url.URL{}, Header: http.Header{}}
	for _, name := range []string{"Origin", "Sec-Fetch-Site"} {
		if v := c.Get(name); v != "" {
			r.Header.Set(name, v)
		}
	}
	if s.origins.Check(&r) != nil {
		return errForeign
	}
	return nil
}

// newOrigins trusts the origin of the public address beside the host that is asked.
func newOrigins(public string) (*http.CrossOriginProtection, error) {
	u, err := url.Parse(public)
	if err != nil {
		return nil, err
	}
	p := http.NewCrossOriginProtection()
	return p, p.AddTrustedOrigin(u.Scheme + "://" + u.Host)
}

// form reads the form of a POST and refuses it unless it came from a page of ours: by its origin and by the token that
// follows from the named cookie.
func (s *Server) form(c *fiber.Ctx, cookie string) (url.Values, error) {
	if err := s.sameOrigin(c); err != nil {
		return nil, err
	}
	values, err := url.ParseQuery(string(c.Body()))
	if err != nil {
		return nil, newProblem(codeMalformed, "")
	}
	want := csrfToken(s.cookie(c, cookie))
	if want == "" || !hmac.Equal([]byte(want), []byte(values.Get("csrf"))) {
		return nil, errExpired
	}
	return values, nil
}
