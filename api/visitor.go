package api

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"
)

// visitorCookie is the secret of a browser that has a cart or was shown a form. It names nobody.
const (
	visitorCookie   = "purser_visitor"
	visitorLifetime = 90 * 24 * time.Hour
)

type visitorKey struct{}

// visitor is the secret of the visitor's browser, 256 random bits as 43 characters, which it is given if it has none. Keep it out
// of logs and pages: who has it has the cart.
func (s *Server) visitor(c *fiber.Ctx) string {
	if known := s.knownVisitor(c); known != "" {
		return known
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	token := base64.RawURLEncoding.EncodeToString(b[:])
	c.Locals(visitorKey{}, token)
	s.setCookie(c, visitorCookie, token, int(visitorLifetime.Seconds()))
	return token
}

// knownVisitor is visitor for pages that have nothing to give to somebody new: it may be empty and sets no cookie.
func (s *Server) knownVisitor(c *fiber.Ctx) string {
	if given, ok := c.Locals(visitorKey{}).(string); ok {
		return given
	}
	token := s.cookie(c, visitorCookie)
	if b, err := base64.RawURLEncoding.DecodeString(token); err != nil || len(b) != 32 {
		return ""
	}
	return token
}

// checkCSRF reads the form of a POST by a visitor and refuses it unless it came from a page of ours: by the headers that browsers
// add and by the field csrf, which follows from the visitor's cookie.
func (s *Server) checkCSRF(c *fiber.Ctx) (url.Values, error) {
	values, err := s.sentForm(c)
	if err != nil {
		return nil, err
	}
	want := csrfToken(s.knownVisitor(c))
	if want == "" || !hmac.Equal([]byte(want), []byte(values.Get("csrf"))) {
		return nil, errExpired
	}
	return values, nil
}

// sentForm reads the form of a POST and refuses it if a browser says that it came from another site's page.
func (s *Server) sentForm(c *fiber.Ctx) (url.Values, error) {
	// Pages without a referrer send their own forms with "Origin: null". Browsers too old for Sec-Fetch-Site are told apart by what
	// the form carries alone.
	if c.Get(fiber.HeaderOrigin) != "null" || c.Get("Sec-Fetch-Site") != "" {
		if err := s.sameOrigin(c); err != nil {
			return nil, err
		}
	}
	values, err := url.ParseQuery(string(c.Body()))
	if err != nil {
		return nil, newProblem(codeMalformed, "")
	}
	return values, nil
}
